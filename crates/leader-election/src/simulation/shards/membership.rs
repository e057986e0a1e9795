//! The membership half of a replica: the election machine on its own member lease.

use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use rand::Rng;

use super::{Event, Purpose, Simulation};
use crate::{
    record::{Claim, Observed, Version},
    shards::GroupView,
    simulation::world::{Answer, MILLI, Request},
    step::{Candidate, Command, Input, step},
};

impl Simulation {
    /// Forgets everything; what was sent is still under way.
    pub(super) fn leave(&mut self, node: usize) {
        let (waiting, membership) = (self.world.ticket(), self.world.ticket());
        let process = &mut self.nodes[node];
        process.alive = false;
        process.candidate = Candidate::new("", self.timing);
        process.stored = None;
        process.waiting = waiting;
        process.membership = membership;
        process.view = GroupView::default();
        process.mine.clear();
        process.pending.clear();
        process.again = false;
    }

    pub(super) fn join(&mut self, node: usize) {
        self.leave(node);
        let process = &mut self.nodes[node];
        process.alive = true;
        process.candidate = Candidate::new(process.identity.clone(), self.timing);
        self.feed(node, Input::Wake);
    }

    pub(super) fn receive_membership(&mut self, node: usize, answer: Answer) -> Input {
        let process = &mut self.nodes[node];
        match answer {
            Answer::Found(lease) => {
                process.stored = lease;
                Input::Read(process.stored.as_ref().map(Observed::from_lease))
            }
            Answer::Stored(lease) => {
                let observed = Observed::from_lease(&lease);
                process.stored = Some(lease);
                Input::Written(observed)
            }
            _ => Input::Refused,
        }
    }

    pub(super) fn feed(&mut self, node: usize, input: Input) {
        let before = self.nodes[node].candidate.until();
        let local = self.nodes[node].clock.instant(self.world.now);
        let command = step(&mut self.nodes[node].candidate, input, local);
        let waiting = self.world.ticket();
        self.nodes[node].waiting = waiting;
        let lease = self.names.member(&self.nodes[node].identity);
        match command {
            Command::Stop(_) => {
                self.leave(node);
                self.nodes[node].alive = true;
                let time = self.world.now + self.world.rng.random_range(0..500 * MILLI);
                self.world.at(time, Event::Join { node });
            }
            Command::Wait(until) => {
                let clock = self.nodes[node].clock.clone();
                let time = self.world.jittered(&clock, until);
                self.world.at(
                    time,
                    Event::Wake {
                        node,
                        ticket: waiting,
                    },
                );
            }
            Command::Read => self.send(node, waiting, Request::Get(lease)),
            Command::Write { over, claim } => {
                let stored = self.nodes[node].stored.clone();
                let request = self.put(node, lease, over, stored.as_ref(), &claim);
                self.send(node, waiting, request);
            }
        }
        let until = self.nodes[node].candidate.until();
        if let Some(until) = until.filter(|_| until != before) {
            let time = self.nodes[node].clock.when(until, self.world.now);
            self.world.at(time, Event::Deadline { node });
            if before.is_none() {
                let membership = self.nodes[node].membership;
                self.world.at(self.world.now, Event::Round { node, membership });
            }
        }
    }

    pub(super) fn put(
        &self,
        node: usize,
        name: String,
        over: Option<Version>,
        stored: Option<&Lease>,
        claim: &Claim,
    ) -> Request {
        let wall = self.nodes[node].clock.wall(self.world.now);
        let metadata = ObjectMeta {
            name: Some(name),
            ..ObjectMeta::default()
        };
        let spec = claim.stamp(stored.and_then(|lease| lease.spec.as_ref()), wall);
        Request::Put {
            over,
            lease: Box::new(Lease {
                metadata,
                spec: Some(spec),
            }),
        }
    }

    pub(super) fn send(&mut self, node: usize, ticket: u64, request: Request) {
        let clock = &self.nodes[node].clock;
        let timeout = clock.when(
            clock.instant(self.world.now) + self.timing.request_deadline(),
            self.world.now,
        );
        self.world.at(timeout, Event::Timeout { node, ticket });
        if let Some(time) = self.world.travel(self.world.faults.lost_request) {
            self.world.at(
                time,
                Event::Arrive {
                    node,
                    ticket,
                    request,
                },
            );
        }
    }

    pub(super) fn ask(&mut self, node: usize, purpose: Purpose, request: Request) {
        let ticket = self.world.ticket();
        self.nodes[node].pending.insert(ticket, purpose);
        self.send(node, ticket, request);
    }
}
