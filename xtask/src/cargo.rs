//! Running cargo from within cargo.

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The cargo that runs this program.
fn binary() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Cargo at `root`, in an environment as a terminal has it.
///
/// `cargo run` tells its program which package it is. A cargo started from there would see that, and ring's build script looks at
/// these variables: every change between `cargo test` and `cargo xtask test` would compile ring, and all above it, again (four
/// minutes on two cores).
pub(crate) fn command(root: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(names_a_package) {
            command.env_remove(&name);
        }
    }
    command
}

fn names_a_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}
