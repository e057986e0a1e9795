//! What the API server accepts as a label's value.

/// Longest label value the API server accepts, in bytes.
const MAX_LENGTH: usize = 63;

/// Whether `value` may be written as a label's value: empty, or at most 63 letters, digits, `-`, `_` and `.`, with a letter
/// or digit at both ends.
///
/// One value that is not would make the API server refuse the whole patch, so it is left out and reported instead.
pub fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return true;
    };
    bytes.len() <= MAX_LENGTH
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::is_label_value;

    #[test]
    fn label_value_accepts_what_the_api_server_accepts() {
        for value in [
            "",
            "a",
            "None",
            "WaitToBeDeleted",
            "a.b_c-d",
            "0",
            &"x".repeat(63),
        ] {
            assert!(is_label_value(value), "{value:?}");
        }
    }

    #[test]
    fn label_value_refuses_what_the_api_server_refuses() {
        for value in [
            " ",
            "in game",
            "-a",
            "a-",
            ".a",
            "a_",
            "a/b",
            "é",
            "a\n",
            &"x".repeat(64),
        ] {
            assert!(!is_label_value(value), "{value:?}");
        }
    }
}
