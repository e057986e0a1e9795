//! Who calls.

use controller_kit::{
    key::ObjectKey,
    server_code::{self, Fingerprint},
};
use http::{HeaderMap, header::AUTHORIZATION};

use crate::{
    error::Refusal,
    observe::{Caller, Stores},
};

/// The text after `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // Two say two things.
    if values.next().is_some() {
        return None;
    }
    let (scheme, credential) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credential.trim())
        .filter(|credential| !credential.is_empty())
}

/// The server whose code this is.
///
/// A server that does not exist, one without a code, and a wrong code are one answer, and take the same steps.
///
/// # Errors
/// `Unauthorized`.
pub(crate) fn by_code(stores: &Stores, code: &str) -> Result<Caller, Refusal> {
    let key = server_code::server_of(code).ok_or(Refusal::Unauthorized)?;
    let pod = stores.pods.get(&key);
    let wanted = pod.as_ref().and_then(|pod| pod.code);
    let right = wanted.unwrap_or_else(|| Fingerprint::of("")).matches(code);
    match pod.filter(|_| right) {
        Some(pod) => Ok(Caller { key, pod }),
        None => Err(Refusal::Unauthorized),
    }
}

/// Checks that a body which names a server names the one that calls.
///
/// # Errors
/// `OtherServer`.
pub(crate) fn is_about(
    caller: &ObjectKey,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<(), Refusal> {
    let same = |said: Option<&str>, own: &str| said.is_none_or(|said| said.is_empty() || said == own);
    if same(namespace, &caller.namespace) && same(name, &caller.name) {
        Ok(())
    } else {
        Err(Refusal::OtherServer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use controller_kit::store::Store;
    use serde_json::json;

    use super::*;
    use crate::views::PodView;

    fn stores() -> Stores {
        let stores = Stores {
            pods: Store::new(Vec::new()),
            game_servers: Store::new(Vec::new()),
            sets: Store::new(Vec::new()),
        };
        for (name, secret) in [("arena-0", 1), ("arena-1", 2)] {
            let code = server_code::code("games", name, &[secret; 32]);
            let pod: PodView = serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "games", "uid": name},
                "spec": {"containers": [{"env": [{"name": "API_SERVER_CODE", "value": code}]}]},
            }))
            .unwrap();
            stores.pods.insert(&ObjectKey::of(&pod.metadata), Arc::new(pod));
        }
        let bare: PodView =
            serde_json::from_value(json!({"metadata": {"name": "bare-0", "namespace": "games"}})).unwrap();
        stores.pods.insert(&ObjectKey::of(&bare.metadata), Arc::new(bare));
        stores
    }

    #[test]
    fn a_code_opens_its_own_server_only() {
        let stores = stores();
        let code = |name: &str, secret: u8| server_code::code("games", name, &[secret; 32]);
        let caller = by_code(&stores, &code("arena-1", 2)).unwrap();
        assert_eq!(caller.pod.metadata.uid, "arena-1");
        for wrong in [
            code("arena-0", 2),
            code("arena-2", 1),
            code("bare-0", 1),
            server_code::code("other", "arena-0", &[1; 32]),
            String::new(),
        ] {
            assert_eq!(by_code(&stores, &wrong).unwrap_err(), Refusal::Unauthorized);
        }
    }

    #[test]
    fn one_header_with_one_code() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            headers
        };
        assert_eq!(bearer(&headers(&["Bearer x"])), Some("x"));
        assert_eq!(bearer(&headers(&["bearer x"])), Some("x"));
        for wrong in [
            &[][..],
            &["x"],
            &["Basic x"],
            &["Bearer "],
            &["Bearer x", "Bearer x"],
        ] {
            assert_eq!(bearer(&headers(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_server_speaks_for_itself() {
        let own = ObjectKey::new("games", "arena-0");
        assert_eq!(is_about(&own, None, Some("arena-0")), Ok(()));
        assert_eq!(is_about(&own, Some("games"), Some("")), Ok(()));
        assert_eq!(
            is_about(&own, Some("games"), Some("arena-1")),
            Err(Refusal::OtherServer)
        );
        assert_eq!(
            is_about(&own, Some("other"), Some("arena-0")),
            Err(Refusal::OtherServer)
        );
    }
}
