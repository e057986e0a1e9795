//! Command-line flags for leases, the same in every controller.

use std::time::Duration;

use clap::{ArgAction, Args};

use crate::{
    config::{ConfigError, LeaseConfig, Timing},
    shards::ShardConfig,
};

/// Flags of a controller that elects a leader or shares shards.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaseArgs {
    /// Compete for a lease before working; `--leader-elect=false` is for a single replica
    #[arg(long, env = "GAMEKEEPER_LEADER_ELECT", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: bool,

    /// Name of the Lease, or the beginning of its shards' names [default: the controller's name]
    #[arg(long, env = "GAMEKEEPER_LEASE_NAME")]
    pub lease_name: Option<String>,

    /// Namespace of the Lease [default: the namespace of the Pod, or of the kubeconfig's context]
    #[arg(long, env = "GAMEKEEPER_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Who this replica is, unique among running replicas [default: POD_UID, or host name and a random number]
    #[arg(long, env = "GAMEKEEPER_LEASE_IDENTITY")]
    pub lease_identity: Option<String>,

    /// How long other replicas wait without a sign of life before they take over
    #[arg(long, env = "GAMEKEEPER_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,

    /// How long after its last successful renewal a replica goes on; shorter than the lease duration
    #[arg(long, env = "GAMEKEEPER_RENEW_DEADLINE", default_value = "10s", value_parser = duration)]
    pub renew_deadline: Duration,

    /// Longest pause between two attempts; shorter than the renew deadline
    #[arg(long, env = "GAMEKEEPER_RETRY_PERIOD", default_value = "2s", value_parser = duration)]
    pub retry_period: Duration,
}

impl LeaseArgs {
    /// The lease these flags describe, checked. `controller` is the default name, `client_namespace` the default namespace
    /// (`kube::Client::default_namespace`).
    pub fn lease(&self, controller: &str, client_namespace: &str) -> Result<LeaseConfig, ConfigError> {
        let config = LeaseConfig {
            elect: self.leader_elect,
            name: self.name(controller),
            namespace: self.namespace(client_namespace),
            identity: self.identity(),
            timing: self.timing(),
            labels: std::collections::BTreeMap::default(),
        };
        config.validate().map(|()| config)
    }

    /// The group of `shards` shards these flags describe, checked.
    pub fn shards(
        &self,
        controller: &str,
        client_namespace: &str,
        shards: u32,
    ) -> Result<ShardConfig, ConfigError> {
        let config = ShardConfig {
            elect: self.leader_elect,
            prefix: self.name(controller),
            namespace: self.namespace(client_namespace),
            identity: self.identity(),
            shards,
            timing: self.timing(),
        };
        config.validate().map(|()| config)
    }

    fn name(&self, controller: &str) -> String {
        self.lease_name.clone().unwrap_or_else(|| controller.to_owned())
    }

    fn namespace(&self, client_namespace: &str) -> String {
        self.lease_namespace
            .clone()
            .unwrap_or_else(|| client_namespace.to_owned())
    }

    fn identity(&self) -> String {
        let pod_uid = || std::env::var("POD_UID").ok().filter(|uid| !uid.is_empty());
        self.lease_identity.clone().or_else(pod_uid).unwrap_or_else(|| {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = host.trim();
            format!(
                "{}-{:016x}",
                if host.is_empty() { "host" } else { host },
                rand::random::<u64>()
            )
        })
    }

    fn timing(&self) -> Timing {
        Timing {
            duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry: self.retry_period,
        }
    }
}

/// Reads `15s`, `1500ms`, `1m30s`; a bare number has no unit and is refused.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| format!("`{text}` is negative"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        lease: LeaseArgs,
    }

    fn parse(flags: &[&str]) -> Result<LeaseArgs, clap::Error> {
        Cli::try_parse_from([&["controller"], flags].concat()).map(|cli| cli.lease)
    }

    #[test]
    fn the_defaults_elect_with_fifteen_ten_and_two_seconds() {
        let config = parse(&[]).unwrap().lease("gs-controller", "games").unwrap();
        assert_eq!(
            (config.name.as_str(), config.namespace.as_str()),
            ("gs-controller", "games")
        );
        assert!(config.elect && !config.identity.is_empty());
        assert_eq!(config.timing, Timing::default());
    }

    #[test]
    fn election_is_switched_by_value_or_by_name_alone() {
        assert!(!parse(&["--leader-elect=false"]).unwrap().leader_elect);
        assert!(parse(&["--leader-elect"]).unwrap().leader_elect);
        assert!(parse(&["--leader-elect=true"]).unwrap().leader_elect);
        assert!(parse(&["--leader-elect=perhaps"]).is_err());
    }

    #[test]
    fn durations_need_a_unit() {
        let args = parse(&[
            "--lease-duration=1m30s",
            "--renew-deadline=1500ms",
            "--retry-period=500ms",
        ])
        .unwrap();
        assert_eq!(args.lease_duration, Duration::from_secs(90));
        assert_eq!(args.renew_deadline, Duration::from_millis(1500));
        assert_eq!(args.retry_period, Duration::from_millis(500));
        for bad in ["15", "-3s", "soon", ""] {
            assert!(parse(&[&format!("--lease-duration={bad}")]).is_err(), "{bad}");
        }
    }

    #[test]
    fn impossible_times_are_refused_when_the_lease_is_made() {
        let args = parse(&["--renew-deadline=20s"]).unwrap();
        assert!(matches!(
            args.lease("x", "y"),
            Err(ConfigError::RenewDeadlineTooLong { .. })
        ));
        assert!(matches!(
            args.shards("x", "y", 4),
            Err(ConfigError::RenewDeadlineTooLong { .. })
        ));
    }

    #[test]
    fn the_number_of_shards_is_bounded() {
        let args = parse(&[]).unwrap();
        assert!(args.shards("x", "y", 1).is_ok());
        assert_eq!(args.shards("x", "y", 0), Err(ConfigError::ShardsOutOfBounds(0)));
        assert_eq!(
            args.shards("x", "y", 257),
            Err(ConfigError::ShardsOutOfBounds(257))
        );
    }

    #[test]
    fn two_processes_on_one_host_have_different_identities() {
        let args = parse(&[]).unwrap();
        assert_ne!(args.identity(), args.identity());
    }
}
