//! Names derived from other names.

/// Name of the Pod, and of the GameServer, with this ordinal.
pub fn pod_name(set: &str, ordinal: u32) -> String {
    format!("{set}-{ordinal}")
}

/// The ordinal in a Pod's or GameServer's name: the integer after its last `-`.
///
/// `None` where there is none, where it has a sign, spaces or leading zeros, or where it exceeds [`u32::MAX`]: such a
/// name was not made by [`pod_name`].
pub fn ordinal_of(name: &str) -> Option<u32> {
    let (_, digits) = name.rsplit_once('-')?;
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok() } else { None }
}

/// Name of the claim that a volume claim template gives to a Pod.
pub fn claim_name(template: &str, pod: &str) -> String {
    format!("{template}-{pod}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_come_back() {
        for ordinal in [0, 7, 10, u32::MAX] {
            assert_eq!(ordinal_of(&pod_name("a-set-2", ordinal)), Some(ordinal));
        }
    }

    #[test]
    fn foreign_names_have_no_ordinal() {
        for name in [
            "minecraft",
            "minecraft-",
            "minecraft-x",
            "minecraft-01",
            "minecraft-+1",
            "m-4294967296",
            "",
        ] {
            assert_eq!(ordinal_of(name), None, "{name:?}");
        }
    }
}
