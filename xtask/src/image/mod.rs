//! `cargo xtask image`: the image of a release, made without Docker.

mod build;
mod elf;
mod sbom;
mod twice;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cluster::images::archive::{self, Identity};
use crate::cluster::images::layer::{Layer, LayerTar};
use crate::cluster::images::reference;
use crate::cluster::paths::repo_root;
pub(crate) use build::PACKAGE;
use build::Place;

/// Nobody's user on any system we know of, and the one of most images without a shell.
const USER: &str = "65532:65532";
/// The program in the image.
const PROGRAM: &str = "/gamekeeper";
/// Where scanners look for what an image consists of.
const SBOM: &str = "usr/share/sbom/gamekeeper.cdx.json";

/// Flags of `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub struct ImageArgs {
    /// Write the image to this file: an OCI layout in a tar, for `ctr images import`, `kind load image-archive`, `skopeo copy`
    #[arg(long, value_name = "FILE.tar", required_unless_present_any = ["rootfs", "verify_reproducible"])]
    out: Option<PathBuf>,
    /// Write the image's files to this folder, for a Dockerfile
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// Write nothing: build a copy of the checkout elsewhere as well, from nothing, and compare the images byte for byte (minutes)
    #[arg(long, conflicts_with_all = ["out", "rootfs"])]
    verify_reproducible: bool,
    /// What the image is called
    #[arg(long, value_name = "NAME", default_value = concat!("gamekeeper.local/gamekeeper:", env!("CARGO_PKG_VERSION")))]
    reference: String,
    /// Target of the build [default: this machine's]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
}

impl ImageArgs {
    /// Builds the program and writes what was asked for.
    ///
    /// # Errors
    /// When the build fails, the program isn't static, or a file can't be written.
    pub async fn run(&self) -> Result<()> {
        let root = repo_root();
        if self.verify_reproducible {
            return twice::verify(&root, &self.reference, self.target.as_deref()).await;
        }
        let built = build::program(&Place::of(&root), self.target.as_deref()).await?;
        let files = files(&root, &built)?;
        println!(
            "program {:>10}  {}",
            mb(built.program.len()),
            built.path.display()
        );
        if let Some(folder) = &self.rootfs {
            unpack(&files, folder)?;
            println!("files                 {}", folder.display());
        }
        let Some(out) = &self.out else {
            return Ok(());
        };
        let written = write(&files, &self.reference, &built.target, out)?;
        println!(
            "layer   {:>10}  {} compressed",
            mb(written.layer),
            mb(written.stored)
        );
        println!(
            "image   {:>10}  {} {}",
            mb(written.file),
            written.digest,
            out.display()
        );
        let beside = out.with_extension("cdx.json");
        std::fs::write(&beside, built.sbom.to_string())
            .with_context(|| format!("can't write {}", beside.display()))?;
        println!(
            "sbom    {:>10}  {}",
            format!("{} parts", sbom::parts(&built.sbom)),
            beside.display()
        );
        Ok(())
    }
}

/// Builds the program of `package` for this machine as the image's is built, and gives its file.
///
/// # Errors
/// When the build fails.
pub(crate) async fn program(package: &str) -> Result<PathBuf> {
    build::alike(&Place::of(&repo_root()), package).await
}

/// Builds the image of this checkout into `out`, known as `name`; for trials.
///
/// # Errors
/// As [`ImageArgs::run`].
pub(crate) async fn build(name: &str, out: &Path) -> Result<Written> {
    let root = repo_root();
    let built = build::program(&Place::of(&root), None).await?;
    write(&files(&root, &built)?, name, &built.target, out)
}

/// The program in the image archive `bytes`.
///
/// # Errors
/// When it isn't an archive that this command wrote.
pub(crate) fn program_of(bytes: &[u8]) -> Result<Vec<u8>> {
    let read = |path: &str| archived(bytes, path);
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        read(&format!("blobs/{}", digest.replace(':', "/")))
    };
    let index: Value = serde_json::from_slice(&read("index.json")?)?;
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])?)?;
    let mut layer = Vec::new();
    flate2::read::GzDecoder::new(blob(&manifest["layers"][0])?.as_slice()).read_to_end(&mut layer)?;
    archived(&layer, &PROGRAM[1..])
}

/// The file at `path` of a tar.
fn archived(tar: &[u8], path: &str) -> Result<Vec<u8>> {
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(path) {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(content);
        }
    }
    bail!("no {path} in the archive")
}

/// A file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: &'static str,
    mode: u32,
    content: Vec<u8>,
}

/// What was written, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Digest of the manifest.
    pub(crate) digest: String,
    /// Files before compression.
    pub(crate) layer: usize,
    /// Layer as it is pulled.
    pub(crate) stored: usize,
    /// The archive.
    pub(crate) file: usize,
}

