//! What a PromQL expression asks for, and whether there is such a thing: names, labels and their values against the tables (pure).
//!
//! It reads as much of the language as that needs; whether the rest is right is for promtool, and for a Prometheus, to say.

use metric_table::Values;

use super::catalogue::{self, CONTROLLER, Found};

/// Labels that the scraper adds.
const SCRAPED: [&str; 5] = ["instance", "job", "namespace", "pod", "container"];
/// Words that are followed by a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that are no metric.
const WORDS: [&str; 7] = ["and", "or", "unless", "bool", "offset", "inf", "nan"];

/// A series that is asked for, with the conditions on its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Name of the series.
    pub(crate) name: String,
    /// Label, operator, value.
    pub(crate) matchers: Vec<(String, String, String)>,
}

impl Selector {
    /// As PromQL.
    pub(crate) fn text(&self) -> String {
        let matchers = self
            .matchers
            .iter()
            .map(|(label, operator, value)| format!("{label}{operator}\"{value}\""));
        format!("{}{{{}}}", self.name, matchers.collect::<Vec<_>>().join(","))
    }
}

/// What an expression asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Series.
    pub(crate) selectors: Vec<Selector>,
    /// Labels it groups or matches by.
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    /// An operator, a bracket, or a number with its unit.
    Other(String),
}

/// Reads an expression.
///
/// # Errors
/// Where it isn't one, in words.
pub(crate) fn read(expression: &str) -> Result<Asked, String> {
    let tokens = tokens(expression)?;
    let mut asked = Asked::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else { continue };
        let opens = |bracket: &str| tokens.get(at) == Some(&Token::Other(bracket.into()));
        if LISTS.contains(&word.as_str()) && opens("(") {
            let (labels, next) = list(&tokens, at + 1)?;
            asked.labels.extend(labels);
            at = next;
        } else if opens("{") {
            let (matchers, next) = matchers(&tokens, at + 1)?;
            asked.selectors.push(Selector {
                name: word.clone(),
                matchers,
            });
            at = next;
        } else if !opens("(")
            && !WORDS.contains(&word.to_ascii_lowercase().as_str())
            && !LISTS.contains(&word.as_str())
            && !is_aggregation(word)
        {
            asked.selectors.push(Selector {
                name: word.clone(),
                matchers: Vec::new(),
            });
        }
    }
    Ok(asked)
}

/// Aggregations may have their labels before what they aggregate: `sum by (x) (…)`.
fn is_aggregation(word: &str) -> bool {
    ["sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"].contains(&word)
}

fn list(tokens: &[Token], mut at: usize) -> Result<(Vec<String>, usize), String> {
    let mut labels = Vec::new();
    loop {
        match tokens.get(at) {
            Some(Token::Word(label)) => labels.push(label.clone()),
            Some(Token::Other(other)) if other == "," => {}
            Some(Token::Other(other)) if other == ")" => return Ok((labels, at + 1)),
            other => return Err(format!("{other:?} in a list of labels")),
        }
        at += 1;
    }
}

type Matchers = Vec<(String, String, String)>;

