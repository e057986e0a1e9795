//! `cargo xtask gen-crds`: writes `crds/` from the Rust types, or says that it is stale.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::cluster::paths::repo_root;

const HEADER: &str =
    "# Written by `cargo xtask gen-crds` from crates/api-types; edit the types, not this file.\n";

/// Flags of `cargo xtask gen-crds`.
#[derive(Debug, clap::Args)]
pub struct GenCrdsArgs {
    /// Write nothing; fail when a file is not what would be written
    #[arg(long)]
    check: bool,
}

impl GenCrdsArgs {
    /// Writes or checks, as the flags say.
    ///
    /// # Errors
    /// As [`run`].
    pub fn run(&self) -> Result<()> {
        run(self.check)
    }
}

/// Writes each definition to `crds/<group>_<plural>.yaml`; with `check`, compares instead of writing.
///
/// # Errors
/// With `check`, when a file differs from the types: one line that names the first such file.
pub fn run(check: bool) -> Result<()> {
    let directory = repo_root().join("crds");
    for definition in api_types::crd::all()? {
        let name = file_name(&definition);
        let path = directory.join(&name);
        let text = render(&definition)?;
        if !check {
            fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        } else if !is_current(&path, &text) {
            bail!("crds/{name} is stale: run `cargo xtask gen-crds` and commit the result");
        }
    }
    Ok(())
}

/// A missing file is a stale one.
fn is_current(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|present| present == text)
}

fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural)
}

fn render(definition: &CustomResourceDefinition) -> Result<String> {
    Ok(format!("{HEADER}{}", serde_yaml::to_string(definition)?))
}
