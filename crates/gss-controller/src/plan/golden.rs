//! OpenKruiseGame's known scale decisions, and those where the right decision differs from its own.

use super::{
    ids::{Id, IdSet},
    kill::replicas_after_kill,
    leaving::Leaving,
    record::Record,
    scale::{ScaleInput, ScalePlan, Strategy, plan},
    server::{Hold, Server, ServerPod, Stage, Standing},
};

pub(super) fn ids(text: &str) -> IdSet {
    IdSet::parse_joined(text)
}

/// Servers as `"0:None 1:WaitToBeDeleted/10 2!"`: id, opsState, deletion priority; `!` terminating, `~` PreparingDelete,
/// `*` claimed, `x` ended.
fn servers(text: &str) -> Vec<Server> {
    text.split_whitespace().map(server).collect()
}

pub(super) fn server(text: &str) -> Server {
    let (text, priority) = text.split_once('/').unwrap_or((text, "0"));
    let (text, stage) = match text.chars().last() {
        Some('!') => (&text[..text.len() - 1], Stage::Terminating),
        Some('~') => (&text[..text.len() - 1], Stage::PreparingDelete(None)),
        Some('*') => (&text[..text.len() - 1], Stage::Claimed("ScaleIn".to_owned())),
        Some('x') => (&text[..text.len() - 1], Stage::Ended),
        _ => (text, Stage::Live),
    };
    let (id, ops_state) = text.split_once(':').unwrap_or((text, "None"));
    let id: Id = id.parse().unwrap();
    Server {
        id,
        pod: Some(ServerPod {
            uid: format!("uid-{id}"),
            stage,
            available: false,
            hold: Hold::Free,
            backs_off: false,
        }),
        standing: Standing::of(Some(ops_state), Some(ops_state)),
        deletion_priority: priority.parse().unwrap(),
        players: 0,
        marked: false,
    }
}

/// One decision: reserves in the spec, those acted on before, holes, replicas, servers.
struct Case<'a> {
    spec: &'a str,
    acted_on: &'a str,
    implicit: &'a str,
    replicas: u64,
    servers: &'a str,
    strategy: Strategy,
    protect_allocated: bool,
    /// The desired ids in the record; the live servers where `None`.
    desired: Option<&'a str>,
}

const CASE: Case<'static> = Case {
    spec: "",
    acted_on: "",
    implicit: "",
    replicas: 0,
    servers: "",
    strategy: Strategy::General,
    protect_allocated: false,
    desired: None,
};

impl Case<'_> {
    fn record(&self) -> Record {
        let live = || {
            servers(self.servers)
                .iter()
                .filter(|server| server.is_live())
                .map(|server| server.id)
                .collect()
        };
        Record {
            desired: self.desired.map_or_else(live, ids),
            reserved: ids(self.acted_on),
            implicit: ids(self.implicit),
            growing: IdSet::new(),
            deleting: vec![],
            updating: vec![],
        }
    }

    fn plan(&self) -> ScalePlan {
        plan(&ScaleInput {
            replicas: self.replicas,
            strategy: self.strategy,
            protect_allocated: self.protect_allocated,
            limited: false,
            by_players: false,
            drains: false,
            leaving: &Leaving::default(),
            reserved: &ids(self.spec),
            record: Some(&self.record()),
            acknowledged: &IdSet::new(),
            servers: &servers(self.servers),
        })
    }
}

fn all_reserves(plan: &ScalePlan) -> String {
    plan.record.reserved.union(&plan.record.implicit).to_joined()
}

pub(super) fn deleted(plan: &ScalePlan) -> Vec<Id> {
    plan.record.deleting.iter().map(|deletion| deletion.id).collect()
}

