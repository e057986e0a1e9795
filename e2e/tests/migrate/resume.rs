//! Killed after any step, or overtaken by another writer, and run again: the same end.

use anyhow::Result;
use e2e::in_namespace;
use e2e::okg::Estate;
use kube::api::{Patch, PatchParams};
use migrate::apply::Done;
use migrate::plan::{State, Step, plan};
use serde_json::json;

use crate::tools::{NO_FORCE, WORKLOAD, apply, facts, no_managers, planned, take_over, verified};

fn small(name: &str) -> Estate {
    Estate {
        ids: vec![0, 2],
        reserved: vec![1],
        holes: Vec::new(),
        ..Estate::new(name, "Cascade")
    }
}

#[tokio::test]
async fn a_run_that_was_killed_after_any_step_ends_the_same() -> Result<()> {
    let _managers = no_managers().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        let mut killed_after = 0;
        loop {
            let name = format!("set-{killed_after}");
            small(&name).lay_down(world).await?;
            let before = world.now().uids(&name);
            let (cluster, found) = facts(world, &name).await?;
            let all = plan(&cluster, &found, NO_FORCE);
            assert_eq!(all.state, State::Ready, "{:?}", all.obstacles);
            for step in all.steps.iter().take(killed_after) {
                apply(world).step(&cluster, &found, step).await?;
            }
            let rest = planned(world, &name).await?;
            assert!(
                rest.steps.len() <= all.steps.len(),
                "no step is taken twice: {:?}",
                rest.steps
            );
            let end = take_over(world, &name).await?;
            assert_eq!(
                end.state,
                State::Done,
                "after {killed_after} steps: {:?}",
                end.obstacles
            );
            let verified = verified(world, &name).await?;
            assert!(verified.ok, "after {killed_after} steps: {verified:#?}");
            assert_eq!(world.now().uids(&name), before);
            assert_eq!(take_over(world, &name).await?.steps, [], "nothing is left");
            killed_after += 1;
            if killed_after > all.steps.len() {
                return Ok(());
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_pod_that_changed_since_it_was_read_is_read_again_and_the_workload_stays_until_then() -> Result<()>
{
    let _managers = no_managers().await;
    in_namespace(async |world| {
        world.install_kruise_crds().await?;
        small("a").lay_down(world).await?;
        let (cluster, found) = facts(world, "a").await?;
        let steps = plan(&cluster, &found, NO_FORCE).steps;
        let patch = Patch::Merge(json!({"metadata": {"ownerReferences": null, "labels": {"seen": "later"}}}));
        world.pods().patch("a-2", &PatchParams::default(), &patch).await?;
        assert_eq!(apply(world).take(&cluster, &found, &steps).await?, Done::Stale);
        assert!(
            world.objects(WORKLOAD)?.get_opt("a").await?.is_some(),
            "it would have taken a-2 along"
        );
        let rest = planned(world, "a").await?;
        assert_eq!(rest.state, State::Begun);
        let pods: Vec<_> = rest
            .steps
            .iter()
            .filter(|step| matches!(step, Step::Adopt { .. }))
            .collect();
        assert!(
            matches!(pods[..], [Step::Adopt { name, .. }] if name == "a-2"),
            "{pods:?}"
        );
        assert_eq!(take_over(world, "a").await?.state, State::Done);
        let verified = verified(world, "a").await?;
        assert!(verified.ok, "{verified:#?}");
        assert_eq!(world.now().pod_label("a-2", "seen"), Some("later"));
        Ok(())
    })
    .await
}
