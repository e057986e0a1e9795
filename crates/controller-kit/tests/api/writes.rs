//! The four write shapes and what becomes of a decision that is stale.

use std::time::{Duration, Instant};

use controller_kit::client;
use controller_kit::resource::ResourceKind;
use controller_kit::write::{
    Created, Deleted, MetaOnly, PatchKind, Precondition, Target, WriteError, Writer,
};
use serde_json::{Value, json};

use crate::cluster::{CONFIG_MAP, Scene, map_body, scene};
use crate::front::{Front, Mode};

const WIDGET: ResourceKind = ResourceKind {
    group: "kit-test.gamekeeper.dev",
    version: "v1",
    plural: "widgets",
    kind: "Widget",
    namespaced: true,
};

/// Makes sure that there is a custom resource with a status subresource.
async fn install_widgets(scene: &Scene) {
    const CRD: ResourceKind = ResourceKind {
        group: "apiextensions.k8s.io",
        version: "v1",
        plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition",
        namespaced: false,
    };
    let name = format!("{}.{}", WIDGET.plural, WIDGET.group);
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let body = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": name },
        "spec": {
            "group": WIDGET.group,
            "names": { "plural": WIDGET.plural, "singular": "widget", "kind": WIDGET.kind },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema },
                "subresources": { "status": {} },
            }],
        },
    });
    let target = Target::new(CRD, "", &name);
    scene.writer.create::<_, MetaOnly>(&target, &body).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let listed = Target::new(WIDGET, scene.namespace(), "none");
    // Served a moment after it is established.
    while scene
        .client
        .request_text(
            http::Request::get(listed.resource.path(listed.namespace, None, None))
                .body(vec![])
                .unwrap(),
        )
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline, "the test's resource is not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_conflict<R: std::fmt::Debug>(result: Result<R, WriteError>, why: &str) {
    assert!(
        matches!(result, Err(WriteError::Conflict(_))),
        "{why}: {result:?}"
    );
}

/// An object of `resource` and its first version.
async fn made(scene: &Scene, resource: ResourceKind, name: &str) -> MetaOnly {
    let body = json!({
        "apiVersion": resource.api_version(), "kind": resource.kind,
        "metadata": { "name": name, "labels": { "a": "1" } },
    });
    let target = Target::new(resource, scene.namespace(), name);
    let Created::New(meta) = scene.writer.create::<_, MetaOnly>(&target, &body).await.unwrap() else {
        panic!("{name} exists");
    };
    meta
}

fn relabel(kind: PatchKind, value: &str) -> Value {
    match kind {
        PatchKind::Json => json!([{ "op": "replace", "path": "/metadata/labels/a", "value": value }]),
        PatchKind::Merge | PatchKind::Strategic => json!({ "metadata": { "labels": { "a": value } } }),
    }
}

#[tokio::test]
async fn create_tells_a_taken_name_from_a_wrong_place_and_a_wrong_object() {
    scene(1, |scene| async move {
        let target = Target::new(CONFIG_MAP, scene.namespace(), "a");
        let first = scene
            .writer
            .create::<_, MetaOnly>(&target, &map_body("a", json!({})))
            .await
            .unwrap();
        let Created::New(meta) = first else {
            panic!("{first:?}")
        };
        let live: MetaOnly = scene.writer.read(&target).await.unwrap().unwrap();
        assert_eq!(meta, live);
        assert_eq!(
            (meta.name.as_str(), meta.namespace.as_str()),
            ("a", scene.namespace())
        );

        let again = scene
            .writer
            .create::<_, MetaOnly>(&target, &map_body("a", json!({})))
            .await;
        assert_eq!(again, Ok(Created::AlreadyExists));
        let nowhere = Target::new(CONFIG_MAP, "kit-no-such-namespace", "a");
        let lost = scene
            .writer
            .create::<_, MetaOnly>(&nowhere, &map_body("a", json!({})))
            .await;
        assert_eq!(lost, Err(WriteError::NotFound));
        let bad = scene
            .writer
            .create::<_, MetaOnly>(&target, &map_body("Not A Name", json!({})))
            .await;
        assert!(matches!(bad, Err(WriteError::Invalid(_))), "{bad:?}");
        let none: Option<MetaOnly> = scene
            .writer
            .read(&Target::new(CONFIG_MAP, scene.namespace(), "none"))
            .await
            .unwrap();
        assert_eq!(none, None);
    })
    .await;
}

