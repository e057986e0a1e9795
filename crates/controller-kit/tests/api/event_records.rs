//! Events as `kubectl describe` would find them.

use std::time::{Duration, Instant};

use controller_kit::args::EventArgs;
use controller_kit::events::{EventRecord, Regarding};
use controller_kit::resource::EVENT;
use controller_kit::runtime::Runtime;
use serde_json::{Value, json};

use crate::cluster::{Scene, args, scene};

async fn events_of(scene: &Scene, uid: &str) -> Vec<Value> {
    let path = format!(
        "{}?fieldSelector=involvedObject.uid%3D{uid}",
        EVENT.path(scene.namespace(), None, None)
    );
    let list: Value = scene
        .client
        .request(http::Request::get(path).body(Vec::new()).unwrap())
        .await
        .unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Waits until the events about `uid` are as `wanted` says.
async fn wait_for(scene: &Scene, uid: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let events = events_of(scene, uid).await;
        if wanted(&events) {
            return events;
        }
        assert!(Instant::now() < deadline, "never as wanted: {events:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn events_are_shown_with_their_count_also_when_the_written_one_is_lost() {
    scene(1, |scene| async move {
        let map = scene.create_map(scene.namespace(), "subject", json!({})).await;
        let regarding = Regarding {
            kind: "ConfigMap".into(),
            api_version: "v1".into(),
            namespace: scene.namespace().into(),
            name: "subject".into(),
            uid: map.uid.clone(),
        };
        let runtime = scene.runtime(&[]).await;
        let events = runtime.events();
        let repeated = || EventRecord::normal(regarding.clone(), "GsStateChanged", "State turn from a to b ");
        events.publish(repeated());
        events.publish(EventRecord::warning(regarding.clone(), "Other", "€".repeat(1000)));
        let shown = wait_for(&scene, &map.uid, |events| events.len() == 2).await;
        let of =
            |reason: &str, events: &[Value]| events.iter().find(|e| e["reason"] == reason).unwrap().clone();
        let normal = of("GsStateChanged", &shown);
        assert_eq!(normal["type"], "Normal");
        assert_eq!(normal["message"], "State turn from a to b ");
        assert_eq!(normal["source"]["component"], "kit-test");
        assert_eq!(normal["reportingComponent"], "kit-test");
        assert_eq!(normal["count"], 1);
        let warning = of("Other", &shown);
        assert_eq!(
            (
                warning["type"].as_str(),
                warning["message"].as_str().unwrap().len()
            ),
            (Some("Warning"), 1023)
        );

        events.publish(repeated());
        events.publish(repeated());
        let shown = wait_for(&scene, &map.uid, |e| of("GsStateChanged", e)["count"] == 3).await;
        assert_eq!(shown.len(), 2, "a repeat made a new event");

        let name = normal["metadata"]["name"].as_str().unwrap();
        let path = EVENT.path(scene.namespace(), Some(name), None);
        scene
            .client
            .request_text(http::Request::delete(path).body(Vec::new()).unwrap())
            .await
            .unwrap();
        events.publish(repeated());
        wait_for(&scene, &map.uid, |e| {
            e.len() == 2 && of("GsStateChanged", e)["count"] == 4
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn events_published_last_are_written_before_the_process_ends() {
    scene(1, |scene| async move {
        assert_eq!(
            last_words(&scene, "kit-last-words", EventArgs::default()).await,
            5
        );
    })
    .await;
}

#[tokio::test]
async fn no_event_is_written_where_they_are_switched_off() {
    scene(1, |scene| async move {
        let none = EventArgs {
            event_qps: 0.0,
            ..EventArgs::default()
        };
        assert_eq!(last_words(&scene, "kit-no-words", none).await, 0);
    })
    .await;
}

/// How many of five events are written that are published while the process ends.
async fn last_words(scene: &Scene, uid: &'static str, limits: EventArgs) -> usize {
    let mut args = args(&[], Duration::ZERO);
    args.events = limits;
    let runtime = Runtime::start_with("kit-test", &args, &scene.config)
        .await
        .unwrap();
    let regarding = Regarding {
        kind: "ConfigMap".into(),
        api_version: "v1".into(),
        namespace: scene.namespace().into(),
        name: "last".into(),
        uid: uid.into(),
    };
    let (events, shutdown) = (runtime.events(), runtime.shutdown());
    runtime.spawn("last-words", async move {
        shutdown.cancelled().await;
        for number in 0..5 {
            events.publish(EventRecord::normal(
                regarding.clone(),
                "Last",
                format!("word {number}"),
            ));
        }
        Ok(())
    });
    runtime.shutdown().cancel();
    runtime.run().await;
    events_of(scene, uid).await.len()
}
