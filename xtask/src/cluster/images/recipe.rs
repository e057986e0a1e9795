//! What an image consists of: `e2e/images/NAME/image.yaml` and the files beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::layer::LayerTar;
use super::program::{self, OwnBinary, PackagedProgram, Program};

/// Applets that images get as commands.
const APPLETS: [&str; 40] = [
    "[", "ash", "awk", "basename", "cat", "chmod", "cp", "cut", "date", "dirname", "echo", "env", "false",
    "grep", "head", "hostname", "id", "kill", "ln", "ls", "mkdir", "mv", "nc", "ps", "pwd", "rm", "sed",
    "sh", "sleep", "sort", "stat", "tail", "tee", "test", "touch", "tr", "true", "wc", "wget", "xargs",
];

/// Where scripts written for Debian look for their shell.
const BASH: &str = "/bin/bash";

/// An image to be made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recipe {
    /// What the container runs unless the manifest says otherwise.
    entrypoint: Vec<String>,
    /// Working directory.
    #[serde(default = "root")]
    working_dir: String,
    /// Environment besides `PATH`, as `NAME=value`.
    #[serde(default)]
    env: Vec<String>,
    /// Files in addition to busybox.
    #[serde(default)]
    files: Vec<RecipeFile>,
    /// Programs of this machine.
    #[serde(default)]
    programs: Vec<PackagedProgram>,
    /// Programs of this workspace.
    #[serde(default)]
    binaries: Vec<OwnBinary>,
    /// The recipe's folder.
    #[serde(skip)]
    dir: PathBuf,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecipeFile {
    /// Absolute path in the image.
    path: String,
    /// File in the recipe's folder, or absolute path on this machine.
    from: PathBuf,
    /// Whether it may be executed.
    #[serde(default)]
    executable: bool,
}

fn root() -> String {
    "/".into()
}

impl Recipe {
    /// Reads the recipe `name` in `folder`.
    ///
    /// # Errors
    /// When there is none, or it isn't one.
    pub fn read(folder: &Path, name: &str) -> Result<Self> {
        if name.is_empty() || name.contains(['/', '.']) {
            bail!("{name:?} is no recipe name");
        }
        let dir = folder.join(name);
        let path = dir.join("image.yaml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("no recipe {name}: {}", path.display()))?;
        let mut recipe: Self =
            serde_yaml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?;
        recipe.dir = dir;
        Ok(recipe)
    }

    /// The programs that the image is to have, once they are on this machine.
    ///
    /// # Errors
    /// When one can't be installed or built.
    pub(super) async fn gather(&self) -> Result<Vec<Program>> {
        program::gather(&self.programs, &self.binaries).await
    }

    /// The image's only layer as a tar: busybox with its applets, usual folders, the recipe's files and `programs`. The same recipe
    /// gives the same bytes.
    ///
    /// # Errors
    /// When a file can't be read.
    pub(super) fn layer(&self, busybox: &Path, programs: &[Program]) -> Result<Vec<u8>> {
        let mut layer = LayerTar::new();
        for (folder, mode) in [
            ("bin", 0o755),
            ("etc", 0o755),
            ("tmp", 0o1777),
            ("root", 0o700),
            ("var", 0o755),
        ] {
            layer.folder(folder, mode)?;
        }
        let busybox = std::fs::read(busybox).with_context(|| format!("can't read {}", busybox.display()))?;
        layer.file("bin/busybox", 0o755, &busybox)?;
        for applet in APPLETS {
            layer.link(&format!("bin/{applet}"), "busybox")?;
        }
        if !programs.iter().any(|program| program.path == BASH) {
            // busybox goes by the name it is called by and doesn't know this one, so a link wouldn't do.
            layer.file(&BASH[1..], 0o755, b"#!/bin/sh\nexec /bin/sh \"$@\"\n")?;
        }
        layer.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
        layer.file("etc/group", 0o644, b"root:x:0:\n")?;
        for file in &self.files {
            let mode = if file.executable { 0o755 } else { 0o644 };
            layer.copy(&self.dir.join(&file.from), &file.path, mode)?;
        }
        let mut libraries = BTreeSet::new();
        for program in programs {
            layer.copy(&program.from, &program.path, 0o755)?;
            libraries.extend(program::libraries(&program.from)?);
        }
        for library in libraries {
            // The loader looks for the name; what it is a link to does not matter.
            layer.copy(&library, &library.display().to_string(), 0o755)?;
        }
        let working_dir = self.working_dir.trim_start_matches('/');
        if !working_dir.is_empty() {
            layer.parents(&format!("{working_dir}/x"))?;
        }
        layer.finish()
    }

    /// The `config` part of the image's configuration.
    pub(super) fn image_config(&self) -> Value {
        let mut env = vec!["PATH=/bin".to_owned()];
        env.extend(self.env.iter().cloned());
        json!({"Entrypoint": self.entrypoint, "WorkingDir": self.working_dir, "Env": env})
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn images() -> PathBuf {
        crate::cluster::paths::repo_root().join("e2e/images")
    }

    #[test]
    fn every_recipe_in_the_repository_is_complete() {
        let busybox = tempfile::NamedTempFile::new().unwrap();
        let names: Vec<String> = std::fs::read_dir(images())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.iter().any(|name| name == "pause"));
        for name in names {
            let recipe = Recipe::read(&images(), &name).unwrap();
            recipe.layer(busybox.path(), &[]).unwrap();
            assert!(!recipe.entrypoint.is_empty(), "{name} runs nothing");
        }
    }

    #[test]
    fn the_layer_holds_files_links_and_every_folder_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("x")).unwrap();
        std::fs::write(dir.path().join("x/image.yaml"), "entrypoint: [/data/a.sh]\nworkingDir: /data\nfiles:\n- {path: /data/a.sh, from: a.sh, executable: true}\n- {path: /data/b, from: a.sh}\n").unwrap();
        std::fs::write(dir.path().join("x/a.sh"), "hello").unwrap();
        let busybox = dir.path().join("busybox");
        std::fs::write(&busybox, "ELF").unwrap();
        let recipe = Recipe::read(dir.path(), "x").unwrap();
        let layer = recipe.layer(&busybox, &[]).unwrap();
        assert_eq!(
            layer,
            recipe.layer(&busybox, &[]).unwrap(),
            "the same recipe gave other bytes"
        );