#[tokio::test]
async fn patches_happen_to_the_object_and_version_they_were_decided_for_only() {
    scene(1, |scene| async move {
        install_widgets(&scene).await;
        let cases = [
            (CONFIG_MAP, PatchKind::Merge),
            (CONFIG_MAP, PatchKind::Strategic),
            (CONFIG_MAP, PatchKind::Json),
            (WIDGET, PatchKind::Merge),
            (WIDGET, PatchKind::Json),
        ];
        for (number, (resource, kind)) in cases.into_iter().enumerate() {
            let what = format!("{kind:?} of {}", resource.kind);
            let name = format!("p-{number}");
            let meta = made(&scene, resource, &name).await;
            let target = Target::new(resource, scene.namespace(), &name);
            let patch = |precondition, value| {
                scene
                    .writer
                    .patch::<Value>(&target, kind, precondition, relabel(kind, value))
            };
            let done = patch(Precondition::version(&meta.uid, &meta.resource_version), "2").await;
            assert_eq!(done.unwrap()["metadata"]["labels"]["a"], "2", "{what}");
            is_conflict(
                patch(Precondition::version(&meta.uid, &meta.resource_version), "3").await,
                &what,
            );
            is_conflict(
                patch(Precondition::uid("00000000-0000-0000-0000-000000000000"), "3").await,
                &what,
            );
            let live: Value = scene.writer.read(&target).await.unwrap().unwrap();
            assert_eq!(live["metadata"]["labels"]["a"], "2", "{what}");
            assert_eq!(
                live["metadata"]["managedFields"][0]["manager"], "kit-test",
                "{what}"
            );
            let done = patch(Precondition::uid(&meta.uid), "4").await;
            assert_eq!(done.unwrap()["metadata"]["labels"]["a"], "4", "{what}");

            let gone = Target::new(resource, scene.namespace(), "never-was");
            let missing = scene
                .writer
                .patch::<Value>(&gone, kind, Precondition::uid(&meta.uid), relabel(kind, "5"))
                .await;
            assert_eq!(missing, Err(WriteError::NotFound), "{what}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_status_patch_with_a_stale_version_is_a_conflict() {
    scene(1, |scene| async move {
        install_widgets(&scene).await;
        let meta = made(&scene, WIDGET, "s").await;
        let target = Target::status(WIDGET, scene.namespace(), "s");
        let claim = json!({ "status": { "deletionClaim": { "reason": "ScaleIn" } } });
        // Someone else is faster.
        let object = Target::new(WIDGET, scene.namespace(), "s");
        let relabelled = relabel(PatchKind::Merge, "2");
        let _: MetaOnly = scene
            .writer
            .patch(
                &object,
                PatchKind::Merge,
                Precondition::uid(&meta.uid),
                relabelled,
            )
            .await
            .unwrap();
        let at = Precondition::version(&meta.uid, &meta.resource_version);
        is_conflict(
            scene
                .writer
                .patch::<MetaOnly>(&target, PatchKind::Merge, at, claim.clone())
                .await,
            "claim",
        );
        let live: MetaOnly = scene.writer.read(&object).await.unwrap().unwrap();
        let at = Precondition::version(&live.uid, &live.resource_version);
        let after: Value = scene
            .writer
            .patch(&target, PatchKind::Merge, at, claim)
            .await
            .unwrap();
        assert_eq!(after["status"]["deletionClaim"]["reason"], "ScaleIn");
    })
    .await;
}

#[tokio::test]
async fn an_invalid_json_patch_is_not_taken_for_a_stale_one() {
    scene(1, |scene| async move {
        let meta = made(&scene, CONFIG_MAP, "j").await;
        let target = Target::new(CONFIG_MAP, scene.namespace(), "j");
        let bad = json!([{ "op": "replace", "path": "/metadata/labels", "value": { "not a label!": "x" } }]);
        let result = scene
            .writer
            .patch::<MetaOnly>(&target, PatchKind::Json, Precondition::uid(&meta.uid), bad)
            .await;
        assert!(matches!(result, Err(WriteError::Invalid(_))), "{result:?}");
    })
    .await;
}

#[tokio::test]
async fn apply_owns_its_fields_and_never_creates() {
    scene(1, |scene| async move {
        install_widgets(&scene).await;
        for resource in [CONFIG_MAP, WIDGET] {
            let what = resource.kind;
            let meta = made(&scene, resource, "applied").await;
            let target = Target::new(resource, scene.namespace(), "applied");
            let fields = |value: &str| json!({ "metadata": { "annotations": { "b": value } } });
            let other = Writer::new(scene.client.clone(), "kit-applier");
            let after: Value = other.apply(&target, &meta.uid, fields("1")).await.unwrap();
            assert_eq!(after["metadata"]["annotations"]["b"], "1", "{what}");
            // The complete set: what is left out goes.
            let after: Value = other.apply(&target, &meta.uid, json!({})).await.unwrap();
            assert_eq!(after["metadata"]["annotations"], Value::Null, "{what}");

            let wrong = "00000000-0000-0000-0000-000000000000";
            is_conflict(other.apply::<MetaOnly>(&target, wrong, fields("2")).await, what);
            let missing = Target::new(resource, scene.namespace(), "never-was");
            is_conflict(
                other.apply::<MetaOnly>(&missing, &meta.uid, fields("2")).await,
                what,
            );
            assert_eq!(
                scene.writer.read::<MetaOnly>(&missing).await,
                Ok(None),
                "{what}: an apply created it"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn delete_takes_the_object_and_version_it_was_decided_for_only() {
    scene(1, |scene| async move {
        install_widgets(&scene).await;
        for resource in [CONFIG_MAP, WIDGET] {
            let what = resource.kind;
            let meta = made(&scene, resource, "d").await;
            let target = Target::new(resource, scene.namespace(), "d");
            let wrong = Precondition::uid("00000000-0000-0000-0000-000000000000");
            is_conflict(scene.writer.delete(&target, wrong).await, what);
            is_conflict(
                scene
                    .writer
                    .delete(&target, Precondition::version(&meta.uid, "1"))
                    .await,
                what,
            );
            assert!(
                scene.writer.read::<MetaOnly>(&target).await.unwrap().is_some(),
                "{what} was deleted"
            );

            let at = Precondition::version(&meta.uid, &meta.resource_version);
            assert_eq!(
                scene.writer.delete(&target, at).await,
                Ok(Deleted::Accepted),
                "{what}"
            );
            assert_eq!(
                scene.writer.delete(&target, at).await,
                Ok(Deleted::Gone),
                "{what}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn missing_rights_are_forbidden() {
    scene(1, |scene| async move {
        let mut config = scene.config.clone();
        config.auth_info.impersonate = Some("kit-nobody".into());
        let writer = Writer::new(client::connect(&config).unwrap(), "kit-test");
        let target = Target::new(CONFIG_MAP, scene.namespace(), "f");
        let result = writer
            .create::<_, MetaOnly>(&target, &map_body("f", json!({})))
            .await;
        assert!(
            matches!(&result, Err(WriteError::Forbidden(why)) if why.contains("kit-nobody")),
            "{result:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_write_without_answer_is_unknown_after_its_deadline() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        front.mode(Mode::Hang);
        let deadline = Duration::from_millis(300);
        let writer = Writer::new(client::connect(&front.config).unwrap(), "kit-test").with_deadline(deadline);
        let target = Target::new(CONFIG_MAP, scene.namespace(), "t");
        let started = Instant::now();
        let result = writer
            .create::<_, MetaOnly>(&target, &map_body("t", json!({})))
            .await;
        assert!(matches!(result, Err(WriteError::Unknown(_))), "{result:?}");
        assert!(started.elapsed() >= deadline && started.elapsed() < Duration::from_secs(3));
        assert_eq!(front.requests(), 1, "sent more than once");
    })
    .await;
}

#[tokio::test]
async fn a_write_is_never_repeated_by_the_client() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let writer = Writer::new(client::connect(&front.config).unwrap(), "kit-test");
        let target = Target::new(CONFIG_MAP, scene.namespace(), "r");
        for (sent, code) in [500_u16, 503, 504, 429].into_iter().enumerate() {
            front.mode(Mode::Answer(code, "{}".into()));
            let result = writer
                .create::<_, MetaOnly>(&target, &map_body("r", json!({})))
                .await;
            match result {
                Err(WriteError::TooManyRequests { retry_after }) if code == 429 => {
                    assert_eq!(retry_after, Duration::from_secs(7));
                }
                Err(WriteError::Unknown(_)) if code != 429 => {}
                other => panic!("{code}: {other:?}"),
            }
            assert_eq!(front.requests(), sent + 1, "{code} was repeated");
        }
    })
    .await;
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_unknown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = client::connect(&kube::Config::new(url.parse().unwrap())).unwrap();
    let target = Target::new(CONFIG_MAP, "default", "x");
    let result = Writer::new(client, "kit-test").read::<MetaOnly>(&target).await;
    assert!(
        matches!(&result, Err(WriteError::Unknown(why)) if why.contains("refused")),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_revision_whose_template_has_signs_that_go_escapes_can_be_patched() {
    scene(1, |scene| async move {
        let target = Target::new(
            controller_kit::resource::CONTROLLER_REVISION,
            scene.namespace(),
            "r",
        );
        let body = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": { "name": "r" },
            "revision": 1, "data": { "conf": "<id> & more" },
        });
        let Created::New(made) = scene.writer.create::<_, MetaOnly>(&target, &body).await.unwrap() else {
            panic!("its name was taken")
        };
        let bump = json!({ "revision": 2 });
        let patched = scene
            .writer
            .patch::<Value>(&target, PatchKind::Merge, Precondition::uid(&made.uid), bump)
            .await
            .unwrap();
        assert_eq!(
            (&patched["revision"], &patched["data"]),
            (&json!(2), &body["data"])
        );
    })
    .await;
}
