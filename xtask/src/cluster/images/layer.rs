//! A layer of an image: a tar that has no time, user or group of this machine, so that the same content has the same digest
//! everywhere.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cluster::digest::sha256_hex;

/// A layer as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Its bytes, compressed or not.
    pub(crate) stored: Vec<u8>,
    /// What they are.
    pub(crate) media_type: &'static str,
    /// Digest of the tar.
    pub(crate) diff_id: String,
}

impl Layer {
    /// A tar as it is.
    pub(crate) fn plain(tar: Vec<u8>) -> Self {
        Self {
            media_type: "application/vnd.oci.image.layer.v1.tar",
            diff_id: format!("sha256:{}", sha256_hex(&tar)),
            stored: tar,
        }
    }

    /// A tar compressed, without name and time in the gzip header.
    ///
    /// # Errors
    /// Never, for memory.
    pub(crate) fn gzip(tar: &[u8]) -> Result<Self> {
        let mut encoder = flate2::GzBuilder::new()
            .mtime(0)
            .operating_system(255)
            .write(Vec::new(), flate2::Compression::best());
        encoder.write_all(tar)?;
        Ok(Self {
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip",
            diff_id: format!("sha256:{}", sha256_hex(tar)),
            stored: encoder.finish()?,
        })
    }
}

/// A tar in the making.
pub(crate) struct LayerTar {
    tar: tar::Builder<Vec<u8>>,
    folders: Vec<String>,
}

impl LayerTar {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
            folders: Vec::new(),
        }
    }

    /// The tar.
    ///
    /// # Errors
    /// Never, for memory.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        Ok(self.tar.into_inner()?)
    }

    /// Copies a file of this machine to the absolute `path`.
    ///
    /// # Errors
    /// When it can't be read, or `path` isn't absolute.
    pub(super) fn copy(&mut self, from: &Path, path: &str, mode: u32) -> Result<()> {
        let content = std::fs::read(from).with_context(|| format!("can't read {}", from.display()))?;
        let path = path
            .strip_prefix('/')
            .with_context(|| format!("{path} is no absolute path"))?;
        self.parents(path)?;
        self.file(path, mode, &content)
    }

    /// The folders above `path` that are not there yet.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub(crate) fn parents(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/') {
            self.folder(&path[..end], 0o755)?;
        }
        Ok(())
    }

    /// A folder, once.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub(super) fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        if !self.folders.iter().any(|known| known == path) {
            self.folders.push(path.to_owned());
            let mut header = header(tar::EntryType::Directory, mode, 0);
            self.tar
                .append_data(&mut header, format!("{path}/"), std::io::empty())?;
        }
        Ok(())
    }

    /// A file.
    ///
    /// # Errors
    /// When the path is too long.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let mut header = header(tar::EntryType::Regular, mode, content.len() as u64);
        Ok(self.tar.append_data(&mut header, path, content)?)
    }

    /// A symbolic link.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        Ok(self.tar.append_link(&mut header, path, target)?)
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_compressed_layer_is_the_same_each_time_and_unpacks_to_the_tar() {
        let tar = b"content ".repeat(1000);
        let layer = Layer::gzip(&tar).unwrap();
        assert_eq!(layer, Layer::gzip(&tar).unwrap());
        assert!(layer.stored.len() < tar.len() / 10);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(layer.stored.as_slice())
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, tar);
        assert_eq!(layer.diff_id, Layer::plain(tar).diff_id);
    }
}
