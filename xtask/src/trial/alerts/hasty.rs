//! The rules with times short enough for a trial (pure): the same expressions, thirty minutes in thirty seconds, a hundred keys as ten.

use serde_json::Value;

/// Numbers in expressions that are waited for. Not the 150 s that a watch may be silent: one of a kind of which there is nothing was so for 121 s.
const NUMBERS: [(&str, &str); 4] = [
    ("> 1800", "> 30"),
    ("> 600", "> 10"),
    ("> 100", "> 10"),
    ("[5m]", "[20s]"),
];

/// A file of rules with every `for` of minutes in as many seconds, two at least, and the expressions' numbers likewise.
pub(super) fn hasty(mut rules: Value) -> Value {
    let groups = rules["groups"].as_array_mut().into_iter().flatten();
    for rule in groups.flat_map(|group| group["rules"].as_array_mut().into_iter().flatten()) {
        if let Some(expression) = rule["expr"].as_str() {
            let shorter = |text: String, (long, short): &(&str, &str)| text.replace(long, short);
            rule["expr"] = NUMBERS.iter().fold(expression.to_owned(), shorter).into();
        }
        let minutes = rule["for"].as_str().and_then(|time| time.strip_suffix('m'));
        if let Some(minutes) = minutes.and_then(|minutes| minutes.parse::<u32>().ok()) {
            rule["for"] = format!("{}s", minutes.max(2)).into();
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_shorter_and_nothing_else_is_different() {
        let rule = |expression: &str, time: &str| json!({"groups": [{"rules": [{"alert": "A", "expr": expression, "for": time}]}]});
        assert_eq!(
            hasty(rule("time() - x > 1800", "1m")),
            rule("time() - x > 30", "2s")
        );
        assert_eq!(
            hasty(rule("rate(x[5m]) > 0.9", "10m")),
            rule("rate(x[20s]) > 0.9", "10s")
        );
        assert_eq!(
            hasty(rule("depth[5m] > 100", "5m")),
            rule("depth[20s] > 10", "5s")
        );
        assert_eq!(hasty(rule("x > 2", "30s")), rule("x > 2", "30s"));
    }
}
