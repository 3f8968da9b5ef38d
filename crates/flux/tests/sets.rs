//! Laws of hostlists and idsets, against plain sets and lists.

use std::collections::BTreeSet;

use proptest::prelude::*;
use towtank_flux::{Hostlist, Idset};

fn ids() -> impl Strategy<Value = BTreeSet<u32>> {
    prop::collection::btree_set(0_u32..40, 0..25)
}

fn idset(ids: &BTreeSet<u32>) -> Idset {
    ids.iter().copied().collect()
}

fn plain(set: &Idset) -> BTreeSet<u32> {
    set.iter().collect()
}

/// Names that run into each other: prefixes that end in digits, leading zeros, no number at all, one number too large.
fn host() -> impl Strategy<Value = String> {
    let prefix = prop::sample::select(vec!["", "a", "b-", "a0", "10.0.0.", "ab"]);
    let number = prop_oneof![
        5 => (0_u32..13).prop_map(|n| n.to_string()),
        2 => (0_u32..13).prop_map(|n| format!("{n:02}")),
        1 => (95_u32..103).prop_map(|n| format!("{n:03}")),
        1 => Just("18446744073709551615".to_owned()),
        1 => Just("18446744073709551616".to_owned()),
        1 => Just("-ib".to_owned()),
    ];
    (prefix, number).prop_map(|(prefix, number)| format!("{prefix}{number}"))
}

fn hosts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(host(), 0..25)
}

fn hostlist(hosts: &[String]) -> Hostlist {
    hosts.iter().collect()
}

fn names(list: &Hostlist) -> Vec<String> {
    list.iter().collect()
}

fn name_set(list: &Hostlist) -> BTreeSet<String> {
    list.iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_idset_printed_and_read_is_itself(ids in ids()) {
        let set = idset(&ids);
        prop_assert_eq!(set.to_string().parse::<Idset>(), Ok(set.clone()));
        prop_assert_eq!(set.bracketed().parse::<Idset>(), Ok(set.clone()));
        prop_assert_eq!(plain(&set), ids);
    }

    #[test]
    fn idsets_are_sets(a in ids(), b in ids(), id in 0_u32..41) {
        let (x, y) = (idset(&a), idset(&b));
        prop_assert_eq!(plain(&x.union(&y)), &a | &b);
        prop_assert_eq!(plain(&x.intersection(&y)), &a & &b);
        prop_assert_eq!(plain(&x.difference(&y)), &a - &b);
        // Equal sets are equal values, however they were made.
        prop_assert_eq!(x.difference(&y).union(&x.intersection(&y)), x.clone());
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert_eq!((x.len(), x.first(), x.last()), (a.len(), a.first().copied(), a.last().copied()));
        let (mut x, mut a) = (x, a);
        prop_assert_eq!(x.contains(id), a.contains(&id));
        prop_assert_eq!(x.insert(id), a.insert(id));
        prop_assert_eq!(&x, &idset(&a));
        prop_assert_eq!(x.remove(id), a.remove(&id));
        prop_assert_eq!(&x, &idset(&a));
    }

    #[test]
    fn any_text_is_an_idset_or_refused(text in "[0-9,\\[\\]-]{0,12}") {
        if let Ok(set) = text.parse::<Idset>() {
            prop_assert_eq!(set.to_string().parse::<Idset>(), Ok(set));
        }
    }

    #[test]
    fn a_hostlist_printed_and_read_is_itself(hosts in hosts()) {
        let list = hostlist(&hosts);
        prop_assert_eq!(names(&list), hosts);
        let again: Hostlist = list.to_string().parse().unwrap();
        prop_assert_eq!(&again, &list);
        prop_assert_eq!(again.to_string(), list.to_string());
    }

    #[test]
    fn any_text_is_a_hostlist_or_refused(text in "[a0-9,\\[\\] -]{0,14}") {
        if let Ok(list) = text.parse::<Hostlist>() {
            prop_assert_eq!(list.iter().count(), list.len());
            // Only names with brackets of their own expand further when they are read again.
            if !list.iter().any(|host| host.contains('[')) {
                prop_assert_eq!(names(&list.to_string().parse().unwrap()), names(&list));
            }
        }
    }

    #[test]
    fn positions_and_names_belong_together(hosts in hosts(), host in host(), chosen in ids()) {
        let list = hostlist(&hosts);
        prop_assert_eq!(list.len(), hosts.len());
        for (at, name) in hosts.iter().enumerate() {
            prop_assert_eq!(list.get(at), Some(name.clone()));
        }
        prop_assert_eq!(list.get(hosts.len()), None);
        prop_assert_eq!(list.find(&host), hosts.iter().position(|name| *name == host));
        let selected: Vec<String> = chosen.iter().filter_map(|at| hosts.get(*at as usize).cloned()).collect();
        prop_assert_eq!(names(&list.select(&idset(&chosen))), selected);
    }

    #[test]
    fn hostlists_follow_the_algebra_of_sets(a in hosts(), b in hosts()) {
        let (x, y) = (hostlist(&a), hostlist(&b));
        let (a, b) = (name_set(&x), name_set(&y));
        prop_assert_eq!(name_set(&x.union(&y)), &a | &b);
        prop_assert_eq!(name_set(&x.intersection(&y)), &a & &b);
        prop_assert_eq!(name_set(&x.difference(&y)), &a - &b);
        prop_assert_eq!(name_set(&x.symmetric_difference(&y)), &a ^ &b);
        prop_assert_eq!(x.union(&y), y.union(&x));
        prop_assert_eq!(x.union(&y).len(), (&a | &b).len());
    }

    #[test]
    fn subtracting_takes_each_host_once(a in hosts(), b in hosts()) {
        let mut list = hostlist(&a);
        list.subtract(&hostlist(&b));
        let mut left = a;
        for host in &b {
            if let Some(at) = left.iter().position(|name| name == host) {
                left.remove(at);
            }
        }
        prop_assert_eq!(names(&list), left);
    }

    #[test]
    fn sorting_keeps_the_hosts_and_does_nothing_twice(a in hosts()) {
        let mut list = hostlist(&a);
        list.sort();
        let mut sorted = names(&list);
        let once = list.clone();
        list.sort();
        prop_assert_eq!(&list, &once);
        let mut given = a;
        given.sort();
        sorted.sort();
        prop_assert_eq!(sorted, given);
    }
}
