//! The life of a set with players, once and step by step.

use std::time::Duration;

use anyhow::{Result, ensure};
use api_types::keys::claim_reason;

use super::{
    book::Book,
    ground::{Ground, Report, at_rest},
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);
/// How long it is watched that nothing goes which has players.
const WATCHED: Duration = Duration::from_secs(3);

/// Goes through it; the set has three servers at the beginning and in the end.
pub(super) async fn walk(ground: &Ground) -> Result<()> {
    let first = "example.invalid/game:1";
    ground
        .until("three servers", LIMIT, |book| at_rest(book, 3, first))
        .await?;
    ground
        .until("node names", LIMIT, |book| {
            let unnamed = book.servers.iter().find(|(_, server)| server.node.is_none());
            unnamed.map(|(name, _)| format!("{name} has no status.nodeName"))
        })
        .await?;
    for (name, players) in [("arena-0", 5), ("arena-1", 2), ("arena-2", 4)] {
        ensure!(
            ground.report(name, players).await? == Report::Acknowledged,
            "{name} cannot report"
        );
    }
    ground
        .until_status("the sum of players", LIMIT, |status| {
            let players = status.players.as_ref();
            players.is_some_and(|it| (it.count, it.capacity, it.load_percent) == (11, Some(30), Some(36)))
        })
        .await?;
    eprintln!("flow: players reported and summed");
    scale_in(ground).await?;
    let second = ground.update(2).await?;
    update(ground, &second).await?;
    mark(ground, &second).await?;
    fail(ground, &second).await
}

async fn scale_in(ground: &Ground) -> Result<()> {
    ground.scale(1).await?;
    // The fewest players first: 1 and 2 go, when they are empty.
    ground
        .until("two that drain", LIMIT, |book| {
            drains(book, &["arena-1", "arena-2"])
        })
        .await?;
    let refused = ground.allocate("arena-1").await?;
    ensure!(
        refused
            .as_deref()
            .is_some_and(|why| why.contains("can no longer be allocated")),
        "a draining server was allocated: {refused:?}"
    );
    tokio::time::sleep(WATCHED).await;
    ensure!(
        ground.book.lock().pods.len() == 3,
        "a server went while players were on it"
    );
    ground
        .until_status("two of three in the count", LIMIT, |status| {
            status.draining_replicas == Some(2) && status.available_replicas == 1
        })
        .await?;
    // Still a server: players may come back to it until it is empty.
    ground.report("arena-1", 0).await?;
    ground
        .until("the empty one gone", LIMIT, |book| {
            book.pods.get("arena-1").map(|pod| format!("arena-1 is {pod:?}"))
        })
        .await?;
    ensure!(
        ground.book.lock().pods.contains_key("arena-2"),
        "arena-2 went with its players"
    );
    ground.scale(2).await?;
    ground
        .until("a new server beside the draining one", LIMIT, |book| {
            let new = book.pods.get("arena-1").is_some_and(|pod| pod.ready);
            (!new).then(|| format!("{:?}", book.pods.keys()))
        })
        .await?;
    ground.report("arena-2", 0).await?;
    ground
        .until("two servers", LIMIT, |book| {
            at_rest(book, 2, "example.invalid/game:1")
        })
        .await?;
    ground.scale(3).await?;
    ground
        .until("three servers", LIMIT, |book| {
            at_rest(book, 3, "example.invalid/game:1")
        })
        .await?;
    eprintln!("flow: scaled in with players");
    Ok(())
}

async fn update(ground: &Ground, image: &str) -> Result<()> {
    // arena-0 has its five players still; the others are replaced at once, and it beside itself.
    ground
        .until("an updated server for each", LIMIT, |book| {
            let updated = book
                .pods
                .values()
                .filter(|pod| pod.image == image && pod.ready)
                .count();
            (updated != 3).then(|| format!("{updated} of 3 are updated"))
        })
        .await?;
    ground
        .until("the one that drains", LIMIT, |book| drains(book, &["arena-0"]))
        .await?;
    ground.report("arena-0", 0).await?;
    ground
        .until("three updated servers", LIMIT, |book| at_rest(book, 3, image))
        .await?;
    eprintln!("flow: updated with players");
    Ok(())
}

