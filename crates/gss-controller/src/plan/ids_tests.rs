//! [`IdSet`] against a plain set of numbers, and its text forms.

use std::collections::BTreeSet;

use api_types::IntOrString;
use proptest::prelude::*;

use super::ids::{BadItemProblem, Id, IdSet, MAX_ID, Run};

fn items(texts: &[&str]) -> Vec<IntOrString> {
    texts
        .iter()
        .map(|text| {
            text.parse::<i64>()
                .map_or_else(|_| IntOrString::from(*text), IntOrString::Int)
        })
        .collect()
}

fn set(ids: &[Id]) -> IdSet {
    ids.iter().copied().collect()
}

#[test]
fn compact_form_joins_runs_of_three_and_more() {
    let ids = set(&[1, 2, 5, 6, 7, 10]);
    assert_eq!(ids.to_joined(), "1,2,5-7,10");
    assert_eq!(ids.to_items(), items(&["1", "2", "5-7", "10"]));
    assert_eq!(IdSet::new().to_joined(), "");
}

#[test]
fn the_annotation_is_read_in_old_and_compact_form_and_around_damage() {
    assert_eq!(IdSet::parse_joined("1,2,3"), IdSet::parse_joined(" 1 - 3 "));
    assert_eq!(IdSet::parse_joined("1,x,5-,7-9,,3-2"), set(&[1, 7, 8, 9]));
}

// OpenKruiseGame ignores a whole list for one bad item and then creates the reserved ids.
#[test]
fn a_bad_item_is_named_and_the_others_count() {
    let list = items(&[
        "1",
        "3-x",
        "9-7",
        "-4",
        "5-6",
        "2147483648",
        "99999999999999999999-1",
    ]);
    let (ids, bad) = IdSet::parse_items(&list);
    assert_eq!(ids, set(&[1, 5, 6]));
    let named: Vec<_> = bad.iter().map(|bad| (bad.item.as_str(), bad.problem)).collect();
    assert_eq!(
        named,
        [
            ("3-x", BadItemProblem::NotAnIdOrRange),
            ("9-7", BadItemProblem::Reversed),
            ("-4", BadItemProblem::OutOfBounds),
            ("2147483648", BadItemProblem::OutOfBounds),
            ("99999999999999999999-1", BadItemProblem::OutOfBounds),
        ]
    );
    assert!(
        bad[0].to_string().contains("\"3-x\"") && bad[0].to_string().contains("\"3-7\""),
        "{}",
        bad[0]
    );
}

#[test]
fn two_billion_ids_cost_one_interval() {
    let (ids, bad) = IdSet::parse_items(&items(&["0-2000000000", "5-1999999999"]));
    assert!(bad.is_empty());
    assert_eq!((ids.runs().len(), ids.len()), (1, 2_000_000_001));
    assert_eq!(ids.lowest_free(2), set(&[2_000_000_001, 2_000_000_002]));
    assert_eq!(ids.to_joined(), "0-2000000000");
}

#[test]
fn lowest_free_ends_at_the_largest_id() {
    let all_but_two = IdSet::from_runs(vec![Run {
        first: 1,
        last: MAX_ID - 1,
    }]);
    assert_eq!(all_but_two.lowest_free(10), set(&[0, MAX_ID]));
}

fn small_ids() -> impl Strategy<Value = BTreeSet<Id>> {
    prop::collection::btree_set(0..40_u32, 0..25)
}

fn plain(ids: &IdSet) -> BTreeSet<Id> {
    ids.iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn intervals_behave_like_a_set(a in small_ids(), b in small_ids(), id in 0..45_u32, count in 0..30_u64) {
        let (x, y): (IdSet, IdSet) = (a.iter().copied().collect(), b.iter().copied().collect());
        prop_assert_eq!(&plain(&x), &a);
        prop_assert_eq!(x.len(), a.len() as u64);
        prop_assert_eq!(plain(&x.union(&y)), a.union(&b).copied().collect());
        prop_assert_eq!(plain(&x.difference(&y)), a.difference(&b).copied().collect());
        prop_assert_eq!(plain(&x.intersection(&y)), a.intersection(&b).copied().collect());
        prop_assert_eq!(x.contains(id), a.contains(&id));
        let free: BTreeSet<Id> = (0..).filter(|id| !a.contains(id)).take(count as usize).collect();
        prop_assert_eq!(plain(&x.lowest_free(count)), free);
        prop_assert_eq!(plain(&x.lowest(count)), a.iter().copied().take(count as usize).collect());
        prop_assert_eq!(plain(&x.highest(count)), a.iter().rev().copied().take(count as usize).collect());
        let (mut added, mut removed, mut with, mut without) = (x.clone(), x.clone(), a.clone(), a);
        added.insert(id);
        with.insert(id);
        removed.remove(id);
        without.remove(&id);
        prop_assert_eq!(plain(&added), with);
        prop_assert_eq!(plain(&removed), without);
        // Two sets with the same ids are equal: the runs are normalised whatever made them.
        prop_assert_eq!(added.difference(&x).union(&x), x.union(&added));
    }

    #[test]
    fn text_forms_come_back(a in small_ids()) {
        let ids: IdSet = a.into_iter().collect();
        prop_assert_eq!(IdSet::parse_items(&ids.to_items()), (ids.clone(), vec![]));
        prop_assert_eq!(IdSet::parse_joined(&ids.to_joined()), ids);
    }
}
