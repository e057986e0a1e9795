//! How many Pods use each host port (pure).

use std::collections::{BTreeMap, BTreeSet};

/// How many Pods use each port of a range. Choosing costs what is chosen, not the range.
#[derive(Debug, Clone)]
pub struct HostPorts {
    low: u16,
    high: u16,
    usage: BTreeMap<u16, u32>,
    /// Every port of the range, the least used first.
    order: BTreeSet<(u32, u16)>,
}

impl HostPorts {
    /// The ports from `low` to `high`, used by nobody.
    pub fn new(low: u16, high: u16) -> Self {
        Self {
            low,
            high,
            usage: BTreeMap::new(),
            order: (low..=high).map(|port| (0, port)).collect(),
        }
    }

    /// First and last port.
    pub fn range(&self) -> (u16, u16) {
        (self.low, self.high)
    }

    /// `count` different ports, the least used first, of those the lowest; `None` where the range has fewer.
    pub fn choose(&self, count: usize) -> Option<Vec<u16>> {
        let chosen: Vec<u16> = self.order.iter().take(count).map(|(_, port)| *port).collect();
        (chosen.len() == count).then_some(chosen)
    }

    /// Another Pod uses these; those out of the range don't matter.
    pub fn count(&mut self, ports: &[u16]) {
        for port in ports {
            self.change(*port, |usage| usage.saturating_add(1));
        }
    }

    /// A Pod that used these is gone.
    pub fn discount(&mut self, ports: &[u16]) {
        for port in ports {
            self.change(*port, |usage| usage.saturating_sub(1));
        }
    }

    fn change(&mut self, port: u16, change: impl FnOnce(u32) -> u32) {
        if port < self.low || port > self.high {
            return;
        }
        let before = self.usage.get(&port).copied().unwrap_or(0);
        let after = change(before);
        self.order.remove(&(before, port));
        self.order.insert((after, port));
        if after == 0 {
            self.usage.remove(&port);
        } else {
            self.usage.insert(port, after);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        // The oracle counts from scratch each time and sorts the whole range.
        #[test]
        fn the_choice_is_that_of_a_full_count(
            steps in proptest::collection::vec((0_usize..6, 1_usize..5, any::<bool>()), 0..60),
        ) {
            let (low, high) = (100_u16, 109_u16);
            let mut ports = HostPorts::new(low, high);
            let mut pods: Vec<Option<Vec<u16>>> = vec![None; 6];
            for (pod, wanted, goes) in steps {
                if let Some(before) = pods[pod].take() {
                    ports.discount(&before);
                }
                if goes {
                    continue;
                }
                let mut oracle: Vec<(usize, u16)> = (low..=high)
                    .map(|port| (pods.iter().flatten().filter(|used| used.contains(&port)).count(), port))
                    .collect();
                oracle.sort_unstable();
                let expected: Vec<u16> = oracle.into_iter().take(wanted).map(|(_, port)| port).collect();
                let chosen = ports.choose(wanted).unwrap();
                prop_assert_eq!(&chosen, &expected);
                ports.count(&chosen);
                pods[pod] = Some(chosen);
            }
            prop_assert_eq!(ports.choose(11), None);
        }
    }

    #[test]
    fn ports_out_of_the_range_do_not_count() {
        let mut ports = HostPorts::new(65534, 65535);
        ports.count(&[1, 65535]);
        assert_eq!(ports.choose(2).unwrap(), [65534, 65535]);
        ports.discount(&[65534]);
        assert_eq!(ports.choose(1).unwrap(), [65534]);
    }
}
