//! Whether a lifecycle hook holds a Pod, or has been satisfied.
//!
//! A hook names labels (with their values) and finalizers, which normally come from the Pod template. They work in two
//! directions: a step that takes the Pod out of service (`preDelete`, `inPlaceUpdate`) waits while *any* of them is there, so
//! every handler has its say; a step that brings it into service (`preNormal`, and the end of an update in place) waits until
//! *all* of them are there.

use api_types::{GameServerSetView, LifecycleHook, keys, views::Meta};

use crate::views::GameServerView;

/// The hook before a Pod's deletion.
pub fn pre_delete(set: &GameServerSetView) -> Option<&LifecycleHook> {
    set.spec.lifecycle.as_ref()?.pre_delete.as_ref()
}

/// The hook before a new Pod counts as in service.
pub fn pre_normal(set: &GameServerSetView) -> Option<&LifecycleHook> {
    set.spec.lifecycle.as_ref()?.pre_normal.as_ref()
}

/// The hook before and after an update in place.
pub fn in_place_update(set: &GameServerSetView) -> Option<&LifecycleHook> {
    set.spec.lifecycle.as_ref()?.in_place_update.as_ref()
}

/// Whether the hook, if there is one, takes the Pods it holds out of service.
pub fn marks_not_ready(hook: Option<&LifecycleHook>) -> bool {
    hook.is_some_and(|hook| hook.mark_pod_not_ready == Some(true))
}

/// Whether the hook holds the Pod back: any of its finalizers is on the Pod, or any of its labels with this very value.
pub fn is_held(hook: &LifecycleHook, pod: &Meta) -> bool {
    finalizers(hook).any(|finalizer| pod.finalizers.contains(finalizer))
        || hook
            .labels_handler
            .iter()
            .any(|(key, value)| pod.label(key) == Some(value))
}

/// Whether the hook lets the Pod into service: all of its finalizers and labels are on the Pod. A hook that names nothing is
/// satisfied by every Pod.
pub fn is_satisfied(hook: &LifecycleHook, pod: &Meta) -> bool {
    finalizers(hook).all(|finalizer| pod.finalizers.contains(finalizer))
        && hook
            .labels_handler
            .iter()
            .all(|(key, value)| pod.label(key) == Some(value))
}

/// Whether the `preDelete` hook holds the Pod of this GameServer.
///
/// `gs-sync/` labels are the GameServer's and the Pod only shows them, a moment later: a game that has just said there that
/// it must not be deleted is believed at once.
pub fn holds_deletion(hook: &LifecycleHook, pod: &Meta, game_server: Option<&GameServerView>) -> bool {
    is_held(hook, pod)
        || game_server.is_some_and(|found| {
            hook.labels_handler.iter().any(|(key, value)| {
                key.starts_with(keys::GS_SYNC_PREFIX) && found.metadata.label(key) == Some(value)
            })
        })
}

fn finalizers(hook: &LifecycleHook) -> impl Iterator<Item = &String> {
    hook.finalizers_handler.iter()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::btree_map, prelude::*, sample::subsequence};

    use super::*;

    fn hook(labels: &[(&str, &str)], finalizers: &[&str]) -> LifecycleHook {
        LifecycleHook {
            labels_handler: map(labels),
            finalizers_handler: finalizers.iter().map(ToString::to_string).collect(),
            mark_pod_not_ready: None,
        }
    }

    fn pod(labels: &[(&str, &str)], finalizers: &[&str]) -> Meta {
        Meta {
            labels: labels.iter().copied().collect(),
            finalizers: finalizers.iter().map(ToString::to_string).collect(),
            ..Meta::default()
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_documented_label_holds_and_releases() {
        let hook = hook(&[("gs-sync/delete-block", "true")], &[]);
        assert!(is_held(&hook, &pod(&[("gs-sync/delete-block", "true")], &[])));
        assert!(!is_held(&hook, &pod(&[("gs-sync/delete-block", "false")], &[])));
        assert!(!is_held(&hook, &pod(&[], &[])));
    }

    #[test]
    fn any_handler_holds_and_all_satisfy() {
        let hook = hook(&[("ready", "yes"), ("warm", "yes")], &["example.com/save"]);
        let none = pod(&[("ready", "no")], &["example.com/other"]);
        let some = pod(&[("ready", "yes")], &[]);
        let all = pod(&[("ready", "yes"), ("warm", "yes")], &["example.com/save"]);
        assert_eq!(
            [&none, &some, &all].map(|pod| is_held(&hook, pod)),
            [false, true, true]
        );
        assert_eq!(
            [&none, &some, &all].map(|pod| is_satisfied(&hook, pod)),
            [false, false, true]
        );
    }

    #[test]
    fn a_hook_that_names_nothing_holds_nobody_and_is_satisfied() {
        let empty = hook(&[], &[]);
        assert!(!is_held(&empty, &pod(&[("a", "b")], &["c/d"])));
        assert!(is_satisfied(&empty, &pod(&[], &[])));
    }

    #[test]
    fn a_synced_label_holds_as_soon_as_the_game_server_has_it() {
        let hook = hook(&[("gs-sync/delete-block", "true"), ("own", "true")], &[]);
        let game_server = |labels| GameServerView {
            metadata: pod(labels, &[]),
            ..GameServerView::default()
        };
        let blocked = game_server(&[("gs-sync/delete-block", "true")]);
        let released = game_server(&[("gs-sync/delete-block", "false"), ("own", "true")]);
        assert!(holds_deletion(&hook, &pod(&[], &[]), Some(&blocked)));
        assert!(
            !holds_deletion(&hook, &pod(&[], &[]), Some(&released)),
            "own isn't synced"
        );
        assert!(!holds_deletion(&hook, &pod(&[], &[]), None));
        // The Pod's label follows: until it does, the handlers that read the Pod have not heard of it.
        let shown = pod(&[("gs-sync/delete-block", "true")], &[]);
        assert!(holds_deletion(&hook, &shown, Some(&released)));
    }

    fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
        btree_map("[a-c]", "[xy]", 0..3)
    }

    fn some_finalizers() -> impl Strategy<Value = Vec<String>> {
        subsequence(vec!["f".to_owned(), "g".to_owned(), "h".to_owned()], 0..=3)
    }

    proptest! {
        // The marks of a hook are a set; a Pod shows some of it: none, some or all decides both answers.
        #[test]
        fn both_answers_count_the_same_marks(
            wanted in (labels(), some_finalizers()), shown in (labels(), some_finalizers()),
        ) {
            let hook = LifecycleHook {
                labels_handler: wanted.0.clone(),
                finalizers_handler: wanted.1.clone(),
                mark_pod_not_ready: None,
            };
            let pod = Meta { labels: shown.0.iter().collect(), finalizers: shown.1.clone(), ..Meta::default() };
            let marks = wanted.0.len() + wanted.1.len();
            let mut on_pod = 0;
            for pair in &wanted.0 {
                on_pod += usize::from(shown.0.iter().any(|found| found == pair));
            }
            for finalizer in &wanted.1 {
                on_pod += usize::from(shown.1.iter().any(|found| found == finalizer));
            }
            prop_assert_eq!(is_held(&hook, &pod), on_pod > 0);
            prop_assert_eq!(is_satisfied(&hook, &pod), on_pod == marks);
        }
    }
}
