//! Which faults are tried: as Sieve does it, from the requests of a clean run.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::ledger::Entry;
use super::workloads::{self, Workload};
use super::{Action, Fault, Moment, Site};

/// One workload under one or two faults. Its line replays it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What users do.
    pub workload: Workload,
    /// Seed of what is random in the workload.
    pub seed: u64,
    /// gss-controllers that are active at once, without leader election.
    pub writers: usize,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seed={} writers={}",
            self.workload.name, self.seed, self.writers
        )?;
        self.faults.iter().try_for_each(|fault| write!(f, " {fault}"))
    }
}

impl FromStr for Plan {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut words = line.split_whitespace();
        let name = words.next().context("an empty line")?;
        let workload = workloads::find(name).with_context(|| format!("no workload is called {name}"))?;
        let mut number = |key: &str| -> Result<u64> {
            let word = words.next().and_then(|word| word.strip_prefix(key));
            word.with_context(|| format!("{key}N is missing"))?
                .parse()
                .context("not a number")
        };
        let (seed, writers) = (number("seed=")?, number("writers=")? as usize);
        if !(1..=2).contains(&writers) {
            bail!("one writer or two, not {writers}");
        }
        Ok(Self {
            workload,
            seed,
            writers,
            faults: words.map(str::parse).collect::<Result<_>>()?,
        })
    }
}

/// What a clean run showed of a workload, ready to be disturbed.
#[derive(Debug, Clone)]
pub struct Learned {
    writes: Vec<Site>,
    reads: Vec<Site>,
    /// Watches by client and resource.
    watches: Vec<(String, String)>,
}

impl Learned {
    /// Reads a clean run's ledger.
    pub fn from(entries: &[Entry]) -> Self {
        let site = |entry: &Entry| Site {
            client: entry.client.clone(),
            verb: entry.call.verb.to_owned(),
            resource: entry.call.resource.clone(),
            name: entry.call.name.clone(),
            nth: entry.nth,
        };
        let work = || entries.iter().filter(|entry| entry.is_work());
        let watches: BTreeSet<_> = work()
            .filter(|entry| entry.call.verb == "watch")
            .map(|entry| (entry.client.clone(), entry.call.resource.clone()))
            .collect();
        Self {
            writes: work().filter(|entry| entry.took_effect()).map(site).collect(),
            reads: work()
                .filter(|entry| ["get", "list"].contains(&entry.call.verb))
                .map(site)
                .collect(),
            watches: watches.into_iter().collect(),
        }
    }

