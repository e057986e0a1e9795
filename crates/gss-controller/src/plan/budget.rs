//! `maxUnavailable`: how fast a set grows, and how many servers an update takes out of service.

use api_types::IntOrString;

/// How many Pods may be created now, when `unavailable` Pods of the set exist that are not available.
///
/// A percentage is of `replicas`, rounded down, and at least one: with none at all the set would never grow. Without a
/// limit, or with one that cannot be understood, all may be created.
pub fn creation_budget(limit: Option<&IntOrString>, replicas: u64, unavailable: u64) -> u64 {
    at_least_one(limit, replicas).map_or(u64::MAX, |limit| limit.saturating_sub(unavailable))
}

/// A number, or a percentage of `replicas` rounded down; at least one. `None` without a limit, or with one that cannot be
/// understood.
pub fn at_least_one(limit: Option<&IntOrString>, replicas: u64) -> Option<u64> {
    let limit = limit?;
    let limit = match limit.as_percent() {
        Some(percent) => Some(replicas.saturating_mul(percent.into()) / 100),
        None => limit.as_i64().and_then(|limit| u64::try_from(limit).ok()),
    };
    limit.map(|limit| limit.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_share_of_the_replicas() {
        let budget = |limit: IntOrString, unavailable| creation_budget(Some(&limit), 25, unavailable);
        assert_eq!(budget(3.into(), 1), 2);
        assert_eq!(budget("3".into(), 5), 0);
        assert_eq!(budget("10%".into(), 0), 2);
        assert_eq!(budget("1%".into(), 0), 1, "never none at all");
        assert_eq!(budget("nonsense".into(), 9), u64::MAX);
        assert_eq!(creation_budget(None, 25, 9), u64::MAX);
    }
}
