//! What a probe printed, as it is kept and compared (pure).

/// Output that is read; the rest is thrown away.
pub(crate) const MAX_OUTPUT: usize = 10 * 1024;
/// Bytes of a result.
pub(crate) const MAX_RESULT: usize = 1024;

/// The result in `output`: valid UTF-8, without `|`, newlines and other control characters, at most 1024 bytes.
///
/// OpenKruiseGame removes `|` and newlines, and manifests compare with what is left.
pub(crate) fn clean(output: &[u8]) -> String {
    let output = &output[..output.len().min(MAX_OUTPUT)];
    clean_text(&String::from_utf8_lossy(output))
}

/// [`clean`] of what is text already.
pub(crate) fn clean_text(text: &str) -> String {
    let mut result = String::with_capacity(text.len().min(MAX_RESULT));
    for c in text.chars().filter(|c| *c != '|' && !c.is_control()) {
        if result.len() + c.len_utf8() > MAX_RESULT {
            break;
        }
        result.push(c);
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_shown_or_compared_is_left_out() {
        assert_eq!(clean(b"gate\n"), "gate");
        assert_eq!(clean(b"a|b\r\n\tc\0d"), "abcd");
        assert_eq!(clean("玩家 3".as_bytes()), "玩家 3");
        assert_eq!(clean(b"\xff ok"), "\u{fffd} ok");
    }

    #[test]
    fn a_long_result_ends_at_a_character() {
        let result = clean("€".repeat(2_000).as_bytes());
        assert_eq!((result.len(), result.chars().count()), (1_023, 341));
    }

    proptest! {
        #[test]
        fn any_output_makes_a_bounded_result_that_stays_what_it_is(output in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let result = clean(&output);
            prop_assert!(result.len() <= MAX_RESULT);
            prop_assert!(!result.contains(['|', '\n', '\0']));
            prop_assert_eq!(clean_text(&result), result);
        }
    }
}
