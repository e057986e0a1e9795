//! A value that is an integer or a string, and stays what it was.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An integer or a string. `3` stays an integer and `"3"` a string through any number of round trips.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// An integer.
    Int(i64),
    /// A string: a number, a percentage, a range or a template, depending on the field.
    String(String),
}

impl IntOrString {
    /// The number, where the value is one; a string may have spaces around it.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::String(text) => text.trim().parse().ok(),
        }
    }

    /// The text of the value as a label shows it.
    pub fn to_label_string(&self) -> String {
        self.to_string()
    }

    /// The percentage, where the value is a string of digits and a `%`.
    pub fn as_percent(&self) -> Option<u32> {
        match self {
            Self::Int(_) => None,
            Self::String(text) => text.trim().strip_suffix('%')?.parse().ok(),
        }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::String(text) => text.fmt(f),
        }
    }
}

impl From<i64> for IntOrString {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for IntOrString {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<u32> for IntOrString {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for IntOrString {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for IntOrString {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl JsonSchema for IntOrString {
    fn schema_name() -> Cow<'static, str> {
        "IntOrString".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_unchanged() {
        for text in [
            "3",
            "\"3\"",
            "-7",
            "\"3-7\"",
            "\"50%\"",
            "\"\"",
            "9007199254740993",
        ] {
            let value: IntOrString = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
        for text in ["1.5", "true", "null", "[1]"] {
            assert!(serde_json::from_str::<IntOrString>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_and_percentages() {
        assert_eq!(IntOrString::from(4).as_i64(), Some(4));
        assert_eq!(IntOrString::from(" 4 ").as_i64(), Some(4));
        assert_eq!(IntOrString::from("4%").as_i64(), None);
        assert_eq!(IntOrString::from("40%").as_percent(), Some(40));
        assert_eq!(IntOrString::from("40").as_percent(), None);
        assert_eq!(IntOrString::from(40).as_percent(), None);
        assert_eq!(IntOrString::from(4).to_label_string(), "4");
    }
}
