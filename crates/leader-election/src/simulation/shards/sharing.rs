//! The sharing half of a replica: list, plan, write.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

use super::{Bug, Event, Purpose, Simulation};
use crate::{
    record::{Claim, LeaseRecord, Observed},
    shards::{GroupView, plan_shards},
    simulation::world::{Answer, Request},
};

impl Simulation {
    pub(super) fn round(&mut self, node: usize) {
        self.nodes[node].again = false;
        if self.is_member(node) {
            self.ask(node, Purpose::List, Request::List);
        }
    }

    pub(super) fn round_may_end(&mut self, node: usize) {
        if !self.nodes[node].pending.is_empty() {
            return;
        }
        let (clock, membership) = (self.nodes[node].clock.clone(), self.nodes[node].membership);
        let pause = if self.nodes[node].again {
            Duration::from_millis(50)
        } else {
            self.timing.retry
        };
        let time = self.world.jittered(&clock, clock.instant(self.world.now) + pause);
        self.world.at(time, Event::Round { node, membership });
    }

    pub(super) fn receive_sharing(&mut self, node: usize, purpose: Purpose, answer: Answer) {
        match (purpose, answer) {
            (Purpose::List, Answer::Listed(leases)) => self.share(node, leases),
            (Purpose::Claim(shard), Answer::Stored(_)) if self.is_member(node) => {
                self.nodes[node].mine.insert(shard);
                self.moves += 1;
            }
            (Purpose::Claim(shard), Answer::Refused) => {
                self.nodes[node].again = true;
                self.nodes[node].mine.remove(&shard);
            }
            _ => {}
        }
    }

    pub(super) fn share(&mut self, node: usize, leases: Vec<Lease>) {
        let process = &mut self.nodes[node];
        let local = process.clock.instant(self.world.now);
        process.view = GroupView::read(&self.names, &process.view, leases, local);
        for shard in process.view.lost(&process.mine, &process.identity) {
            process.mine.remove(&shard);
        }
        if self.bug == Bug::TrustsItsName {
            let named = (0..self.shards).filter(|shard| process.view.names(*shard, &process.identity));
            process.mine.extend(named);
        }
        let expiries = process.view.expiries(self.timing.duration);
        let plan = plan_shards(
            &expiries,
            &process.view.holders,
            &process.identity,
            &process.mine,
            local,
        );
        for shard in &plan.release {
            process.mine.remove(shard);
        }
        if self.bug == Bug::OwnsUnconfirmed {
            process.mine.extend(&plan.claim);
        }
        process.again = !plan.fence.is_empty();
        let view = process.view.clone();
        for identity in &plan.fence {
            let (lease, version) = view.member(identity).unwrap();
            self.ask(
                node,
                Purpose::Other,
                Request::Delete {
                    name: lease.to_owned(),
                    version: version.clone(),
                },
            );
        }
        let me = self.nodes[node].identity.clone();
        for shard in plan.release {
            self.write_shard(node, &view, shard, None, Purpose::Other);
        }
        for shard in plan.claim {
            self.write_shard(node, &view, shard, Some(me.clone()), Purpose::Claim(shard));
        }
    }

    pub(super) fn write_shard(
        &mut self,
        node: usize,
        view: &GroupView,
        shard: u32,
        holder: Option<String>,
        purpose: Purpose,
    ) {
        let stored = view.shards[shard as usize].as_ref();
        let claim = Claim {
            new_term: holder.is_some(),
            holder,
            duration: self.timing.duration,
            transitions: stored.map_or(0, |lease| LeaseRecord::from_lease(lease).transitions + 1),
        };
        let over = stored.map(|lease| Observed::from_lease(lease).version);
        let request = self.put(node, self.names.shard(shard), over, stored, &claim);
        self.ask(node, purpose, request);
    }
}
