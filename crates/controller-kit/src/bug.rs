//! Bugs on purpose: `cargo xtask faults --seeded-bugs` shows that the fault harness finds each of them.
//!
//! Without the feature `seeded-bugs`, which no build for users has, [`active`] is a constant and its sites vanish.

/// Whether the process has this bug: the one that `GAMEKEEPER_SEEDED_BUG` names.
#[cfg(feature = "seeded-bugs")]
pub fn active(name: &str) -> bool {
    static BUG: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var("GAMEKEEPER_SEEDED_BUG").unwrap_or_default()) == name
}

/// Whether the process has this bug: never.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
pub const fn active(_name: &str) -> bool {
    false
}
