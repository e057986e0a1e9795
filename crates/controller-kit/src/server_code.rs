//! The code by which a game server shows game-api which server, and which Pod, it is.
//!
//! gss-controller makes one for each Pod and puts it into the Pod's environment; game-api holds what a caller brings against
//! what the live Pod has. So a code is as good as its Pod: with the Pod goes the code, and no key has to be kept, shared or
//! rotated.
//!
//! `gk1_SECRET_NAMESPACE_NAME`: the secret is 256 random bits in hexadecimal digits, and no name in Kubernetes has a `_`. All of
//! it may stand in a URL as it is.

use std::fmt::{self, Write as _};

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use crate::key::ObjectKey;

/// What every code begins with. Scanners for leaked secrets can look for it.
pub const PREFIX: &str = "gk1_";
/// Hexadecimal digits of the secret.
const DIGITS: usize = 64;
/// The longest code: a namespace has 63 characters at most, a name 253.
pub const LONGEST: usize = PREFIX.len() + DIGITS + 1 + 63 + 1 + 253;

/// 256 bits that nobody can guess.
pub fn secret() -> [u8; 32] {
    // The thread's generator is cryptographic and seeded by the system.
    rand::random()
}

/// The code of the server with this name, made from its Pod's secret.
pub fn code(namespace: &str, name: &str, secret: &[u8; 32]) -> String {
    let mut code = String::with_capacity(PREFIX.len() + DIGITS + namespace.len() + name.len() + 2);
    code.push_str(PREFIX);
    for byte in secret {
        // Writing to a String cannot fail.
        let _ = write!(code, "{byte:02x}");
    }
    let _ = write!(code, "_{namespace}_{name}");
    code
}

/// The server that a text names, if it has the form of a code. Says nothing about whether the code is right.
pub fn server_of(text: &str) -> Option<ObjectKey> {
    if text.len() > LONGEST {
        return None;
    }
    let (secret, server) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_secret = secret.len() == DIGITS
        && secret
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (namespace, name) = server.split_once('_')?;
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    };
    (is_secret && is_name(namespace) && is_name(name)).then(|| ObjectKey::new(namespace, name))
}

/// What is kept of a code: enough to know it again, not enough to use it.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a text.
    pub fn of(text: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Whether this is the fingerprint of `text`. Takes the same time wherever they differ.
    pub fn matches(&self, text: &str) -> bool {
        self.0.ct_eq(&Self::of(text).0).into()
    }

    /// For maps whose keys callers choose.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_names_its_server(
            namespace in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
            name in "[a-z0-9]([-.a-z0-9]{0,100}[a-z0-9])?",
            secret: [u8; 32],
        ) {
            let code = code(&namespace, &name, &secret);
            prop_assert!(code.len() <= LONGEST);
            prop_assert_eq!(server_of(&code), Some(ObjectKey::new(namespace.as_str(), name.as_str())));
            prop_assert!(Fingerprint::of(&code).matches(&code));
        }

        #[test]
        fn a_code_changed_anywhere_is_another(secret: [u8; 32], at in 0_usize..80, to in "[0-9a-z_.]") {
            let right = code("games", "arena-0", &secret);
            let mut wrong = right.clone();
            let at = at % right.len();
            wrong.replace_range(at..=at, &to);
            prop_assert_eq!(Fingerprint::of(&right).matches(&wrong), right == wrong);
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,500}") {
            let _ = server_of(&text);
        }
    }

    #[test]
    fn what_is_not_a_code_names_no_server() {
        let good = code("games", "arena-0", &[7; 32]);
        assert!(server_of(&good).is_some());
        let strange = [
            String::new(),
            good.replace("gk1", "gk2"),
            good.replacen("07", "0G", 1),
            good.replacen("07", "", 1),
            good.replace("arena-0", ""),
            good.replace("_games", ""),
            good.replace("arena-0", "arena/0"),
            good.replace("arena-0", "a".repeat(400).as_str()),
            good.replace("games_", "games_x_"),
        ];
        for text in strange {
            assert_eq!(server_of(&text), None, "{text}");
        }
    }

    #[test]
    fn two_secrets_differ_and_a_fingerprint_shows_nothing() {
        assert_ne!(secret(), secret());
        assert_eq!(format!("{:?}", Fingerprint::of("x")), "Fingerprint");
    }
}
