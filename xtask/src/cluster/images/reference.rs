//! Image references as a kubelet looks them up.

use anyhow::{Result, bail};

/// `reference` with registry and tag made explicit: `game` is `docker.io/library/game:latest`.
///
/// # Errors
/// For a reference by digest (the image made here has another one) and for anything that is no reference.
pub(crate) fn normalise(reference: &str) -> Result<String> {
    if reference.contains('@') {
        bail!("{reference}: an image made here can't have a digest given beforehand; use a tag");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "./:-_".contains(c);
    let (name, tag) = match reference.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    };
    if name.is_empty() || tag.is_empty() || !name.chars().all(allowed) {
        bail!("{reference:?} is no image reference");
    }
    let has_registry = name
        .split_once('/')
        .is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost");
    Ok(match (has_registry, name.contains('/')) {
        (true, _) => format!("{name}:{tag}"),
        (false, true) => format!("docker.io/{name}:{tag}"),
        (false, false) => format!("docker.io/library/{name}:{tag}"),
    })
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn registry_and_tag_are_made_explicit() {
        for (given, expected) in [
            ("game", "docker.io/library/game:latest"),
            ("game:2", "docker.io/library/game:2"),
            ("team/game:2", "docker.io/team/game:2"),
            ("localhost/game", "localhost/game:latest"),
            ("registry.example:5000/game", "registry.example:5000/game:latest"),
            ("registry.example/a/b:probe-v0", "registry.example/a/b:probe-v0"),
        ] {
            assert_eq!(normalise(given).unwrap(), expected);
        }
    }

    #[test]
    fn what_can_not_be_made_is_refused() {
        for bad in ["", ":1", "game:", "Game:1", "game@sha256:00", "a b"] {
            assert!(normalise(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
