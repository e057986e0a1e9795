use proptest::prelude::*;

use super::*;
use crate::ports::Wish;

fn item(port: u16, protocols: &[Protocol]) -> PortItem {
    PortItem {
        port: Some(port),
        protocols: protocols.to_vec(),
    }
}

const KINDS: [&[Protocol]; 3] = [
    &[Protocol::Tcp],
    &[Protocol::Udp],
    &[Protocol::Tcp, Protocol::Udp],
];

fn range(low: u16, high: u16, blocked: &[u16]) -> Range {
    Range {
        low,
        high,
        blocked: blocked.iter().copied().collect(),
    }
}

fn ask(server: usize, ids: &[&str], items: Vec<PortItem>) -> Ask {
    Ask {
        namespace: "games".into(),
        server: format!("arena-{server}"),
        service: format!("uid-{server}"),
        created: format!("2026-01-01T00:00:{server:02}Z"),
        wish: Wish {
            ids: ids.iter().map(ToString::to_string).collect(),
            id_annotation: "lb".into(),
            range: range(500, 505, &[502]),
            items,
            fixed: false,
        },
        present: None,
    }
}

fn granted(ask: &Ask, pools: &BTreeMap<String, Pool>) -> Result<Grant, Problem> {
    let seen = BTreeMap::new();
    grant(ask, &Known { pools, seen: &seen })
}

fn store(pools: &mut BTreeMap<String, Pool>, grant: Grant) {
    pools.entry(grant.id).or_default().extend(grant.entries);
}

fn slots(grant: &Grant) -> Vec<Slot> {
    grant.entries.iter().map(|(slot, _)| *slot).collect()
}

const TCP: Protocol = Protocol::Tcp;

#[test]
fn the_first_load_balancer_with_room_gives_its_lowest_ports() {
    let mut pools = BTreeMap::new();
    for (server, id, wanted) in [
        (0, "a", vec![500, 501]),
        (1, "a", vec![503, 504]),
        (2, "b", vec![500, 501]),
        (3, "b", vec![503, 504]),
    ] {
        let items = vec![item(80, &[TCP]), item(81, &[TCP])];
        let grant = granted(&ask(server, &["a", "b"], items), &pools).unwrap();
        assert_eq!(grant.id, id);
        assert_eq!(
            slots(&grant),
            wanted.iter().map(|port| (TCP, *port)).collect::<Vec<_>>()
        );
        store(&mut pools, grant);
    }
    // One port is free on each of the two, and ports of one server are on one load balancer.
    let two = vec![item(80, &[TCP]), item(81, &[TCP])];
    let problem = granted(&ask(4, &["a", "b"], two), &pools).unwrap_err();
    assert_eq!(problem.reason, Reason::PortsExhausted);
    assert!(
        problem.message.contains("a, b") && problem.message.contains("500 to 505"),
        "{problem:?}"
    );
    // UDP is another space.
    let udp = granted(&ask(4, &["a"], vec![item(80, &[Protocol::Udp])]), &pools).unwrap();
    assert_eq!(slots(&udp), [(Protocol::Udp, 500)]);
}

#[test]
fn what_a_service_has_it_keeps_and_more_comes_from_the_same_load_balancer() {
    let mut pools = BTreeMap::new();
    let first = granted(&ask(0, &["a"], vec![item(80, &[TCP])]), &pools).unwrap();
    store(&mut pools, first);
    let again = granted(&ask(0, &["a"], vec![item(80, &[TCP])]), &pools).unwrap();
    assert!(again.entries.is_empty());
    // The list has changed since.
    let more = granted(&ask(0, &["b"], vec![item(80, &[TCP]), item(81, &[TCP])]), &pools).unwrap();
    assert_eq!((more.id.as_str(), slots(&more)), ("a", vec![(TCP, 501)]));
}

#[test]
fn a_service_that_is_found_on_ports_keeps_those_that_are_nobody_elses() {
    let present = |port| Held {
        id: "a".into(),
        ports: vec![HeldPort {
            target: 80,
            protocol: TCP,
            port,
        }],
    };
    let mut found = ask(5, &["a"], vec![item(80, &[TCP])]);
    found.present = Some(present(600));
    let pools = BTreeMap::new();
    let kept = granted(&found, &pools).unwrap();
    assert_eq!(slots(&kept), [(TCP, 600)], "also out of the range");

    let seen = |server: usize| {
        let other = ask(server, &["a"], Vec::new());
        let sighting = Sighting {
            service: other.service,
            created: other.created,
        };
        BTreeMap::from([(("a".to_owned(), (TCP, 600)), vec![sighting])])
    };
    let given = |ask: &Ask, seen| {
        grant(
            ask,
            &Known {
                pools: &pools,
                seen: &seen,
            },
        )
    };
    assert_eq!(
        slots(&given(&found, seen(9)).unwrap()),
        [(TCP, 600)],
        "the other is newer"
    );
    assert_eq!(
        slots(&given(&found, seen(1)).unwrap()),
        [(TCP, 500)],
        "the other is older"
    );
    found.wish.fixed = true;
    assert_eq!(given(&found, seen(1)).unwrap_err().reason, Reason::PortConflict);

    let mut taken = BTreeMap::new();
    store(&mut taken, kept);
    let mut late = ask(1, &["a"], vec![item(80, &[TCP])]);
    late.present = Some(present(600));
    assert_eq!(
        slots(&granted(&late, &taken).unwrap()),
        [(TCP, 500)],
        "what is recorded is never taken"
    );
}