fn matchers(tokens: &[Token], mut at: usize) -> Result<(Matchers, usize), String> {
    let mut matchers = Vec::new();
    loop {
        match &tokens[at.min(tokens.len())..] {
            [Token::Other(end), ..] if end == "}" => return Ok((matchers, at + 1)),
            [Token::Other(comma), ..] if comma == "," => at += 1,
            [Token::Word(label), Token::Other(operator), Token::Text(value), ..] => {
                matchers.push((label.clone(), operator.clone(), value.clone()));
                at += 3;
            }
            rest => return Err(format!("{:?} in the conditions of a series", rest.first())),
        }
    }
}

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => {
                let text = &rest[1..];
                let end = text.find('"').ok_or("a text without an end")?;
                tokens.push(Token::Text(text[..end].to_owned()));
                end + 2
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let end = end_of(rest, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                tokens.push(Token::Word(rest[..end].to_owned()));
                end
            }
            // Numbers with their units, and Grafana's variables, which stand for such.
            '0'..='9' | '$' => {
                let end = 1 + end_of(&rest[1..], |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                tokens.push(Token::Other(rest[..end].to_owned()));
                end
            }
            _ => {
                let two = ["=~", "!~", "!=", "==", ">=", "<="]
                    .iter()
                    .find(|two| rest.starts_with(**two));
                let length = two.map_or(first.len_utf8(), |two| two.len());
                tokens.push(Token::Other(rest[..length].to_owned()));
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn end_of(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !part(c)).unwrap_or(text.len())
}

/// What an expression asks for that no controller exports.
pub(crate) fn problems(expression: &str) -> Vec<String> {
    let asked = match read(expression) {
        Ok(asked) => asked,
        Err(problem) => return vec![format!("{problem}: {expression}")],
    };
    if asked.selectors.is_empty() {
        return vec![format!("it asks for no metric: {expression}")];
    }
    let mut problems = Vec::new();
    let mut labels: Vec<&str> = SCRAPED.to_vec();
    labels.push(CONTROLLER);
    for selector in &asked.selectors {
        let Some(found) = catalogue::find(&selector.name) else {
            problems.push(format!("{} is in no table of metrics", selector.name));
            continue;
        };
        labels.extend(found.metric.labels.iter().map(|label| label.name));
        labels.extend((found.suffix == "_bucket").then_some("le"));
        let wrong = selector
            .matchers
            .iter()
            .filter_map(|matcher| wrong_matcher(&found, matcher));
        problems.extend(wrong);
    }
    let unknown = asked
        .labels
        .iter()
        .filter(|label| !labels.contains(&label.as_str()));
    problems.extend(unknown.map(|label| format!("no metric of it has the label {label}: {expression}")));
    problems
}

fn wrong_matcher(found: &Found, (label, operator, value): &(String, String, String)) -> Option<String> {
    let name = found.metric.name;
    let known: &[&str] = if label == CONTROLLER {
        found.section.controllers
    } else if SCRAPED.contains(&label.as_str()) || (label == "le" && found.suffix == "_bucket") {
        return None;
    } else {
        match found.label(label).map(|label| label.values) {
            Some(Values::OneOf(known)) => known,
            Some(Values::Each(_)) => return None,
            None => return Some(format!("{name} has no label {label}")),
        }
    };
    let alternatives: Vec<&str> = if operator.ends_with('~') {
        value.split('|').collect()
    } else {
        vec![value]
    };
    let odd = alternatives.into_iter().find(|value| !known.contains(value))?;
    Some(format!("{name} never has {label}=\"{odd}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expression: &str) -> Vec<String> {
        read(expression)
            .unwrap()
            .selectors
            .into_iter()
            .map(|selector| selector.name)
            .collect()
    }

    #[test]
    fn names_are_told_from_functions_words_and_units() {
        assert_eq!(
            names("histogram_quantile(0.99, sum by (le) (rate(a_bucket{x=\"y\"}[5m]))) > 1"),
            ["a_bucket"]
        );
        assert_eq!(names("absent(a) or sum(b) == 0"), ["a", "b"]);
        assert_eq!(
            names("time() - max by (hook) (a{hook=\"b\"}) > 1800 and a > 0"),
            ["a", "a"]
        );
        assert_eq!(
            names("sum(rate(a[$__rate_interval])) / on (x) group_left (y) b offset 5m"),
            ["a", "b"]
        );
    }

    #[test]
    fn labels_and_conditions_are_read() {
        let asked = read("sum by (x, y) (a{b=\"c\", d=~\"e|f\"})").unwrap();
        assert_eq!(asked.labels, ["x", "y"]);
        assert_eq!(asked.selectors[0].text(), "a{b=\"c\",d=~\"e|f\"}");
        assert!(read("a{b=}").is_err());
        assert!(read("sum by (a{").is_err());
        assert!(read("a{b=\"c").is_err());
        assert!(read("a{b").is_err());
    }

    #[test]
    fn what_nobody_exports_is_found() {
        let fine = "sum by (controller, outcome) (rate(gamekeeper_api_requests_total{outcome!=\"ok\"}[5m]))";
        assert_eq!(problems(fine), Vec::<String>::new());
        assert_eq!(
            problems("max(gamekeeper_leader{controller=\"pod-sync\"})"),
            Vec::<String>::new()
        );
        for (wrong, part) in [
            ("max(gamekeeper_leeder)", "no table"),
            ("rate(gamekeeper_queue_wait_seconds[5m])", "no table"),
            ("sum by (outcom) (gamekeeper_api_requests_total)", "label outcom"),
            (
                "gamekeeper_api_requests_total{outcome=\"okay\"}",
                "never has outcome=\"okay\"",
            ),
            (
                "gamekeeper_api_requests_total{verb=~\"get|put\"}",
                "never has verb=\"put\"",
            ),
            (
                "gamekeeper_gss_sets{controller=\"pod-sync\"}",
                "never has controller",
            ),
            ("1 + 1", "asks for no metric"),
        ] {
            let found = problems(wrong);
            assert!(
                found.iter().any(|problem| problem.contains(part)),
                "{wrong}: {found:?}"
            );
        }
    }

    #[test]
    fn a_condition_on_a_label_that_it_does_not_have_is_found() {
        let found = problems("gamekeeper_gss_sets{name=\"arena\"}");
        assert_eq!(found, ["gamekeeper_gss_sets has no label name"]);
    }
}
