//! What an expression can be, and how two of them compare.

use super::TemplateError;

/// A text or a truth value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Bool(bool),
}

impl<'a> Value<'a> {
    pub(super) fn is_true(self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Bool(value) => value,
        }
    }

    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
        }
    }
}

/// A comparison of two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Comparison {
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "lt" => Self::Lt,
            "le" => Self::Le,
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            _ => return None,
        })
    }

    pub(super) fn holds(self, left: Value<'_>, right: Value<'_>) -> Result<bool, TemplateError> {
        let (Value::Text(left), Value::Text(right)) = (left, right) else {
            return Err(TemplateError::Malformed(
                "a comparison takes two texts or numbers, not the outcome of another comparison".to_owned(),
            ));
        };
        if let Self::Eq | Self::Ne = self {
            return Ok((left == right) == (self == Self::Eq));
        }
        let order = match (number(left), number(right)) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => Some(left.cmp(right)),
        };
        Ok(order.is_some_and(|order| match self {
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            _ => order.is_ge(),
        }))
    }
}

/// The number that a text is. `inf` and `nan` are words.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
