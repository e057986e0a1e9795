//! What a Lease says, apart from its wire form.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};

use crate::config::MAX_DURATION;

/// One stored version of one Lease object; every write names the version it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `metadata.uid`: a lease deleted and made again is another object.
    pub uid: String,
    /// `metadata.resourceVersion`, opaque.
    pub resource_version: String,
}

/// The part of a Lease that election reads and writes.
///
/// The two wall-clock times are for people and for telling one renewal from the next. No decision compares them with a clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseRecord {
    /// Who holds the lease; `None` (absent or empty on the wire) means it is free.
    pub holder: Option<String>,
    /// How long the holder asks others to wait after its last renewal; zero when the record does not say.
    pub duration: Duration,
    /// How often the holder changed since the object was made.
    pub transitions: i32,
    /// When the present holder acquired it, by the holder's wall clock.
    pub acquired: Option<Timestamp>,
    /// When the holder last renewed it, by the holder's wall clock.
    pub renewed: Option<Timestamp>,
}

impl LeaseRecord {
    /// Whether `identity` is written down as the holder.
    pub fn is_held_by(&self, identity: &str) -> bool {
        self.holder.as_deref() == Some(identity)
    }

    /// How long to wait without seeing a change before the record counts as abandoned.
    ///
    /// The holder's own duration counts, so replicas with different settings (a rolling update) agree; a record that
    /// does not say falls back to `own`. The bound keeps a mistyped number from locking everyone out for hours.
    pub fn patience(&self, own: Duration) -> Duration {
        if self.duration.is_zero() {
            own
        } else {
            self.duration.min(MAX_DURATION)
        }
    }

    /// Reads the record out of a Lease; absent fields read as free, zero and unknown.
    pub fn from_lease(lease: &Lease) -> Self {
        let Some(spec) = &lease.spec else {
            return Self::default();
        };
        let seconds = spec.lease_duration_seconds.unwrap_or(0);
        Self {
            holder: spec.holder_identity.clone().filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
            transitions: spec.lease_transitions.unwrap_or(0),
            acquired: spec.acquire_time.as_ref().map(|time| time.0),
            renewed: spec.renew_time.as_ref().map(|time| time.0),
        }
    }
}

/// A Lease as one answer of the API server showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The version that a following write has to name.
    pub version: Version,
    /// What that version says.
    pub record: LeaseRecord,
}

impl Observed {
    /// Reads a Lease as the API server returned it.
    pub fn from_lease(lease: &Lease) -> Self {
        Self {
            version: Version {
                uid: lease.metadata.uid.clone().unwrap_or_default(),
                resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
            },
            record: LeaseRecord::from_lease(lease),
        }
    }
}

/// A lease as this process has watched it: what it says, and since when it has said so.
///
/// This is the one place where the age of a record is judged, and only on this process's monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The newest version seen.
    pub observed: Observed,
    /// When an answer first showed this record (the moment the answer was received, not the moment it was asked for).
    pub since: Instant,
}

impl Sighting {
    /// The sighting after an answer received at `now` showed `observed`.
    pub fn next(previous: Option<&Self>, observed: Observed, now: Instant) -> Self {
        let unchanged = previous.filter(|seen| {
            // Labels and annotations changed by others give a new version, but they are no sign of life of the holder.
            seen.observed.version.uid == observed.version.uid && seen.observed.record == observed.record
        });
        Self {
            since: unchanged.map_or(now, |seen| seen.since),
            observed,
        }
    }

    /// From when on the holder counts as gone if nothing changes.
    pub fn expiry(&self, own_duration: Duration) -> Instant {
        self.since + self.observed.record.patience(own_duration)
    }
}

/// What a write puts into the Lease, before it is stamped with wall-clock times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The new holder; `None` gives the lease back.
    pub holder: Option<String>,
    /// Written as `leaseDurationSeconds`, rounded up to whole seconds.
    pub duration: Duration,
    /// Written as `leaseTransitions`.
    pub transitions: i32,
    /// Whether the holder changes with this write, so `acquireTime` starts anew.
    pub new_term: bool,
}

impl Claim {
    /// The spec to store in place of `previous`.
    ///
    /// `renewTime` always moves past the stored one, even when the wall clock stands still or was set back: the API server drops
    /// an update that changes nothing, and then nobody would see the renewal. Fields of the spec that election does not know stay.
    pub fn stamp(&self, previous: Option<&LeaseSpec>, wall: Timestamp) -> LeaseSpec {
        let mut spec = previous.cloned().unwrap_or_default();
        let stored = spec.renew_time.as_ref().map(|time| time.0);
        let renewed = match stored {
            Some(stored) if stored >= wall => stored
                .saturating_add(jiff::SignedDuration::from_micros(1))
                .unwrap_or(wall),
            _ => wall,
        };
        if self.new_term || spec.acquire_time.is_none() {
            spec.acquire_time = Some(MicroTime(renewed));
        }
        spec.renew_time = Some(MicroTime(renewed));
        spec.holder_identity = Some(self.holder.clone().unwrap_or_default());
        spec.lease_duration_seconds = Some(whole_seconds(self.duration));
        spec.lease_transitions = Some(self.transitions);
        spec
    }
}

fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds.max(1)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            holder: Some("a".into()),
            duration: Duration::from_millis(2500),
            transitions: 3,
            new_term: false,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_claim_reads_back_as_written_with_whole_seconds_rounded_up() {
        let lease = Lease {
            spec: Some(claim().stamp(None, at(50))),
            ..Lease::default()
        };
        let record = LeaseRecord::from_lease(&lease);
        assert_eq!(
            record,
            LeaseRecord {
                holder: Some("a".into()),
                duration: Duration::from_secs(3),
                transitions: 3,
                acquired: Some(at(50)),
                renewed: Some(at(50)),
            }
        );
    }

    #[test]
    fn a_renewal_changes_the_record_even_when_the_wall_clock_goes_back() {
        let first = claim().stamp(None, at(50));
        let second = claim().stamp(Some(&first), at(20));
        let renewed = second.renew_time.map(|time| time.0).unwrap();
        assert!(renewed > at(50) && renewed < at(51), "{renewed}");
        assert_eq!(
            second.acquire_time, first.acquire_time,
            "the same term keeps its start"
        );
    }

    #[test]
    fn unknown_fields_survive_a_write() {
        let previous = LeaseSpec {
            preferred_holder: Some("b".into()),
            ..LeaseSpec::default()
        };
        assert_eq!(
            claim().stamp(Some(&previous), at(1)).preferred_holder.as_deref(),
            Some("b")
        );
    }

    #[test]
    fn an_empty_holder_is_free_and_negative_durations_are_unknown() {
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(-5),
            ..LeaseSpec::default()
        };
        let record = LeaseRecord::from_lease(&Lease {
            spec: Some(spec),
            ..Lease::default()
        });
        assert_eq!(record.holder, None);
        assert_eq!(record.patience(Duration::from_secs(15)), Duration::from_secs(15));
    }

    #[test]
    fn patience_follows_the_holder_within_the_bound() {
        let record = |seconds| LeaseRecord {
            duration: Duration::from_secs(seconds),
            ..LeaseRecord::default()
        };
        assert_eq!(
            record(40).patience(Duration::from_secs(15)),
            Duration::from_secs(40)
        );
        assert_eq!(record(86_400).patience(Duration::from_secs(15)), MAX_DURATION);
    }
}
