use std::time::Duration;

use proptest::{collection::vec, option, prelude::*};

use super::*;

/// Members by name; those listed in `dead` have just expired.
fn group(names: &[&str], dead: &[&str], now: Instant) -> BTreeMap<String, Instant> {
    let expiry = |name: &str| {
        if dead.contains(&name) {
            now
        } else {
            now + Duration::from_secs(9)
        }
    };
    names
        .iter()
        .map(|name| ((*name).to_owned(), expiry(name)))
        .collect()
}

fn holders(text: &str) -> Vec<Option<String>> {
    text.chars()
        .map(|holder| (holder != '.').then(|| holder.to_string()))
        .collect()
}

/// Plans for `me`, who had everything confirmed that names it.
fn plan(names: &[&str], dead: &[&str], held: &str, me: &str) -> ShardPlan {
    let now = Instant::now();
    let holders = holders(held);
    let mine = (0..)
        .zip(&holders)
        .filter(|(_, holder)| holder.as_deref() == Some(me))
        .map(|(shard, _)| shard)
        .collect();
    plan_shards(&group(names, dead, now), &holders, me, &mine, now)
}

fn claims(shards: &[u32]) -> ShardPlan {
    ShardPlan {
        claim: shards.to_vec(),
        ..ShardPlan::default()
    }
}

#[test]
fn the_first_replica_takes_everything() {
    assert_eq!(plan(&["a"], &[], "....", "a"), claims(&[0, 1, 2, 3]));
    assert_eq!(plan(&["a"], &[], ".", "a"), claims(&[0]));
    assert_eq!(
        plan(&[], &[], ".", "a"),
        claims(&[0]),
        "even when its own member lease is not in the listing yet"
    );
}

#[test]
fn replicas_that_start_together_reach_for_different_shards() {
    assert_eq!(plan(&["a", "b", "c"], &[], "........", "a"), claims(&[0, 1, 2]));
    assert_eq!(plan(&["a", "b", "c"], &[], "........", "b"), claims(&[3, 4, 5]));
    assert_eq!(plan(&["a", "b", "c"], &[], "........", "c"), claims(&[6, 7]));
}

#[test]
fn a_newcomer_gets_its_share_and_takes_nothing_itself() {
    assert_eq!(plan(&["a", "b"], &[], "aaaa", "b"), ShardPlan::default());
    assert_eq!(
        plan(&["a", "b"], &[], "aaaa", "a"),
        ShardPlan {
            release: vec![2, 3],
            ..ShardPlan::default()
        }
    );
    assert_eq!(plan(&["a", "b"], &[], "aa..", "b"), claims(&[2, 3]));
}

#[test]
fn the_larger_share_stays_where_it_is() {
    assert_eq!(
        plan(&["a", "b", "c"], &[], "ccbbaccb", "c"),
        ShardPlan {
            release: vec![6],
            ..ShardPlan::default()
        }
    );
    for me in ["a", "b"] {
        assert_eq!(
            plan(&["a", "b", "c"], &[], "ccbbaccb", me),
            ShardPlan::default(),
            "{me} waits for the seventh shard"
        );
    }
    for me in ["a", "b", "c"] {
        assert_eq!(
            plan(&["a", "b", "c"], &[], "ccbbacab", me),
            ShardPlan::default(),
            "{me} sees even shares"
        );
    }
}

#[test]
fn a_dead_member_is_fenced_before_its_shards_are_taken() {
    let fenced = plan(&["a", "b"], &["b"], "aabb", "a");
    assert_eq!(
        fenced,
        ShardPlan {
            fence: vec!["b".into()],
            ..ShardPlan::default()
        }
    );
    assert_eq!(
        plan(&["a"], &[], "aabb", "a"),
        claims(&[2, 3]),
        "once its member lease is gone"
    );
}

#[test]
fn a_replica_never_counts_itself_as_gone() {
    assert_eq!(plan(&["a"], &["a"], "aa", "a"), ShardPlan::default());
}

