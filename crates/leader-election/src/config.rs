//! Names and times of a lease, checked once at start.

use std::{collections::BTreeMap, time::Duration};

/// The longest lease duration accepted, from the command line and from a stored record.
pub const MAX_DURATION: Duration = Duration::from_mins(5);

/// The shortest lease duration accepted: the API stores whole seconds.
pub const MIN_DURATION: Duration = Duration::from_secs(1);

/// Why a configuration was refused. Each text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The holder would still write while another may already have taken the lease.
    #[error(
        "--renew-deadline ({renew_deadline:?}) must be shorter than --lease-duration ({duration:?}): a leader has to stop \
         before another may take over; try 10s and 15s"
    )]
    RenewDeadlineTooLong {
        /// The refused renew deadline.
        renew_deadline: Duration,
        /// The lease duration it was given with.
        duration: Duration,
    },
    /// A leader would give up before its first renewal.
    #[error(
        "--retry-period ({retry:?}) must be shorter than --renew-deadline ({renew_deadline:?}): a leader needs time for several \
         attempts; try 2s and 10s"
    )]
    RetryTooLong {
        /// The refused retry period.
        retry: Duration,
        /// The renew deadline it was given with.
        renew_deadline: Duration,
    },
    /// Renewals without a pause would load the API server.
    #[error("--retry-period ({0:?}) must be at least 50ms")]
    RetryTooShort(Duration),
    /// Outside what a Lease can store or what operators would survive.
    #[error("--lease-duration ({0:?}) must be between {MIN_DURATION:?} and {MAX_DURATION:?}")]
    DurationOutOfBounds(Duration),
    /// Not usable as a Kubernetes object name.
    #[error(
        "{what} `{value}` is not a valid name: lower-case letters, digits, '-' and '.', at most {max} characters"
    )]
    InvalidName {
        /// Which setting it is.
        what: &'static str,
        /// The refused text.
        value: String,
        /// The longest accepted length.
        max: usize,
    },
    /// There must be something to own, and few enough leases to list in one answer.
    #[error("--shards ({0}) must be between 1 and {max}", max = crate::shards::MAX_SHARDS)]
    ShardsOutOfBounds(u32),
}

/// The three times of a lease, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait without seeing a change before they take over.
    pub duration: Duration,
    /// How long after sending its last successful renewal a holder still counts itself as holder.
    pub renew_deadline: Duration,
    /// The longest pause between two attempts; the actual pause is 60–100 % of it, at random.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl Timing {
    /// Checks `retry < renew_deadline < duration` and the outer bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            duration,
            renew_deadline,
            retry,
        } = *self;
        if !(MIN_DURATION..=MAX_DURATION).contains(&duration) {
            return Err(ConfigError::DurationOutOfBounds(duration));
        }
        if renew_deadline >= duration {
            return Err(ConfigError::RenewDeadlineTooLong {
                renew_deadline,
                duration,
            });
        }
        if retry >= renew_deadline {
            return Err(ConfigError::RetryTooLong {
                retry,
                renew_deadline,
            });
        }
        if retry < Duration::from_millis(50) {
            return Err(ConfigError::RetryTooShort(retry));
        }
        Ok(())
    }

    /// The deadline of one request: a third of the renew deadline, so that a hung connection leaves time for two more attempts.
    pub fn request_deadline(&self) -> Duration {
        self.renew_deadline / 3
    }
}

/// One lease to compete for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// Whether to compete at all; `false` publishes leadership at once and never touches the API (`--leader-elect=false`).
    pub elect: bool,
    /// Name of the Lease object: one per controller group.
    pub name: String,
    /// Namespace of the Lease object.
    pub namespace: String,
    /// Who this process is. Must be unique among running processes; a restarted container may keep its Pod's UID,
    /// because the kubelet starts it only after the old one ended.
    pub identity: String,
    /// Durations.
    pub timing: Timing,
    /// Labels put on the Lease when this process writes it.
    pub labels: BTreeMap<String, String>,
}

impl LeaseConfig {
    /// A lease with the default durations and no labels.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            elect: true,
            name: name.into(),
            namespace: namespace.into(),
            identity: identity.into(),
            timing: Timing::default(),
            labels: BTreeMap::new(),
        }
    }

    /// Checks the names and the durations.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.timing.validate()?;
        check_name("--lease-name", &self.name, 253)?;
        check_name("--lease-namespace", &self.namespace, 63)?;
        if self.identity.is_empty() || self.identity.len() > 253 {
            return Err(ConfigError::InvalidName {
                what: "--lease-identity",
                value: self.identity.clone(),
                max: 253,
            });
        }
        Ok(())
    }
}

/// Accepts what the API server accepts as an object name (a DNS subdomain), at most `max` bytes long.
pub(crate) fn check_name(what: &'static str, value: &str, max: usize) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |part: &str| {
        part.bytes().all(|byte| plain(byte) || byte == b'-')
            && part.bytes().next().is_some_and(plain)
            && part.bytes().last().is_some_and(plain)
    };
    if value.len() <= max && value.split('.').all(label) {
        return Ok(());
    }
    Err(ConfigError::InvalidName {
        what,
        value: value.to_owned(),
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(duration: u64, renew_deadline: u64, retry: u64) -> Timing {
        Timing {
            duration: Duration::from_millis(duration),
            renew_deadline: Duration::from_millis(renew_deadline),
            retry: Duration::from_millis(retry),
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Timing::default().validate(), Ok(()));
    }

    #[test]
    fn a_renew_deadline_as_long_as_the_lease_is_refused_by_name() {
        let error = timing(15_000, 15_000, 2_000).validate().unwrap_err();
        assert!(matches!(error, ConfigError::RenewDeadlineTooLong { .. }));
        assert!(
            error
                .to_string()
                .contains("--renew-deadline (15s) must be shorter than --lease-duration (15s)"),
            "{error}"
        );
    }

    #[test]
    fn a_retry_as_long_as_the_renew_deadline_is_refused() {
        let error = timing(15_000, 10_000, 10_000).validate().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("--retry-period (10s) must be shorter than --renew-deadline (10s)"),
            "{error}"
        );
    }

    #[test]
    fn bounds_are_refused() {
        assert_eq!(
            timing(900, 600, 100).validate(),
            Err(ConfigError::DurationOutOfBounds(Duration::from_millis(900)))
        );
        assert_eq!(
            timing(301_000, 10_000, 100).validate(),
            Err(ConfigError::DurationOutOfBounds(Duration::from_secs(301)))
        );
        assert_eq!(
            timing(15_000, 10_000, 0).validate(),
            Err(ConfigError::RetryTooShort(Duration::ZERO))
        );
    }

    #[test]
    fn names_are_those_the_api_server_takes() {
        for good in ["a", "pod-sync", "pod-sync.0", "6f1c"] {
            assert_eq!(check_name("--lease-name", good, 63), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a..b", "a/b"] {
            assert!(check_name("--lease-name", bad, 63).is_err(), "{bad}");
        }
        assert!(check_name("--lease-name", "abcd", 3).is_err());
    }
}
