//! All probes of this process: which there are, which run, and what they have found (pure but for its own state).
//!
//! Two lanes: commands cost processes and, through the API server, connections, and are bounded apart from the others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use api_types::ServiceQuality;
use controller_kit::key::ObjectKey;
use jiff::Timestamp;

use super::{
    progress::{Progress, Reported, Sample},
    schedule::{Grid, ProbeId, Schedule},
    target::{Handler, Misfit, Place, Target, target},
};
use crate::views::{Condition, PodView};

/// The process's own clock and the wall's, read together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Since the start of the process.
    pub since_start: Duration,
    /// What time it is.
    pub time: Timestamp,
}

/// How much may run at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Commands at once.
    pub execs: usize,
    /// Other probes at once.
    pub others: usize,
    /// Commands begun in a second; `None` for as many as are due.
    pub execs_per_second: Option<u32>,
}

/// One run to be done.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The probe.
    pub id: ProbeId,
    /// The Pod.
    pub pod: ObjectKey,
    /// What to do.
    pub target: Arc<Target>,
    /// Where.
    pub place: Arc<Place>,
    /// How late it begins.
    pub skew: Duration,
    attempt: u64,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Times of the grid that passed meanwhile.
    pub missed: u64,
    /// The Pod whose condition is to be written.
    pub changed: Option<ObjectKey>,
}

/// What a Pod's condition should say and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A result.
    Sample(Sample),
    /// That it cannot be probed.
    Misfit(Misfit),
    /// That it is not probed any more.
    Removed,
}

#[derive(Debug, Default)]
struct Lane {
    schedule: Schedule,
    /// When the next command may begin, under a rate.
    free_at: Duration,
}

impl Lane {
    /// Runs the probe on its own grid while there is a container for it.
    fn follow(&mut self, tracked: &Tracked, pod_uid: &str, quality: &str, now: Now) {
        match &tracked.place {
            Some(place) => {
                let grid = Grid::of(pod_uid, quality, tracked.target.period);
                let first = begin(&tracked.target, place, now);
                self.schedule.set(tracked.id, grid, first, now.since_start);
            }
            None => self.schedule.rest(tracked.id),
        }
    }
}

#[derive(Debug)]
struct Probed {
    uid: String,
    qualities: BTreeMap<String, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    id: ProbeId,
    target: Arc<Target>,
    place: Option<Arc<Place>>,
    progress: Progress,
    /// Runs of an earlier attempt (another container, another probe) tell nothing about this one.
    attempt: u64,
}

/// All probes of this process.
#[derive(Debug)]
pub(crate) struct Probes {
    limits: Limits,
    execs: Lane,
    others: Lane,
    pods: HashMap<ObjectKey, Probed>,
    owners: HashMap<ProbeId, (ObjectKey, String)>,
    last_id: ProbeId,
}