#[test]
fn ports_of_services_without_a_record_are_not_given() {
    let sighting = Sighting {
        service: "somebody".into(),
        created: String::new(),
    };
    let seen = BTreeMap::from([(("a".to_owned(), (TCP, 500)), vec![sighting])]);
    let pools = BTreeMap::new();
    let known = Known {
        pools: &pools,
        seen: &seen,
    };
    let grant = grant(&ask(0, &["a"], vec![item(80, &[TCP])]), &known).unwrap();
    assert_eq!(slots(&grant), [(TCP, 501)]);
}

/// Whether the items fit at all: every way to give them is tried.
fn fits(range: &Range, items: &[PortItem], taken: &BTreeSet<Slot>) -> bool {
    let Some((first, rest)) = items.split_first() else {
        return true;
    };
    (range.low..=range.high)
        .filter(|port| !range.blocked.contains(port))
        .any(|port| {
            let wanted: Vec<Slot> = first.protocols.iter().map(|protocol| (*protocol, port)).collect();
            let mut more = taken.clone();
            wanted.iter().all(|slot| more.insert(*slot)) && fits(range, rest, &more)
        })
}

proptest! {
    #[test]
    fn what_fits_is_found_and_nothing_else(
        kinds in proptest::collection::vec(0_usize..3, 0..5),
        taken in proptest::collection::btree_set((0_usize..2, 10_u16..16), 0..8),
        blocked in proptest::collection::btree_set(10_u16..16, 0..2),
    ) {
        let range = Range { low: 10, high: 15, blocked };
        let items: Vec<_> = kinds.iter().enumerate().map(|(index, kind)| item(index as u16 + 1, KINDS[*kind])).collect();
        let taken: BTreeSet<Slot> = taken.into_iter().map(|(protocol, port)| (KINDS[protocol][0], port)).collect();
        let given = pick(&range, &items, |slot| taken.contains(&slot));
        prop_assert_eq!(given.is_some(), fits(&range, &items, &taken));
        let mut used = taken;
        for held in given.unwrap_or_default() {
            prop_assert!((10..=15).contains(&held.port) && !range.blocked.contains(&held.port));
            prop_assert!(used.insert((held.protocol, held.port)), "given twice");
        }
    }

    // Servers come, ask again with other ports, and go. The oracle is a plain list of who has what.
    #[test]
    fn no_port_is_given_twice_and_none_is_lost(
        steps in proptest::collection::vec((0_usize..5, proptest::option::weighted(0.7, proptest::collection::vec((1_u16..4, 0_usize..3), 1..3))), 0..40),
    ) {
        let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
        for (server, wish) in steps {
            let Some(wish) = wish else {
                for pool in pools.values_mut() {
                    pool.retain(|_, entry| entry.service != format!("uid-{server}"));
                }
                continue;
            };
            let mut items: Vec<PortItem> = Vec::new();
            for (port, kind) in wish {
                if items.iter().all(|item| item.port != Some(port)) {
                    items.push(item(port, KINDS[kind]));
                }
            }
            let ask = ask(server, &["a", "b"], items.clone());
            let before = pools.clone();
            match granted(&ask, &pools) {
                Ok(grant) => {
                    for (slot, entry) in &grant.entries {
                        prop_assert!(!before.get(&grant.id).is_some_and(|pool| pool.contains_key(slot)), "given twice");
                        prop_assert!(slot.1 != 502 && (500..=505).contains(&slot.1));
                        prop_assert_eq!(&entry.service, &ask.service);
                    }
                    let mut distinct = slots(&grant);
                    distinct.sort_unstable();
                    distinct.dedup();
                    prop_assert_eq!(distinct.len(), grant.entries.len());
                    store(&mut pools, grant);
                    let on: Vec<_> = pools.iter().filter(|(_, pool)| pool.values().any(|entry| entry.service == ask.service)).collect();
                    prop_assert_eq!(on.len(), 1, "one load balancer for each server");
                    let has: BTreeSet<_> = on[0].1.iter().filter(|(_, entry)| entry.service == ask.service)
                        .map(|((protocol, _), entry)| (entry.target, *protocol)).collect();
                    for item in &items {
                        for protocol in &item.protocols {
                            prop_assert!(has.contains(&(item.port.unwrap(), *protocol)));
                        }
                    }
                }
                Err(problem) => {
                    prop_assert_eq!(problem.reason, Reason::PortsExhausted);
                    let has_some = pools.values().any(|pool| pool.values().any(|entry| entry.service == ask.service));
                    let room = |id: &str| {
                        let taken: BTreeSet<Slot> = pools.get(id).into_iter().flat_map(|pool| pool.keys().copied()).collect();
                        fits(&ask.wish.range, &items, &taken)
                    };
                    prop_assert!(has_some || (!room("a") && !room("b")), "there was room");
                }
            }
        }
    }
}
