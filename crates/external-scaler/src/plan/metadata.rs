//! What a ScaledObject asks for (pure).

use std::collections::HashMap;

/// The largest number that makes sense: a set has at most 10,000 servers.
const MOST: f64 = 1_000_000.0;

/// What a ScaledObject asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Wish {
    /// How many servers nobody should have.
    pub min: Min,
    /// How many servers nobody may have at most.
    pub max: Option<i64>,
}

/// How many servers nobody should have.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Min {
    /// No matter.
    #[default]
    None,
    /// So many.
    Number(i64),
    /// Such a part of all servers, above 0 and below 1.
    Share(f64),
}

/// Metadata that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    /// Not a number, or one that makes no sense.
    #[error(
        "minAvailable {0:?} is neither a number of servers (\"3\"), nor a part of all servers as a fraction (\"0.3\") or a \
         percentage below 100 (\"30%\")"
    )]
    Min(String),
    /// Not a number, or one that makes no sense.
    #[error("maxAvailable {0:?} is not a whole number of servers, for example \"10\"")]
    Max(String),
}

impl Wish {
    /// Reads the trigger's metadata. Keys of KEDA's own, and unknown ones, are not looked at.
    pub(crate) fn read(metadata: &HashMap<String, String>) -> Result<Self, MetadataError> {
        let text = |key: &str| metadata.get(key).map_or("", |value| value.trim());
        let (min, max) = (text("minAvailable"), text("maxAvailable"));
        Ok(Self {
            min: Min::read(min).ok_or_else(|| MetadataError::Min(clip(min)))?,
            max: if max.is_empty() {
                None
            } else {
                let number = max.parse::<u32>().map_err(|_| MetadataError::Max(clip(max)))?;
                Some(i64::from(number))
            },
        })
    }
}

/// Metadata is anybody's, and an error is logged.
fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

impl Min {
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::None);
        }
        let is_number = |text: &str| {
            text.parse::<f64>()
                .ok()
                .filter(|number| (0.0..=MOST).contains(number))
        };
        if let Some(percent) = text.strip_suffix('%') {
            let percent = is_number(percent.trim_end()).filter(|percent| *percent < 100.0)?;
            return Some(Self::share(percent / 100.0));
        }
        let number = is_number(text)?;
        Some(if number < 1.0 {
            Self::share(number)
        } else {
            Self::Number(number.ceil() as i64)
        })
    }

    fn share(part: f64) -> Self {
        if part > 0.0 {
            Self::Share(part)
        } else {
            Self::Number(0)
        }
    }

    /// Whether any are wanted, however many there are.
    pub(crate) fn is_some(self) -> bool {
        match self {
            Self::None => false,
            Self::Number(number) => number > 0,
            Self::Share(_) => true,
        }
    }

    /// How many of them there should be, when `free` of `total` servers are free. A part is of what there will be: each server more
    /// is one more of both.
    pub(crate) fn of(self, total: i64, free: i64) -> i64 {
        let part = match self {
            Self::None => return 0,
            Self::Number(number) => return number,
            Self::Share(part) => part,
        };
        let more = (total as f64 * part - free as f64) / (1.0 - part);
        if more <= 0.0 {
            return 0;
        }
        // To hundredths first: 15.000000000000002 servers are 15.
        let more = (more * 100.0).round() / 100.0;
        more.ceil() as i64 + free
    }
}