    /// Effective writes, each of them three crash points.
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    /// The plans of one workload, as many as are taken: first a crash at each moment of each kind of write, then by turns the
    /// crash points that are left and other faults, last pairs of faults.
    pub fn plans(
        &self,
        workload: Workload,
        seed: u64,
        two_writers: bool,
    ) -> impl Iterator<Item = Plan> + use<> {
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, rest) = self.crash_points(&mut rng);
        let others = self.others(&mut rng);
        let learned = self.clone();
        let mut turns: Vec<Vec<Fault>> = first.into_iter().map(|fault| vec![fault]).collect();
        let (mut rest, mut others) = (rest.into_iter(), others.into_iter());
        loop {
            let pair = [others.next(), rest.next()];
            if pair.iter().all(Option::is_none) {
                break;
            }
            turns.extend(pair.into_iter().flatten().map(|fault| vec![fault]));
        }
        let singles = turns.into_iter();
        let mut pairs = StdRng::seed_from_u64(seed ^ 0x5eed);
        let pairs = std::iter::repeat_with(move || {
            let crash = learned.random_crash(&mut pairs);
            crash
                .into_iter()
                .chain(learned.random_other(&mut pairs))
                .collect()
        });
        singles
            .chain(pairs)
            .enumerate()
            .map(move |(number, faults)| Plan {
                workload,
                seed: seed.wrapping_add(number as u64),
                // Every fourth plan has a second writer anyway: safety must not rest on there being one.
                writers: if two_writers || number % 4 == 3 { 2 } else { 1 },
                faults,
            })
    }

    /// Crash points: one of each kind of write and moment, and all the others.
    fn crash_points(&self, rng: &mut StdRng) -> (Vec<Fault>, Vec<Fault>) {
        let mut all = Vec::new();
        for site in &self.writes {
            for moment in [Moment::Before, Moment::Committed, Moment::Answered] {
                let action = Action::Crash(moment);
                let site = site.clone();
                all.push(Fault { site, action });
            }
        }
        all.shuffle(rng);
        let mut kinds = BTreeSet::new();
        let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|fault| {
            let site = &fault.site;
            kinds.insert((
                site.client.clone(),
                site.verb.clone(),
                site.resource.clone(),
                fault.action,
            ))
        });
        (first, rest)
    }

    /// Everything else, once for each site.
    fn others(&self, rng: &mut StdRng) -> Vec<Fault> {
        let mut all = Vec::new();
        for site in &self.writes {
            let site = site.clone();
            all.push(Fault {
                site,
                action: refusal(rng),
            });
        }
        for site in &self.reads {
            let site = site.clone();
            all.push(Fault {
                site,
                action: unread(rng),
            });
        }
        for _ in 0..self.writes.len() {
            all.extend(self.watch_fault(rng));
        }
        all.shuffle(rng);
        all
    }

    fn random_crash(&self, rng: &mut StdRng) -> Option<Fault> {
        let moments = [Moment::Before, Moment::Committed, Moment::Answered];
        let site = self.writes.choose(rng)?.clone();
        let action = Action::Crash(*moments.choose(rng)?);
        Some(Fault { site, action })
    }

    /// Beside a crash: what its successor reads first may be old.
    fn random_other(&self, rng: &mut StdRng) -> Option<Fault> {
        match rng.random_range(0..3) {
            0 => {
                let lists: Vec<&Site> = self.reads.iter().filter(|site| site.verb == "list").collect();
                let mut site = (*lists.choose(rng)?).clone();
                site.nth = 2;
                let action = Action::Stale;
                Some(Fault { site, action })
            }
            1 => self.watch_fault(rng),
            _ => {
                let site = self.writes.choose(rng)?.clone();
                let action = refusal(rng);
                Some(Fault { site, action })
            }
        }
    }

    fn watch_fault(&self, rng: &mut StdRng) -> Option<Fault> {
        let (client, resource) = self.watches.choose(rng)?.clone();
        let site = Site {
            client,
            verb: "watch".into(),
            resource,
            name: String::new(),
            nth: rng.random_range(1..=40),
        };
        let ms = *[100, 400, 1000].choose(rng)?;
        let actions = [
            Action::CutStream,
            Action::Freeze(ms),
            Action::Merge,
            Action::Gone {
                in_stream: true,
                after: ms,
            },
            Action::Gone {
                in_stream: false,
                after: ms,
            },
        ];
        let action = *actions.choose(rng)?;
        Some(Fault { site, action })
    }
}

/// A write that is refused, lost, or answered with anything but the truth.
fn refusal(rng: &mut StdRng) -> Action {
    let answer = |code, applied, retry_after| Action::Answer {
        code,
        applied,
        retry_after,
    };
    let applied = rng.random_bool(0.5);
    match rng.random_range(0..9) {
        0 => answer(409, false, None),
        1 => answer(429, false, None),
        2 => answer(429, false, Some(1)),
        3 => answer(500, applied, None),
        4 => answer(503, applied, None),
        5 => answer(504, applied, None),
        6 | 7 => Action::Cut { applied },
        _ => Action::Delay(rng.random_range(20..800)),
    }
}

fn unread(rng: &mut StdRng) -> Action {
    let answer = |code, retry_after| Action::Answer {
        code,
        applied: false,
        retry_after,
    };
    match rng.random_range(0..5) {
        0 => answer(429, Some(1)),
        1 => answer(500, None),
        2 => Action::Cut { applied: false },
        3 => Action::Delay(rng.random_range(20..800)),
        _ => Action::Stale,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_from_its_line() {
        let line = "kill seed=7 writers=2 gss-controller:delete:pods:game-1:1=crash-committed gs-controller:list:gameservers::2=stale";
        assert_eq!(line.parse::<Plan>().unwrap().to_string(), line);
        for wrong in [
            "",
            "nothing seed=1 writers=1",
            "kill seed=1 writers=3",
            "kill writers=1",
        ] {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong}");
        }
    }
}
