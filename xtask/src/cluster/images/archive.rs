//! Image archives in the OCI layout, which containerd, Docker and kind all import.

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::layer::Layer;
use crate::cluster::digest::sha256_hex;

/// Where containerd looks for the whole name; the standard key is for Docker.
const NAME: &str = "io.containerd.image.name";

/// What an archive says of its image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    /// The reference it was made for.
    pub(crate) reference: &'a str,
    /// The reference it is to be known as.
    pub(crate) name: &'a str,
    /// OCI's name of the architecture.
    pub(crate) architecture: &'a str,
}

/// The name of the image in an archive.
///
/// # Errors
/// When it is no image archive, or its image has no name.
pub(crate) fn name(archive: impl Read) -> Result<String> {
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        if entry.path()?.as_ref() == Path::new("index.json") {
            let index: Value = serde_json::from_reader(entry)?;
            let name = &index["manifests"][0]["annotations"][NAME];
            return name.as_str().map(str::to_owned).context("its image has no name");
        }
    }
    bail!("it has no index.json, and so is no image archive")
}

/// Writes the image of one `layer` to `output`. Gives the digest of its manifest.
///
/// # Errors
/// When `output` can't be written.
pub(crate) fn write(
    output: impl Write,
    identity: Identity<'_>,
    layer: &Layer,
    config: &Value,
) -> Result<String> {
    let mut archive = tar::Builder::new(output);
    add(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let image_config = serde_json::to_vec(&json!({
        "architecture": identity.architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        // The same recipe under two names is two images, as two versions of a game are. The kubelet reports the image that
        // runs by its digest, and would name either.
        "history": [{"created_by": "cargo xtask", "comment": identity.reference}],
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &image_config),
        "layers": [descriptor(layer.media_type, &layer.stored)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["platform"] = json!({"architecture": identity.architecture, "os": "linux"});
    entry["annotations"] = json!({
        NAME: identity.name,
        "org.opencontainers.image.ref.name": identity.name,
    });
    for blob in [&layer.stored, &image_config, &manifest] {
        add(
            &mut archive,
            &format!("blobs/{}", digest(blob).replace(':', "/")),
            blob,
        )?;
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    add(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    archive.finish()?;
    Ok(digest(&manifest))
}

fn add(archive: &mut tar::Builder<impl Write>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    Ok(archive.append_data(&mut header, path, content)?)
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(content))
}

/// The name that OCI uses for an architecture that Rust calls `name`.
pub(crate) fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Files of the archive of one image under this name, by path.
    fn files_of(reference: &str) -> BTreeMap<String, Vec<u8>> {
        let mut bytes = Vec::new();
        let identity = Identity {
            reference,
            name: reference,
            architecture: "amd64",
        };
        let layer = Layer::plain(b"layer".to_vec());
        write(&mut bytes, identity, &layer, &json!({"Entrypoint": ["/x"]})).unwrap();
        assert_eq!(name(bytes.as_slice()).unwrap(), reference);
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        files
    }

    #[test]
    fn what_is_no_archive_has_no_name() {
        assert!(name(&b"not a tar, and longer than its header would be"[..]).is_err());
        assert!(name(&b""[..]).is_err());
    }

    #[test]
    fn two_names_are_two_images() {
        let manifest = |reference: &str| -> Value {
            let index: Value = serde_json::from_slice(&files_of(reference)["index.json"]).unwrap();
            index["manifests"][0]["digest"].clone()
        };
        assert_eq!(
            manifest("registry.example/game:1"),
            manifest("registry.example/game:1")
        );
        assert_ne!(
            manifest("registry.example/game:1"),
            manifest("registry.example/game:2")
        );
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_that_digest_and_size() {
        let files = files_of("registry.example/game:1");
        let follow = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap().replace(':', "/");
            let blob = &files[&format!("blobs/{name}")];
            assert_eq!(digest(blob), descriptor["digest"]);
            assert_eq!(blob.len() as u64, descriptor["size"]);
            blob.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            "registry.example/game:1"
        );
        let manifest: Value = serde_json::from_slice(&follow(entry)).unwrap();
        assert_eq!(follow(&manifest["layers"][0]), b"layer");
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).unwrap();
        // The layer isn't compressed, so its digest is also its diff id.
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["config"]["Entrypoint"][0], "/x");
    }
}