/// All that is in the image.
fn files(root: &Path, built: &build::Built) -> Result<Vec<File>> {
    let licence = std::fs::read(root.join("LICENSE")).context("can't read LICENSE")?;
    let mut files = vec![
        file(&PROGRAM[1..], 0o755, built.program.clone()),
        // What glibc would assume as well; said so that it does not depend on the version.
        file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n".to_vec()),
        file(SBOM, 0o644, built.sbom.to_string().into_bytes()),
        file("usr/share/licenses/gamekeeper/LICENSE", 0o644, licence),
    ];
    files.sort_by_key(|file| file.path);
    Ok(files)
}

fn file(path: &'static str, mode: u32, content: Vec<u8>) -> File {
    File { path, mode, content }
}

/// The image's configuration.
fn config() -> Value {
    json!({
        "User": USER,
        "Entrypoint": [PROGRAM],
        "WorkingDir": "/",
        "Labels": {
            "org.opencontainers.image.title": "gamekeeper",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    })
}

/// The same files give the same bytes.
fn layer_tar(files: &[File]) -> Result<Vec<u8>> {
    let mut layer = LayerTar::new();
    for file in files {
        layer.parents(file.path)?;
        layer.file(file.path, file.mode, &file.content)?;
    }
    layer.finish()
}

fn write(files: &[File], name: &str, target: &str, out: &Path) -> Result<Written> {
    let name = reference::normalise(name)?;
    let tar = layer_tar(files)?;
    let layer = Layer::gzip(&tar)?;
    let identity = Identity {
        reference: &name,
        name: &name,
        architecture: archive::architecture(target.split('-').next().unwrap_or_default()),
    };
    let mut bytes = Vec::new();
    let digest = archive::write(&mut bytes, identity, &layer, &config())?;
    std::fs::write(out, &bytes).with_context(|| format!("can't write {}", out.display()))?;
    Ok(Written {
        digest,
        layer: tar.len(),
        stored: layer.stored.len(),
        file: bytes.len(),
    })
}

fn unpack(files: &[File], folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for file in files {
        let path = folder.join(file.path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(&path, &file.content).with_context(|| format!("can't write {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

pub(crate) fn mb(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> build::Built {
        build::Built {
            program: b"\x7fELF program".to_vec(),
            path: PathBuf::from("gamekeeper"),
            target: "x86_64-unknown-linux-gnu".into(),
            sbom: json!({"components": []}),
        }
    }

    #[test]
    fn two_builds_of_the_same_files_have_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&repo_root(), &built()).unwrap();
        let written = ["one.tar", "two.tar"].map(|name| {
            let out = folder.path().join(name);
            let written = write(
                &files,
                "registry.example/gamekeeper:1",
                "x86_64-unknown-linux-gnu",
                &out,
            )
            .unwrap();
            (written, std::fs::read(out).unwrap())
        });
        assert!(written[0] == written[1]);
        assert_eq!(program_of(&written[0].1).unwrap(), built().program);
        let mut other = files;
        other[0].content.push(0);
        let out = folder.path().join("three.tar");
        let third = write(
            &other,
            "registry.example/gamekeeper:1",
            "x86_64-unknown-linux-gnu",
            &out,
        )
        .unwrap();
        assert_ne!(third.digest, written[0].0.digest);
    }

    /// No shell, no other program, nothing that can be written to; what is in the image is this list.
    #[test]
    fn the_layer_has_these_files_and_no_others() {
        let tar = layer_tar(&files(&repo_root(), &built()).unwrap()).unwrap();
        let mut entries = Vec::new();
        for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.mtime().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap()
                ),
                (0, 0, 0)
            );
            entries.push((
                entry.path().unwrap().display().to_string(),
                header.mode().unwrap(),
            ));
        }
        let expected = [
            ("etc/", 0o755),
            ("etc/nsswitch.conf", 0o644),
            ("gamekeeper", 0o755),
            ("usr/", 0o755),
            ("usr/share/", 0o755),
            ("usr/share/licenses/", 0o755),
            ("usr/share/licenses/gamekeeper/", 0o755),
            ("usr/share/licenses/gamekeeper/LICENSE", 0o644),
            ("usr/share/sbom/", 0o755),
            ("usr/share/sbom/gamekeeper.cdx.json", 0o644),
        ];
        assert_eq!(entries, expected.map(|(path, mode)| (path.to_owned(), mode)));
    }

    #[test]
    fn the_dockerfile_says_the_same_of_the_image() {
        let text = std::fs::read_to_string(repo_root().join("Dockerfile")).unwrap();
        let config = config();
        assert!(text.contains(&format!("\nUSER {}\n", config["User"].as_str().unwrap())));
        assert!(text.contains(&format!("\nENTRYPOINT [{}]\n", config["Entrypoint"][0])));
        assert!(text.contains("\nFROM scratch\n") && text.contains("cargo xtask image --rootfs /image"));
    }
}
