//! Servers that are held, have ended or were lost, and what the rest of the set does meanwhile.

use super::{
    golden::{deleted, ids, server},
    ids::IdSet,
    leaving::Leaving,
    record::Record,
    scale::{ScaleInput, Strategy, creations, plan},
    server::{Hold, Server, Stage},
};

/// With OpenKruise's limit of one, a server that is lost while another is not ready is never replaced, and servers behind an
/// unready one are never made.
#[test]
fn a_limit_on_growth_neither_starves_the_lost_nor_blocks_behind_the_unready() {
    let step = |record: Option<&Record>, servers: &[Server]| {
        plan(&ScaleInput {
            replicas: 4,
            strategy: Strategy::General,
            protect_allocated: false,
            limited: true,
            by_players: false,
            drains: false,
            leaving: &Leaving::default(),
            reserved: &IdSet::new(),
            record,
            acknowledged: &IdSet::new(),
            servers,
        })
        .record
    };
    let available = |mut server: Server| {
        server.pod.as_mut().unwrap().available = true;
        server
    };
    let first = step(None, &[]);
    assert_eq!(first.growing, ids("0-3"));
    assert_eq!(creations(&first, &IdSet::new(), 1, 500), [0]);
    // 0 was available once and has become unready; 1 is starting; 2 is yet to come.
    let unready = |id: u32| server(&id.to_string());
    let second = step(Some(&first), &[available(unready(0))]);
    assert_eq!(second.growing, ids("1-3"));
    let third = step(Some(&second), &[unready(0), available(unready(1))]);
    assert_eq!(third.growing, ids("2-3"), "what was available once stays grown");
    assert_eq!(
        creations(&third, &ids("0,1"), 1, 500),
        [2],
        "an unready server takes no share"
    );
    // 0 is gone, 2 takes the whole limit: 0 is made again all the same, 3 waits.
    assert_eq!(creations(&third, &ids("1,2"), 0, 500), [0]);
    assert_eq!(
        creations(&third, &ids("1"), 5, 1),
        [0],
        "what was lost comes first"
    );
}

#[test]
fn an_ended_server_that_backs_off_stays_unless_its_id_goes() {
    let mut ended = server("1x");
    ended.pod.as_mut().unwrap().backs_off = true;
    let all = [server("0:Allocated"), ended];
    let deleted_at = |replicas| {
        deleted(&plan(&ScaleInput {
            replicas,
            strategy: Strategy::General,
            protect_allocated: false,
            limited: false,
            by_players: false,
            drains: false,
            leaving: &Leaving::default(),
            reserved: &IdSet::new(),
            record: Some(&Record {
                desired: ids("0,1"),
                ..Record::default()
            }),
            acknowledged: &IdSet::new(),
            servers: &all,
        }))
    };
    assert_eq!(deleted_at(2), [0; 0]);
    assert_eq!(deleted_at(1), [1]);
}

#[test]
fn a_held_server_is_not_counted_and_its_id_not_used() {
    let mut held = server("2");
    let pod = held.pod.as_mut().unwrap();
    (pod.stage, pod.hold) = (Stage::PreparingDelete(Some("ScaleIn".into())), Hold::Waits);
    let grown = plan(&ScaleInput {
        replicas: 3,
        strategy: Strategy::General,
        protect_allocated: false,
        limited: false,
        by_players: false,
        drains: false,
        leaving: &Leaving::default(),
        reserved: &IdSet::new(),
        record: Some(&Record {
            desired: ids("0,1"),
            implicit: ids("2"),
            ..Record::default()
        }),
        acknowledged: &IdSet::new(),
        servers: &[server("0"), server("1"), held],
    });
    assert_eq!(grown.record.desired, ids("0,1,3"));
    assert_eq!(deleted(&grown), [2], "named until it is gone");
}