async fn mark(ground: &Ground, image: &str) -> Result<()> {
    let names: Vec<String> = ground.book.lock().pods.keys().cloned().collect();
    let (idle, busy) = (&names[0], &names[1]);
    let before = ground.book.lock().pods.get(idle).map(|pod| pod.uid.clone());
    ground.report(busy, 3).await?;
    ground.mark(busy).await?;
    ground.mark(idle).await?;
    ground
        .until("the idle one replaced", LIMIT, |book| {
            let uid = book.pods.get(idle).map(|pod| pod.uid.clone());
            (uid == before).then(|| format!("{idle} is still there"))
        })
        .await?;
    ground
        .until("the busy one that drains", LIMIT, |book| drains(book, &[busy]))
        .await?;
    ground
        .until("three servers beside it", LIMIT, |book| {
            let ready = book.pods.values().filter(|pod| pod.ready).count();
            (ready != 4).then(|| format!("{ready} Pods are ready"))
        })
        .await?;
    ground.report(busy, 0).await?;
    ground
        .until("three servers", LIMIT, |book| at_rest(book, 3, image))
        .await?;
    eprintln!("flow: marked by hand");
    Ok(())
}

async fn fail(ground: &Ground, image: &str) -> Result<()> {
    ground
        .change(&json!({"failurePolicy": {"maxFailures": 2}}))
        .await?;
    for failure in 1..=3 {
        let (name, uid) = first(&ground.book.lock());
        ground.fail(&name).await?;
        ground
            .until_status("the failure counted", LIMIT, |status| {
                status
                    .failures
                    .as_ref()
                    .is_some_and(|failures| failures.count == failure)
            })
            .await?;
        if failure <= 2 {
            ground
                .until("the failed one replaced", LIMIT, |book| {
                    let there = book
                        .pods
                        .get(&name)
                        .is_some_and(|pod| pod.uid == uid || !pod.ready);
                    there.then(|| format!("{name} is not replaced"))
                })
                .await?;
            ground
                .until("three servers", LIMIT, |book| at_rest(book, 3, image))
                .await?;
        }
    }
    let needs = |wanted: &'static str| {
        move |status: &api_types::GameServerSetStatus| {
            let mut conditions = status.conditions.iter();
            conditions.any(|it| it.type_ == "NeedsIntervention" && it.status == wanted)
        }
    };
    ground
        .until_status("NeedsIntervention", LIMIT, needs("True"))
        .await?;
    tokio::time::sleep(WATCHED).await;
    let stays = ground.book.lock().pods.len();
    ensure!(stays == 3, "{stays} Pods after the failure too many, not 3");
    ground
        .change(&json!({"failurePolicy": {"maxFailures": null}}))
        .await?;
    ground
        .until_status("no NeedsIntervention", LIMIT, needs("False"))
        .await?;
    ground
        .until("three servers", LIMIT, |book| at_rest(book, 3, image))
        .await?;
    eprintln!("flow: failed until somebody came");
    Ok(())
}

fn first(book: &Book) -> (String, String) {
    let found = book.pods.iter().next();
    found.map_or_else(Default::default, |(name, pod)| (name.clone(), pod.uid.clone()))
}

/// These and no others wait for their players.
fn drains(book: &Book, wanted: &[&str]) -> Option<String> {
    let draining: Vec<&str> = book
        .servers
        .iter()
        .filter(|(_, server)| server.claim.as_deref() == Some(claim_reason::DRAINING))
        .map(|(name, _)| name.as_str())
        .collect();
    (draining != wanted).then(|| format!("{draining:?} drain, not {wanted:?}"))
}
