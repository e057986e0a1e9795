//! Watches under faults: cut connections, expired versions, a history that went back.

use std::time::Duration;

use serde_json::json;

use crate::cluster::{Scene, eventually, scene};
use crate::front::{Front, Inject, Relay};
use crate::watches::Watching;

/// Objects `kept`, `changed`, `deleted` and `replaced`, all known to a watch through `config` that is under way.
async fn four_known(scene: &Scene, config: &kube::Config) -> Watching {
    for name in ["changed", "deleted", "replaced"] {
        scene
            .create_map(scene.namespace(), name, json!({ "count": "1" }))
            .await;
    }
    let watching = Watching::primed(config, &scene.namespaces).await;
    watching.take();
    // Seen by the watch, not by the list: a fault from here on meets an open watch.
    scene
        .create_map(scene.namespace(), "kept", json!({ "count": "1" }))
        .await;
    watching.expect(&["new kept=1"]).await;
    watching
}

/// What their names say, and a new one.
async fn change_all(scene: &Scene) {
    let namespace = scene.namespace();
    scene
        .set_data(namespace, "changed", json!({ "count": "2" }))
        .await;
    scene.delete_map(namespace, "deleted").await;
    scene.delete_map(namespace, "replaced").await;
    scene
        .create_map(namespace, "replaced", json!({ "count": "3" }))
        .await;
    scene.create_map(namespace, "new", json!({ "count": "4" })).await;
}

fn assert_final(watching: &Watching, scene: &Scene) {
    let count = |name| watching.count(scene.namespace(), name);
    assert_eq!(count("kept"), Some(1));
    assert_eq!(count("changed"), Some(2));
    assert_eq!(count("deleted"), None);
    assert_eq!(count("replaced"), Some(3));
    assert_eq!(count("new"), Some(4));
}

/// The changes a relist tells, in name order, with the deletions of what is not listed at the end.
const BY_RELIST: [&str; 5] = [
    "changed changed=2",
    "new new=4",
    "deleted replaced=1",
    "new replaced=3",
    "deleted deleted=1",
];

#[tokio::test]
async fn a_cut_watch_goes_on_where_it_was() {
    scene(1, |scene| async move {
        let relay = Relay::start(&scene.config).await;
        let watching = four_known(&scene, &relay.config(&scene.config)).await;
        relay.cut();
        change_all(&scene).await;
        relay.mend();
        let by_watch = [
            "changed changed=2",
            "deleted deleted=1",
            "deleted replaced=1",
            "new replaced=3",
            "new new=4",
        ];
        watching.expect(&by_watch).await;
        assert_final(&watching, &scene);
    })
    .await;
}

#[tokio::test]
async fn an_expired_version_at_start_is_settled_by_a_list_with_the_missed_deletes() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let watching = four_known(&scene, &front.config).await;
        front.mode(crate::front::Mode::Answer(503, "{}".into()));
        front.inject(Inject::GoneAtStart);
        change_all(&scene).await;
        front.mode(crate::front::Mode::Pass);
        watching.expect(&BY_RELIST).await;
        assert!(front.injected());
        assert_final(&watching, &scene);
    })
    .await;
}

#[tokio::test]
async fn an_expired_version_within_the_stream_is_settled_by_a_list() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let watching = four_known(&scene, &front.config).await;
        front.mode(crate::front::Mode::Answer(503, "{}".into()));
        let status = json!({ "kind": "Status", "code": 410, "reason": "Expired" });
        front.inject(Inject::Line(
            json!({ "type": "ERROR", "object": status }).to_string(),
        ));
        change_all(&scene).await;
        front.mode(crate::front::Mode::Pass);
        watching.expect(&BY_RELIST).await;
        assert_final(&watching, &scene);
        // And the watch that follows the list is alive.
        scene
            .set_data(scene.namespace(), "kept", json!({ "count": "9" }))
            .await;
        watching.expect(&["changed kept=9"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_history_that_went_back_is_settled_by_a_list() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let watching = four_known(&scene, &front.config).await;
        front.mode(crate::front::Mode::Answer(503, "{}".into()));
        let bookmark = json!({ "metadata": { "resourceVersion": "1" } });
        front.inject(Inject::Line(
            json!({ "type": "BOOKMARK", "object": bookmark }).to_string(),
        ));
        change_all(&scene).await;
        front.mode(crate::front::Mode::Pass);
        watching.expect(&BY_RELIST).await;
        assert_final(&watching, &scene);
    })
    .await;
}

#[tokio::test]
async fn garbage_in_the_stream_neither_stops_nor_falsifies_anything() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let watching = four_known(&scene, &front.config).await;
        for line in [
            "<html>",
            r#"{"type":"ADDED","object":{}}"#,
            r#"{"type":"NEWTYPE","object":{}}"#,
            "{\"type\"",
        ] {
            front.inject(Inject::Line(line.into()));
            eventually("the line to be taken", || front.injected()).await;
        }
        change_all(&scene).await;
        eventually("the last change", || {
            watching.count(scene.namespace(), "new").is_some()
        })
        .await;
        assert_final(&watching, &scene);
    })
    .await;
}

#[tokio::test]
async fn an_api_server_that_is_away_is_not_hammered() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let _watching = four_known(&scene, &front.config).await;
        front.mode(crate::front::Mode::Answer(503, "{}".into()));
        front.cut();
        let before = front.requests();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let tries = front.requests() - before;
        // Nominal starts are 0.1 + 0.2 + 0.4 + 0.8 s apart, at least half of that with jitter.
        assert!((2..=7).contains(&tries), "{tries} tries in two seconds");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_died_silently_is_replaced() {
    scene(1, |scene| async move {
        let relay = Relay::start(&scene.config).await;
        let config = relay.config(&scene.config);
        let watching =
            Watching::start_with(&config, &scene.namespaces, Duration::from_secs(2), Duration::ZERO).await;
        watching.wait_primed().await;
        scene
            .create_map(scene.namespace(), "before", json!({ "count": "1" }))
            .await;
        watching.expect(&["new before=1"]).await;
        relay.stall();
        scene
            .create_map(scene.namespace(), "after", json!({ "count": "2" }))
            .await;
        // The server's 2 s, the grace of 5 s, the backoff.
        watching.expect(&["new after=2"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_watch_the_server_ends_goes_on_without_a_list_and_without_a_gap() {
    scene(1, |scene| async move {
        let front = Front::start(scene.client.clone()).await;
        let session = Duration::from_secs(2);
        let watching = Watching::start_with(&front.config, &scene.namespaces, session, Duration::ZERO).await;
        watching.wait_primed().await;
        let mut expected = Vec::new();
        let mut number = 0;
        while front.watches() < 4 {
            let name = format!("m-{number}");
            scene
                .create_map(scene.namespace(), &name, json!({ "count": "1" }))
                .await;
            expected.push(format!("new {name}=1"));
            number += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        watching
            .expect(&expected.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        assert_eq!(front.requests() - front.watches(), 1, "listed again");
    })
    .await;
}