impl Probes {
    /// No probes yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            execs: Lane::default(),
            others: Lane::default(),
            pods: HashMap::new(),
            owners: HashMap::new(),
            last_id: 0,
        }
    }

    /// Takes in what the caches say of a Pod and its set, and gives what its conditions should say instead of what they do.
    pub(crate) fn look(
        &mut self,
        key: &ObjectKey,
        pod: &PodView,
        qualities: &[ServiceQuality],
        now: Now,
    ) -> BTreeMap<String, Wanted> {
        if self
            .pods
            .get(key)
            .is_some_and(|probed| probed.uid != pod.metadata.uid)
        {
            self.forget(key);
        }
        let mut wanted = removed(pod, qualities);
        let mut gone: Vec<String> = self.pods.get(key).map_or_else(Vec::new, |probed| {
            let names = probed.qualities.keys();
            names
                .filter(|name| qualities.iter().all(|it| it.name != **name))
                .cloned()
                .collect()
        });
        for quality in qualities {
            match target(pod, quality) {
                Ok((target, place)) => {
                    let condition = pod.qualities.get(&quality.name).and_then(reported);
                    let tracked = self.track(key, pod, &quality.name, target, place, now);
                    tracked.progress.adopt(condition);
                    if let Some(sample) = tracked.progress.unwritten() {
                        wanted.insert(quality.name.clone(), Wanted::Sample(sample.clone()));
                    }
                }
                Err(misfit) => {
                    gone.push(quality.name.clone());
                    if !says(pod.qualities.get(&quality.name), &misfit) {
                        wanted.insert(quality.name.clone(), Wanted::Misfit(misfit));
                    }
                }
            }
        }
        for name in gone {
            self.untrack(key, &name);
        }
        wanted
    }

    /// The Pod is gone, or no longer ours to probe.
    pub(crate) fn forget(&mut self, key: &ObjectKey) {
        let Some(probed) = self.pods.remove(key) else {
            return;
        };
        for tracked in probed.qualities.into_values() {
            self.drop_probe(&tracked);
        }
    }

    /// Conditions have been written.
    pub(crate) fn written(&mut self, key: &ObjectKey, uid: &str, written: &BTreeMap<String, Wanted>) {
        let Some(probed) = self.pods.get_mut(key).filter(|probed| probed.uid == uid) else {
            return;
        };
        for (name, wanted) in written {
            if let (Some(tracked), Wanted::Sample(sample)) = (probed.qualities.get_mut(name), wanted) {
                tracked.progress.written(sample);
            }
        }
    }

    /// The runs to begin now.
    pub(crate) fn take(&mut self, now: Duration) -> Vec<Run> {
        let mut due = self.others.schedule.take(
            now,
            self.limits.others.saturating_sub(self.others.schedule.running()),
        );
        let free = self.limits.execs.saturating_sub(self.execs.schedule.running());
        match self.limits.execs_per_second {
            None => due.extend(self.execs.schedule.take(now, free)),
            // One at a time: what the rate does not use is lost, so that commands never come in a burst.
            Some(rate) if free > 0 && self.execs.free_at <= now => {
                let taken = self.execs.schedule.take(now, 1);
                if !taken.is_empty() {
                    self.execs.free_at = now + Duration::from_secs(1) / rate.max(1);
                }
                due.extend(taken);
            }
            Some(_) => {}
        }
        let mut runs = Vec::with_capacity(due.len());
        for due in due {
            if let Some(run) = self.run(due.id, now.saturating_sub(due.due)) {
                runs.push(run);
            } else {
                // Cannot be: what is scheduled has a place. Were it so, it must not count as running for ever.
                self.others.schedule.finished(due.id, now);
                self.execs.schedule.finished(due.id, now);
            }
        }
        runs
    }

    fn run(&self, id: ProbeId, skew: Duration) -> Option<Run> {
        let (key, name) = self.owners.get(&id)?;
        let tracked = self.pods.get(key)?.qualities.get(name)?;
        Some(Run {
            id,
            pod: key.clone(),
            target: Arc::clone(&tracked.target),
            place: Arc::clone(tracked.place.as_ref()?),
            skew,
            attempt: tracked.attempt,
        })
    }

    /// When to [`take`](Self::take) next, unless a run ends before.
    pub(crate) fn next(&self) -> Option<Duration> {
        let free = |lane: &Lane, limit: usize| lane.schedule.running() < limit;
        let others = self
            .others
            .schedule
            .next_due()
            .filter(|_| free(&self.others, self.limits.others));
        let execs = self
            .execs
            .schedule
            .next_due()
            .filter(|_| free(&self.execs, self.limits.execs));
        let execs = execs.map(|due| due.max(self.execs.free_at));
        others.into_iter().chain(execs).min()
    }

    /// A run has ended, with a sample if it told anything.
    pub(crate) fn finished(&mut self, run: &Run, sample: Option<Sample>, now: Duration) -> Finished {
        let lane = match run.target.handler {
            Handler::Exec { .. } => &mut self.execs,
            _ => &mut self.others,
        };
        let missed = lane.schedule.finished(run.id, now);
        let tracked = self.owners.get(&run.id).and_then(|(key, name)| {
            let tracked = self.pods.get_mut(key)?.qualities.get_mut(name)?;
            (tracked.attempt == run.attempt).then_some(tracked)
        });
        let changed = match (tracked, sample) {
            (Some(tracked), Some(sample)) => tracked.progress.observe(sample, run.target.thresholds),
            _ => false,
        };
        Finished {
            missed,
            changed: changed.then(|| run.pod.clone()),
        }
    }

    /// How many probes are scheduled: commands, and others.
    pub(crate) fn scheduled(&self) -> (usize, usize) {
        (self.execs.schedule.scheduled(), self.others.schedule.scheduled())
    }

    fn track(
        &mut self,
        key: &ObjectKey,
        pod: &PodView,
        name: &str,
        target: Target,
        place: Option<Place>,
        now: Now,
    ) -> &mut Tracked {
        let probed = self.pods.entry(key.clone()).or_insert_with(|| Probed {
            uid: pod.metadata.uid.clone(),
            qualities: BTreeMap::new(),
        });
        let (last_id, owners) = (&mut self.last_id, &mut self.owners);
        let tracked = probed.qualities.entry(name.to_owned()).or_insert_with(|| {
            *last_id += 1;
            owners.insert(*last_id, (key.clone(), name.to_owned()));
            Tracked {
                id: *last_id,
                target: Arc::new(target.clone()),
                place: None,
                progress: Progress::default(),
                attempt: 0,
            }
        });
        let container = |place: &Option<Arc<Place>>| place.as_ref().map(|place| place.running.id.clone());
        let place = place.map(Arc::new);
        let moved = container(&tracked.place) != container(&place);
        if moved || *tracked.target != target {
            // What a container that has ended was seen to do says nothing of the next.
            tracked.progress.restarted();
            tracked.attempt += 1;
        }
        let lane_of = |target: &Target| matches!(target.handler, Handler::Exec { .. });
        if lane_of(&tracked.target) != lane_of(&target) {
            self.execs.schedule.remove(tracked.id);
            self.others.schedule.remove(tracked.id);
        }
        if *tracked.target != target {
            tracked.target = Arc::new(target);
        }
        tracked.place = place;
        let lane = if lane_of(&tracked.target) {
            &mut self.execs
        } else {
            &mut self.others
        };
        lane.follow(tracked, &pod.metadata.uid, name, now);
        tracked
    }

    fn untrack(&mut self, key: &ObjectKey, name: &str) {
        let tracked = self
            .pods
            .get_mut(key)
            .and_then(|probed| probed.qualities.remove(name));
        if let Some(tracked) = tracked {
            self.drop_probe(&tracked);
        }
        if self
            .pods
            .get(key)
            .is_some_and(|probed| probed.qualities.is_empty())
        {
            self.pods.remove(key);
        }
    }

    fn drop_probe(&mut self, tracked: &Tracked) {
        self.execs.schedule.remove(tracked.id);
        self.others.schedule.remove(tracked.id);
        self.owners.remove(&tracked.id);
    }
}