/// (spec, acted on, implicit, replicas, servers) → (ids that exist, explicit and implicit reserves).
#[test]
fn known_scale_decisions() {
    #[rustfmt::skip]
    let table = [
        ("2,3,4", "2,3",   "5",     3, "0:None/10 1:Maintaining 4:WaitToBeDeleted 6:None", "0,1,6",   "2,3,4,5"),
        ("0,2,3", "0,4,5", "",      3, "1 2 3 6 7",                                        "1,6,7",   "0,2,3,4,5"),
        ("0",     "0,4,5", "",      1, "1 2 3 6 7",                                        "1",       "0,2,3,4,5,6,7"),
        ("0,2,3", "0,4,5", "",      4, "1 2 3 6 7",                                        "1,4,6,7", "0,2,3,5"),
        ("0,3,5", "0,3,5", "",      1, "1 2 4 6",                                          "1",       "0,2,3,4,5,6"),
        ("1,2",   "",      "1,2",   2, "0 3",                                              "0,3",     "1,2"),
        ("",      "",      "",      3, "",                                                 "0,1,2",   ""),
        ("1,2",   "",      "",      3, "",                                                 "0,3,4",   "1,2"),
        ("0",     "",      "0",     1, "",                                                 "1",       "0"),
        ("",      "1",     "",      2, "0 2",                                              "0,2",     "1"),
        ("0",     "",      "2,3,4", 4, "1",                                                "1,2,3,4", "0"),
        ("",      "",      "2,3,4", 4, "0 1 2! 3~",                                        "0,1,2,4", "3"),
    ];
    for (spec, acted_on, implicit, replicas, servers, desired, reserves) in table {
        let outcome = Case {
            spec,
            acted_on,
            implicit,
            replicas,
            servers,
            ..CASE
        }
        .plan();
        assert_eq!(
            outcome.record.desired,
            ids(desired),
            "{spec} {acted_on} {implicit} {replicas} {servers}"
        );
        assert_eq!(
            ids(&all_reserves(&outcome)),
            ids(reserves),
            "{spec} {acted_on} {implicit} {replicas} {servers}"
        );
    }
}

/// As above, with the annotation that follows.
#[test]
fn known_scale_applications() {
    const FOUR: &str = "0:None/10 2:WaitToBeDeleted 3:None 4:Maintaining";
    #[rustfmt::skip]
    let table = [
        ("1",   "1", "",    3, FOUR,       "1,2", "1"),
        ("1,0", "1", "",    3, FOUR,       "0,1", "0,1"),
        ("",    "1", "",    5, FOUR,       "",    ""),
        ("",    "1", "3",   5, "0 2 4",    "",    ""),
        ("",    "",  "3-5", 5, "0 1 2 3~", "3",   ""),
    ];
    for (spec, acted_on, implicit, replicas, servers, reserves, annotation) in table {
        let outcome = Case {
            spec,
            acted_on,
            implicit,
            replicas,
            servers,
            ..CASE
        }
        .plan();
        assert_eq!(
            all_reserves(&outcome),
            reserves,
            "{spec} {acted_on} {implicit} {replicas} {servers}"
        );
        assert_eq!(outcome.record.reserved.to_joined(), annotation);
    }
}

/// OpenKruiseGame looks at live Pods: with 1 terminating it keeps {0, 2}, which its workload takes for {0, 1}, and the
/// allocated server 2 is deleted. The record knows that 1 was wanted, and 1 has nobody on it.
#[test]
fn a_terminating_server_is_given_up_before_an_allocated_one() {
    let outcome = Case {
        replicas: 2,
        servers: "0 1! 2:Allocated",
        desired: Some("0-2"),
        ..CASE
    }
    .plan();
    assert_eq!(outcome.record.desired, ids("0,2"));
    assert_eq!(outcome.record.implicit, ids("1"));
    assert_eq!(deleted(&outcome), [0; 0]);
}