        let mut entries = BTreeMap::new();
        for entry in tar::Archive::new(layer.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let link = entry.link_name().unwrap().map(|link| link.display().to_string());
            let what = (entry.header().mode().unwrap(), entry.size(), link);
            assert_eq!(entries.insert(path.clone(), what), None, "{path} is there twice");
        }
        assert_eq!(entries["data/"], (0o755, 0, None));
        assert_eq!(entries["data/a.sh"], (0o755, 5, None));
        assert_eq!(entries["data/b"], (0o644, 5, None));
        assert_eq!(entries["bin/ps"].2.as_deref(), Some("busybox"));
        assert_eq!(entries["bin/bash"].0, 0o755);
        assert_eq!(entries["tmp/"].0, 0o1777);
    }

    #[test]
    fn a_program_brings_its_libraries_and_takes_the_place_of_the_stand_in() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("x")).unwrap();
        std::fs::write(dir.path().join("x/image.yaml"), "entrypoint: [/bin/bash]\n").unwrap();
        let recipe = Recipe::read(dir.path(), "x").unwrap();
        let this_test = std::env::current_exe().unwrap();
        let bash = Program {
            path: "/bin/bash".into(),
            from: this_test.clone(),
        };
        let layer = recipe.layer(Path::new("/dev/null"), &[bash]).unwrap();
        let mut sizes = BTreeMap::new();
        for entry in tar::Archive::new(layer.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            assert_eq!(
                sizes.insert(path.clone(), entry.size()),
                None,
                "{path} is there twice"
            );
        }
        assert_eq!(sizes["bin/bash"], std::fs::metadata(this_test).unwrap().len());
        assert!(
            sizes.keys().any(|path| path.contains("libc.so")),
            "{:?}",
            sizes.keys()
        );
    }

    #[test]
    fn a_typing_error_in_a_recipe_is_found() {
        let message = serde_yaml::from_str::<Recipe>("entrypoint: [/a]\nfile: []\n")
            .unwrap_err()
            .to_string();
        assert!(message.contains("unknown field"), "{message}");
    }
}
