//! Servers that show who they are by a token of their ServiceAccount, bound to their Pod, instead of the code in their
//! environment.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use controller_kit::{key::ObjectKey, server_code::Fingerprint};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{
    Client,
    api::{Api, PostParams},
};
use tokio::sync::Semaphore;

use crate::{
    error::Refusal,
    observe::{Caller, Stores},
};

/// How long the API server's word about a token counts. A Pod that is gone is no caller, whatever its token says.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// The same of a token that is not valid.
const BAD_FOR: Duration = Duration::from_secs(10);
/// The most answers that are kept.
const MOST: usize = 20_000;
/// The longest token.
const LONGEST: usize = 8 * 1024;
/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(4);

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Asks the API server about tokens, and remembers what it said.
pub(crate) struct Tokens {
    client: Client,
    audience: String,
    known: Mutex<HashMap<[u8; 32], Known>>,
    slots: Semaphore,
}

/// What the API server said about a token.
#[derive(Clone, Debug)]
struct Known {
    until: Instant,
    /// `None`: it is nobody's.
    bound: Option<Bound>,
}

/// The Pod a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    key: ObjectKey,
    uid: String,
}

impl Tokens {
    pub(crate) fn new(client: Client, audience: String) -> Self {
        Self {
            client,
            audience,
            known: Mutex::default(),
            slots: Semaphore::new(16),
        }
    }

    /// The server whose token this is.
    ///
    /// # Errors
    /// `Unauthorized`, or `Unavailable` when nobody can say.
    pub(crate) async fn caller(&self, stores: &Stores, token: &str) -> Result<Caller, Refusal> {
        // Anything else is no JWT, and nothing to ask about.
        if token.len() > LONGEST || token.split('.').count() != 3 {
            return Err(Refusal::Unauthorized);
        }
        let fingerprint = Fingerprint::of(token).bytes();
        let bound = match self.remembered(&fingerprint) {
            Some(known) => known.bound,
            None => self.ask(token, fingerprint).await?,
        };
        let bound = bound.ok_or(Refusal::Unauthorized)?;
        let pod = stores.pods.get(&bound.key);
        match pod.filter(|pod| pod.metadata.uid == bound.uid) {
            Some(pod) => Ok(Caller { key: bound.key, pod }),
            None => Err(Refusal::Unauthorized),
        }
    }

    fn remembered(&self, fingerprint: &[u8; 32]) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(fingerprint)?;
        (found.until > Instant::now()).then(|| found.clone())
    }

    async fn ask(&self, token: &str, fingerprint: [u8; 32]) -> Result<Option<Bound>, Refusal> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        // Never closed: the semaphore lives as long as the process.
        let _slot = self.slots.acquire().await;
        let params = PostParams::default();
        let answer = tokio::time::timeout(DEADLINE, reviews.create(&params, &review)).await;
        let Ok(Ok(answer)) = answer else {
            // Not the error itself: what it quotes may hold the token.
            tracing::warn!("the API server does not say whether a token is valid");
            return Err(Refusal::Unavailable);
        };
        let bound = answer.status.and_then(|status| bound(&status, &self.audience));
        self.remember(fingerprint, bound.clone());
        Ok(bound)
    }

    fn remember(&self, fingerprint: [u8; 32], bound: Option<Bound>) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, known| known.until > now);
        }
        if known.len() < MOST {
            let good_for = if bound.is_some() { GOOD_FOR } else { BAD_FOR };
            let until = now + good_for;
            known.insert(fingerprint, Known { until, bound });
        }
    }
}

/// The Pod that a valid token is bound to.
fn bound(status: &TokenReviewStatus, audience: &str) -> Option<Bound> {
    let for_us = status.audiences.iter().flatten().any(|meant| meant == audience);
    let user = status.user.as_ref()?;
    if status.authenticated != Some(true) || !for_us {
        return None;
    }
    let extra = |key: &str| user.extra.as_ref()?.get(key)?.first().cloned();
    let account = user.username.as_deref()?;
    let (namespace, _) = account.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(Bound {
        key: ObjectKey::new(namespace, extra(POD_NAME)?),
        uid: extra(POD_UID)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(status: Value) -> Option<Bound> {
        bound(&serde_json::from_value(status).unwrap(), "gamekeeper")
    }

    fn good() -> Value {
        json!({
            "authenticated": true, "audiences": ["gamekeeper"],
            "user": {"username": "system:serviceaccount:games:default",
                "extra": {POD_NAME: ["arena-0"], POD_UID: ["u"]}},
        })
    }

    #[test]
    fn a_token_stands_for_the_pod_it_is_bound_to() {
        let expected = Bound {
            key: ObjectKey::new("games", "arena-0"),
            uid: "u".into(),
        };
        assert_eq!(of(good()), Some(expected));
    }

    #[test]
    fn a_token_of_nobody_for_somebody_else_or_without_a_pod_is_none() {
        for (path, value) in [
            ("/authenticated", json!(false)),
            ("/audiences", json!(["https://kubernetes.default.svc"])),
            ("/user/username", json!("admin")),
            ("/user/extra", json!({POD_NAME: ["arena-0"]})),
            ("/user/extra", json!({})),
        ] {
            let mut status = good();
            *status.pointer_mut(path).unwrap() = value;
            assert_eq!(of(status), None, "{path}");
        }
    }
}
