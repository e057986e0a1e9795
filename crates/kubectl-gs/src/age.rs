//! Durations as kubectl writes them. Pure.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// How long something has lasted: `7s`, `5m12s`, `3h`, `9d`. The same steps as in the column AGE of `kubectl get`.
pub fn human(seconds: i64) -> String {
    let s = seconds.max(0);
    let two = |large: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{rest}{small}")
        }
    };
    match s {
        0..120 => format!("{s}s"),
        120..600 => two(s / MINUTE, "m", s % MINUTE, "s"),
        600..10_800 => format!("{}m", s / MINUTE),
        10_800..28_800 => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        28_800..172_800 => format!("{}h", s / HOUR),
        172_800..691_200 => two(s / DAY, "d", s % DAY / HOUR, "h"),
        691_200..63_072_000 => format!("{}d", s / DAY),
        63_072_000..252_288_000 => two(s / YEAR, "y", s % YEAR / DAY, "d"),
        _ => format!("{}y", s / YEAR),
    }
}

/// How long ago `then` was; `-` where it is not known.
pub fn since(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(
        || "-".to_owned(),
        |then| human(now.as_second() - then.as_second()),
    )
}

/// The time in an RFC 3339 text, where it is one.
pub fn parse(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_steps_of_kubectl() {
        let table = [
            (-3, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 7 * MINUTE, "3h7m"),
            (8 * HOUR + 7 * MINUTE, "8h"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2d"),
            (2 * DAY + 5 * HOUR, "2d5h"),
            (8 * DAY + 5 * HOUR, "8d"),
            (2 * YEAR + 3 * DAY, "2y3d"),
            (9 * YEAR, "9y"),
        ];
        for (seconds, text) in table {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn an_unknown_time_has_no_age() {
        let now = Timestamp::from_second(1000).unwrap();
        assert_eq!(since(None, now), "-");
        assert_eq!(since(parse(Some("1970-01-01T00:15:00Z")), now), "100s");
        assert_eq!(parse(Some("yesterday")), None);
    }
}