/// When a probe may first run, on the process's clock. Zero once the delay is over, so that looking again changes nothing.
fn begin(target: &Target, place: &Place, now: Now) -> Duration {
    let Some(since) = place.running.since else {
        return Duration::ZERO;
    };
    let age = Duration::try_from(now.time.duration_since(since)).unwrap_or(Duration::ZERO);
    // A container from the future, on a node whose clock is ahead, waits no longer than one that begins now.
    let left = target.initial_delay.saturating_sub(age);
    if left.is_zero() {
        return Duration::ZERO;
    }
    now.since_start + left
}

fn reported(condition: &Condition) -> Option<Reported> {
    let healthy = match condition.status.as_str() {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    Some(Reported {
        healthy,
        result: condition.message.clone().unwrap_or_default(),
    })
}

fn says(condition: Option<&Condition>, misfit: &Misfit) -> bool {
    condition.is_some_and(|condition| {
        condition.status == "Unknown" && condition.message.as_deref() == Some(&misfit.message)
    })
}

/// Reason of the condition of a service quality that the set has no more.
pub(crate) const REMOVED: &str = "QualityRemoved";
const OURS: [&str; 6] = [
    "ProbeSucceeded",
    "ProbeFailed",
    "ProbeTimedOut",
    "ContainerNotFound",
    "PortNotFound",
    "NotAProbe",
];

/// Conditions of service qualities that the set no longer has: else a quality of the same name, added later, would begin
/// with them. Only what a prober wrote: others may use the prefix too.
fn removed(pod: &PodView, qualities: &[ServiceQuality]) -> BTreeMap<String, Wanted> {
    let ours = |condition: &Condition| condition.reason.as_deref().is_some_and(|it| OURS.contains(&it));
    pod.qualities
        .iter()
        .filter(|(name, condition)| ours(condition) && qualities.iter().all(|it| it.name != **name))
        .map(|(name, _)| (name.clone(), Wanted::Removed))
        .collect()
}

#[cfg(test)]
mod tests;