/// The same without a record: the hole is filled, not shifted.
#[test]
fn a_missing_server_keeps_its_id() {
    let missing = Case {
        replicas: 3,
        servers: "0 2",
        desired: Some("0-2"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (missing.record.desired, missing.record.deleting),
        (ids("0-2"), vec![])
    );
}

/// In OpenKruiseGame a condemned server whose Pod is not yet terminating in the cache counts as alive: when priorities
/// change meanwhile, a second pass picks another victim and both go.
#[test]
fn a_victim_stays_the_victim_when_priorities_change() {
    let after = Case {
        replicas: 2,
        servers: "0/50 1 2",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (after.record.desired.to_joined().as_str(), deleted(&after)),
        ("0,1", vec![2])
    );
    let claimed = Case {
        replicas: 2,
        servers: "0/50 1 2*",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (claimed.record.desired.to_joined().as_str(), deleted(&claimed)),
        ("0,1", vec![2])
    );
}

#[test]
fn a_victim_allocated_before_its_claim_is_exchanged() {
    let after = Case {
        replicas: 2,
        servers: "0 1 2:Allocated",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (after.record.desired.to_joined().as_str(), deleted(&after)),
        ("0,2", vec![1])
    );
}

#[test]
fn a_scale_in_not_yet_begun_is_taken_back_and_a_claimed_one_is_not() {
    let back = Case {
        replicas: 3,
        servers: "0 1 2",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (back.record.desired.to_joined().as_str(), deleted(&back)),
        ("0-2", vec![])
    );
    // The id is wanted again, this Pod is not: it goes and another one comes.
    let claimed = Case {
        replicas: 3,
        servers: "0 1 2*",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (claimed.record.desired.to_joined().as_str(), deleted(&claimed)),
        ("0-2", vec![2])
    );
}

#[test]
fn protected_servers_block_the_scale_in_and_kill_overrules() {
    let case = Case {
        replicas: 1,
        servers: "0:Allocated 1 2:Allocated 3:Maintaining",
        ..CASE
    };
    let blocked = Case {
        protect_allocated: true,
        ..case
    }
    .plan();
    assert_eq!(
        (blocked.record.desired, blocked.protected),
        (ids("0,2"), ids("0,2"))
    );
    let killed = Case {
        replicas: 1,
        servers: "0:Kill 2:Allocated",
        protect_allocated: true,
        ..CASE
    }
    .plan();
    assert_eq!(
        (killed.record.desired, killed.protected),
        (ids("2"), IdSet::new())
    );
    assert_eq!(killed.record.deleting[0].reason, "Kill");
}

#[test]
fn a_protected_server_on_a_reserved_id_stays_outside_the_plan() {
    let case = Case {
        spec: "1",
        replicas: 2,
        servers: "0 1:Allocated",
        ..CASE
    };
    let outcome = Case {
        protect_allocated: true,
        ..case
    }
    .plan();
    assert_eq!(
        (outcome.record.desired.clone(), outcome.protected.clone()),
        (ids("0,2"), ids("1"))
    );
    assert_eq!(deleted(&outcome), [0; 0]);
    let unprotected = Case {
        spec: "1",
        replicas: 2,
        servers: "0 1:Allocated",
        ..CASE
    }
    .plan();
    assert_eq!(deleted(&unprotected), [1]);
}

/// OpenKruiseGame writes ids back that the user has just removed from the reserves, so they can only ever be released
/// together with a growth, and ranges are spelled out: the list grows without bound.
#[test]
fn reserve_ids_books_victims_and_honours_a_release() {
    let case = |spec, acted_on, replicas, servers| Case {
        spec,
        acted_on,
        replicas,
        servers,
        strategy: Strategy::ReserveIds,
        ..CASE
    };
    let shrunk = case("7", "7", 1, "0 1 2 3").plan();
    assert_eq!(shrunk.record.desired, ids("0"));
    assert_eq!(shrunk.reserve, Some(ids("1-3,7")));
    let released = case("7", "3,7", 1, "0").plan();
    assert_eq!((released.reserve, released.record.implicit), (None, IdSet::new()));
    let reused = case("1,2,7", "1-3,7", 2, "0").plan();
    assert_eq!(reused.record.desired, ids("0,3"));
}

/// A crash after the record and before the write to the spec: the ids must not be used for a growth in between.
#[test]
fn reserve_ids_are_not_reused_before_they_are_booked() {
    let case = Case {
        implicit: "1-3",
        replicas: 2,
        servers: "0",
        strategy: Strategy::ReserveIds,
        ..CASE
    };
    let outcome = case.plan();
    assert_eq!(
        (outcome.record.desired, outcome.reserve),
        (ids("0,4"), Some(ids("1-3")))
    );
}

#[test]
fn without_a_record_the_live_servers_are_the_plan() {
    let rebuilt = |replicas, servers: &[Server], spec: &str, acknowledged: &str| {
        plan(&ScaleInput {
            replicas,
            strategy: Strategy::General,
            protect_allocated: false,
            limited: false,
            by_players: false,
            drains: false,
            leaving: &Leaving::default(),
            reserved: &ids(spec),
            record: None,
            acknowledged: &ids(acknowledged),
            servers,
        })
    };
    assert_eq!(rebuilt(3, &servers("0 5 9"), "", "").record.desired, ids("0,5,9"));
    assert_eq!(
        rebuilt(2, &servers("0 5:Allocated 9"), "", "").record.desired,
        ids("0,5")
    );
    assert_eq!(
        rebuilt(2, &servers("0 1! 2:Allocated"), "", "").record.desired,
        ids("0,2")
    );
    let released = rebuilt(2, &servers("0 2"), "", "1").record;
    assert_eq!((released.desired, released.implicit), (ids("0,2"), ids("1")));
}

#[test]
fn an_ended_server_is_replaced_and_counts_as_the_cheapest_victim() {
    let replaced = Case {
        replicas: 2,
        servers: "0x 1",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(replaced.record.desired, ids("0,1"));
    assert_eq!(replaced.record.deleting[0].reason, "Replaced");
    let shrunk = Case {
        replicas: 1,
        servers: "0x 1:WaitToBeDeleted",
        desired: Some("0,1"),
        ..CASE
    }
    .plan();
    assert_eq!(
        (shrunk.record.desired, shrunk.record.deleting[0].reason.as_str()),
        (ids("1"), "ScaleIn")
    );
}

/// OpenKruiseGame counts Pods, so a set whose Pods come and go never gets to its kills.
#[test]
fn kill_lowers_replicas_once_and_the_killed_go_first() {
    let crashing = servers("0x 1:Kill 3!");
    let desired = ids("0-4");
    assert_eq!(replicas_after_kill(5, &desired, &crashing), Some(4));
    assert_eq!(
        replicas_after_kill(4, &desired, &crashing),
        None,
        "the scale-in has not been planned yet"
    );
    let scaled = Case {
        replicas: 4,
        servers: "0x 1:Kill 3!",
        desired: Some("0-4"),
        ..CASE
    }
    .plan();
    assert_eq!(scaled.record.desired, ids("0,2,3,4"));
    assert_eq!(replicas_after_kill(4, &scaled.record.desired, &crashing), None);
    assert_eq!(
        replicas_after_kill(5, &ids("0,2-5"), &crashing),
        None,
        "not desired, not counted"
    );
}

#[test]
fn a_reserve_of_everything_is_reported_not_looped_over() {
    let outcome = Case {
        spec: "0-2147483647",
        replicas: 3,
        ..CASE
    }
    .plan();
    assert_eq!((outcome.out_of_ids, outcome.record.desired), (3, IdSet::new()));
    let billion = Case {
        spec: "0-2000000000",
        replicas: 100_000_000,
        ..CASE
    }
    .plan();
    assert_eq!(billion.record.desired, ids("2000000001-2100000000"));
    let back = Case {
        spec: "0-2000000000",
        replicas: 2,
        desired: Some("2000000001-2100000000"),
        ..CASE
    }
    .plan();
    assert_eq!(back.record.desired, ids("2000000001,2000000002"));
}
