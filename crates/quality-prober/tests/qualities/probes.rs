//! From probes of the network to conditions, with the Pod's address at this machine.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    process::Prober,
    world::{World, condition, eventually},
};

/// A game server that says over HTTP how it is.
struct Game {
    port: u16,
    says: Arc<Mutex<(u16, &'static str)>>,
}

impl Game {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let says = Arc::new(Mutex::new((200, "gate")));
        let said = Arc::clone(&says);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (code, body) = *said.lock().unwrap();
                let text = format!(
                    "HTTP/1.1 {code} X\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self { port, says }
    }

    fn now(&self, code: u16, body: &'static str) {
        *self.says.lock().unwrap() = (code, body);
    }

    fn quality(&self, name: &str) -> Value {
        json!({"name": name, "permanent": false, "httpGet": {"port": self.port}, "periodSeconds": 1, "failureThreshold": 2,
            "serviceQualityAction": [{"state": true, "result": "gate", "opsState": "GateMaintaining"}, {"state": false, "opsState": "Maintaining"}]})
    }
}

#[tokio::test]
async fn a_probes_result_reaches_the_server_and_only_changes_are_written() {
    let world = World::new().await;
    let game = Game::start().await;
    let set = world
        .set(
            json!([game.quality("healthy"), {"name": "open", "permanent": false,
        "tcpSocket": {"port": game.port}, "periodSeconds": 1}]),
        )
        .await;
    world.server("arena-0", &set, "None").await;
    world.runs("arena-0").await;
    let process = Prober::central(&world).await;
    let found = world.condition_until("arena-0", "healthy", "True", "gate").await;
    assert_eq!(found["reason"], "ProbeSucceeded");
    assert!(found["lastTransitionTime"].is_string() && found["lastProbeTime"].is_string());
    world.condition_until("arena-0", "open", "True", "").await;
    world.ops_state_until("arena-0", "GateMaintaining").await;
    // The kubelet's conditions are still there.
    assert_eq!(
        condition(&world.pod_object("arena-0").await, "Ready")["status"],
        "True"
    );

    let writes = process.writes().await;
    let runs = process.runs("success").await;
    let more = async || process.runs("success").await;
    eventually("more runs", more, |now| *now >= runs + 4).await;
    assert_eq!(process.writes().await, writes, "nothing is written at rest");

    game.now(503, "overloaded");
    let found = world
        .condition_until("arena-0", "healthy", "False", "overloaded")
        .await;
    assert_eq!(found["reason"], "ProbeFailed");
    world.ops_state_until("arena-0", "Maintaining").await;
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_restarted_prober_begins_with_what_the_pod_says() {
    let world = World::new().await;
    let game = Game::start().await;
    let set = world.set(json!([game.quality("healthy")])).await;
    world.server("arena-0", &set, "None").await;
    world.runs("arena-0").await;
    let process = Prober::central(&world).await;
    world.condition_until("arena-0", "healthy", "True", "gate").await;
    world.ops_state_until("arena-0", "GateMaintaining").await;
    drop(process);
    world
        .merge(
            &world.path("gameservers", "arena-0"),
            &json!({"spec": {"opsState": "Allocated"}}),
        )
        .await;
    let process = Prober::central(&world).await;
    let runs = async || process.runs("success").await;
    eventually("runs", runs, |runs| *runs >= 3).await;
    assert_eq!(process.writes().await, 0);
    assert_eq!(
        world.game_server("arena-0").await["spec"]["opsState"],
        "Allocated"
    );
    world.delete_namespace().await;
}

#[tokio::test]
async fn a_quality_that_cannot_be_probed_says_why_and_one_that_goes_is_over() {
    let world = World::new().await;
    let game = Game::start().await;
    let mut lost = game.quality("lost");
    lost["containerName"] = json!("minecraft");
    let set = world.set(json!([game.quality("healthy"), lost])).await;
    world.server("arena-0", &set, "None").await;
    world.runs("arena-0").await;
    let _process = Prober::central(&world).await;
    let why = "containerName is minecraft, and the Pod's containers are: game";
    let found = world.condition_until("arena-0", "lost", "Unknown", why).await;
    assert_eq!(found["reason"], "ContainerNotFound");
    world.entry_until("arena-0", "lost", "Unknown", why).await;
    world
        .event_until(
            "arena-0",
            &format!("Warning ContainerNotFound: lost cannot be probed: {why}"),
        )
        .await;
    world.condition_until("arena-0", "healthy", "True", "gate").await;
    world.ops_state_until("arena-0", "GateMaintaining").await;

    world.change_set(json!([game.quality("healthy")])).await;
    let gone = async || crate::world::entry(&world.game_server("arena-0").await, "lost");
    eventually("no entry of the quality that is gone", gone, Value::is_null).await;
    world.change_set(json!([])).await;
    let message = "the set no longer has this service quality";
    world
        .condition_until("arena-0", "healthy", "Unknown", message)
        .await;
    world.delete_namespace().await;
}