#[test]
fn shards_of_an_earlier_life_are_claimed_again_not_assumed() {
    let now = Instant::now();
    let plan = plan_shards(
        &group(&["a"], &[], now),
        &holders("aaa"),
        "a",
        &BTreeSet::from([1]),
        now,
    );
    assert_eq!(plan, claims(&[0, 2]));
}

#[test]
fn unconfirmed_shards_go_first_when_there_are_too_many() {
    let now = Instant::now();
    let plan = plan_shards(
        &group(&["a", "b"], &[], now),
        &holders("aaaa"),
        "a",
        &BTreeSet::from([2, 3]),
        now,
    );
    assert_eq!(
        plan,
        ShardPlan {
            release: vec![0, 1],
            ..ShardPlan::default()
        }
    );
}

#[test]
fn more_replicas_than_shards_leaves_some_without() {
    assert_eq!(plan(&["a", "b", "c"], &[], "..", "c"), ShardPlan::default());
    assert_eq!(plan(&["a", "b", "c"], &[], "c.", "c"), ShardPlan::default());
    assert_eq!(plan(&["a", "b", "c"], &[], "c.", "a"), claims(&[1]));
}

/// Lets every replica act on the same listing at once, the worst order for races.
fn round(
    members: &BTreeMap<String, Instant>,
    holders: &[Option<String>],
    now: Instant,
) -> Vec<Option<String>> {
    let mut next = holders.to_vec();
    for me in members.keys() {
        let mine = (0..)
            .zip(holders)
            .filter(|(_, holder)| holder.as_ref() == Some(me))
            .map(|(shard, _)| shard)
            .collect();
        let plan = plan_shards(members, holders, me, &mine, now);
        assert!(
            plan.release.is_empty() || plan.claim.is_empty(),
            "nobody releases and claims at once: {plan:?}"
        );
        for shard in plan.release {
            assert_eq!(next[shard as usize].as_ref(), Some(me));
            next[shard as usize] = None;
        }
        for shard in plan.claim {
            let slot = &mut next[shard as usize];
            assert!(
                slot.as_ref().is_none_or(|holder| !members.contains_key(holder)),
                "{me} reached for {shard} of {slot:?}"
            );
            *slot = Some(me.clone());
        }
    }
    next
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// From any start, two rounds (release, then claim) give even shares with every shard owned, by the fewest possible moves.
    #[test]
    fn any_start_becomes_even_in_two_rounds_and_then_stays(
        replicas in 1_usize..7,
        start in vec(option::of(0_usize..9), 1..40),
    ) {
        let now = Instant::now();
        let name = |index: usize| format!("r{index}");
        let members = (0..replicas).map(|index| (name(index), now + Duration::from_secs(9))).collect();
        // Indexes beyond `replicas` are replicas that left.
        let start: Vec<_> = start.into_iter().map(|holder| holder.map(name)).collect();
        let end = round(&members, &round(&members, &start, now), now);
        prop_assert_eq!(&round(&members, &end, now), &end, "stable");

        let count = |holders: &[Option<String>], who: &String| holders.iter().flatten().filter(|holder| *holder == who).count();
        let counts: Vec<_> = members.keys().map(|who| count(&end, who)).collect();
        prop_assert_eq!(counts.iter().sum::<usize>(), start.len(), "every shard has a live owner");
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);

        // Oracle for "fewest moves": with the counts sorted, the r-th largest holder keeps at most the r-th largest share.
        let mut before: Vec<_> = members.keys().map(|who| count(&start, who)).collect();
        before.sort_unstable_by_key(|count| Reverse(*count));
        let (base, extra) = (start.len() / replicas, start.len() % replicas);
        let keepable: usize = before.iter().enumerate().map(|(rank, held)| (*held).min(base + usize::from(rank < extra))).sum();
        let kept = start.iter().zip(&end).filter(|(a, b)| a.is_some() && a == b).count();
        prop_assert_eq!(kept, keepable);
    }
}
