//! Faults on the way of one of two pod-syncs to the API server: it is slow, or hears nothing.

use std::time::Duration;

use anyhow::Result;
use e2e::faults::{Door, Trouble};

use super::faults::Ground;
use super::{Alert, Judge};
use crate::fleet::{Controller, Fleet};

const CROWD: &str = "crowd";
/// Twice as many as are changed until the queue has grown for long enough.
const SERVERS: usize = 160;
/// Between two changes; every second one is the troubled replica's.
const EVERY: Duration = Duration::from_millis(500);
/// Shorter than pod-sync's deadline: each patch arrives.
const SLOW: Duration = Duration::from_secs(2);
/// Longer than anybody waits: no patch arrives.
const NEVER: Duration = Duration::from_secs(600);

/// Of patches that take long, while servers go on to change.
pub(super) async fn of_patches(judge: &Judge, ground: &Ground, door: &Door) -> Result<[Alert; 2]> {
    ground.crowd(CROWD, SERVERS).await?;
    let following = async {
        let slow = judge.follow(
            "GamekeeperSyncSlow",
            "2 s more for every Pod patch of a pod-sync",
            trouble(door, Trouble::SlowPatches(SLOW)),
            trouble(door, Trouble::None),
        );
        let slow = slow.await?;
        let growing = judge.follow(
            "GamekeeperQueueGrowing",
            "no Pod patch of a pod-sync ends",
            trouble(door, Trouble::SlowPatches(NEVER)),
            trouble(door, Trouble::None),
        );
        anyhow::Ok([slow, growing.await?])
    };
    tokio::select! {
        alerts = following => alerts,
        error = change(ground) => Err(error),
    }
}

/// Changes one server after the other until that fails.
async fn change(ground: &Ground) -> anyhow::Error {
    let mut pace = tokio::time::interval(EVERY);
    for round in 0_u64.. {
        for number in 0..SERVERS {
            pace.tick().await;
            let (server, ops_state) = (format!("{CROWD}-{number}"), format!("Round{round}"));
            if let Err(error) = ground.say(&server, &ops_state).await {
                return error;
            }
        }
    }
    anyhow::anyhow!("out of rounds")
}

/// Of watches that nothing comes from: while the process runs, and from its start.
pub(super) async fn of_watches(judge: &Judge, fleet: &mut Fleet, door: &Door) -> Result<[Alert; 2]> {
    let silent = judge.follow(
        "GamekeeperWatchSilent",
        "no answer to any request of a pod-sync",
        trouble(door, Trouble::Silent),
        trouble(door, Trouble::None),
    );
    let silent = silent.await?;
    let began = async {
        door.set(Trouble::Silent);
        fleet.process(Controller::PodSync)?.kill_and_restart().await?;
        judge.scrape(fleet)
    };
    let incomplete = judge.follow(
        "GamekeeperCacheIncomplete",
        "a pod-sync starts, and nothing is answered",
        began,
        trouble(door, Trouble::None),
    );
    Ok([silent, incomplete.await?])
}

/// Sets the trouble, when its time has come.
fn trouble(door: &Door, trouble: Trouble) -> impl Future<Output = Result<()>> {
    futures::future::lazy(move |_| {
        door.set(trouble);
        Ok(())
    })
}
