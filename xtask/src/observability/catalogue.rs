//! Every metric there is, and which controllers export it.

use metric_table::{Kind, Label, Metric};

/// Label that every series has.
pub const CONTROLLER: &str = controller_kit::telemetry::CONTROLLER;

/// The metrics of one crate.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// The crate.
    pub name: &'static str,
    /// What the metrics are about.
    pub about: &'static str,
    /// Controllers that export them.
    pub controllers: &'static [&'static str],
    /// The table.
    pub metrics: &'static [Metric],
}

/// Values of the label `controller`.
pub const CONTROLLERS: [&str; 9] = [
    "gss-controller",
    "gs-controller",
    "pod-sync",
    "node-watcher",
    "network-plugins",
    "quality-prober",
    "player-autoscaler",
    "external-scaler",
    "game-api",
];
/// Those that elect a leader or share shards.
const ELECTING: &[&str] = {
    let (electing, _) = CONTROLLERS.split_at(7);
    electing
};

/// All of them.
pub const SECTIONS: [Section; 12] = [
    Section {
        name: "process",
        about: "The process itself, as the kernel counts it.",
        controllers: &CONTROLLERS,
        metrics: controller_kit::PROCESS_METRICS,
    },
    Section {
        name: "controller-kit",
        about: "Requests, queues, watches and events.",
        controllers: &CONTROLLERS,
        metrics: controller_kit::METRICS,
    },
    Section {
        name: "leader-election",
        about: "Leaders and shards. quality-prober elects a leader for its actions and its central mode; its node mode does not.",
        controllers: ELECTING,
        metrics: leader_election::METRICS,
    },
    Section {
        name: "gss-controller",
        about: "Sets: Pods, claims, updates, hooks, failures.",
        controllers: &["gss-controller"],
        metrics: gss_controller::METRICS,
    },
    Section {
        name: "gs-controller",
        about: "GameServers.",
        controllers: &["gs-controller"],
        metrics: gs_controller::METRICS,
    },
    Section {
        name: "pod-sync",
        about: "The way from GameServer.spec to the Pod.",
        controllers: &["pod-sync"],
        metrics: pod_sync::METRICS,
    },
    Section {
        name: "node-watcher",
        about: "Nodes and what they mean for servers.",
        controllers: &["node-watcher"],
        metrics: node_watcher::METRICS,
    },
    Section {
        name: "network-plugins",
        about: "Networks of servers.",
        controllers: &["network-plugins"],
        metrics: network_plugins::METRICS,
    },
    Section {
        name: "quality-prober",
        about: "Probes and what is done about their results.",
        controllers: &["quality-prober"],
        metrics: quality_prober::METRICS,
    },
    Section {
        name: "player-autoscaler",
        about: "Sets that follow their players.",
        controllers: &["player-autoscaler"],
        metrics: player_autoscaler::METRICS,
    },
    Section {
        name: "external-scaler",
        about: "Answers to KEDA.",
        controllers: &["external-scaler"],
        metrics: external_scaler::METRICS,
    },
    Section {
        name: "game-api",
        about: "Reports of game servers.",
        controllers: &["game-api"],
        metrics: game_api::METRICS,
    },
];

/// A series' metric, and where it is declared.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Its section.
    pub section: &'static Section,
    /// The metric.
    pub metric: &'static Metric,
    /// What a histogram's series has after the metric's name, else empty.
    pub suffix: &'static str,
}

/// The metric that a series of this name belongs to. A histogram has none of its own name.
pub fn find(series: &str) -> Option<Found> {
    let all = SECTIONS
        .iter()
        .flat_map(|section| section.metrics.iter().map(move |metric| (section, metric)));
    for (section, metric) in all {
        let suffixes: &[&'static str] = match metric.kind {
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Counter | Kind::Gauge => &[""],
        };
        let Some(rest) = series.strip_prefix(metric.name) else {
            continue;
        };
        if let Some(suffix) = suffixes.iter().find(|suffix| **suffix == rest) {
            return Some(Found {
                section,
                metric,
                suffix,
            });
        }
    }
    None
}

impl Found {
    /// The label of this name, if the metric has it.
    pub fn label(&self, name: &str) -> Option<&'static Label> {
        self.metric.labels.iter().find(|label| label.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_is_one_metric() {
        let all: Vec<&str> = SECTIONS
            .iter()
            .flat_map(|section| section.metrics)
            .map(|metric| metric.name)
            .collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for name in all {
            let (first, _) = name.split_once('_').unwrap();
            assert!(["gamekeeper", "process"].contains(&first), "{name}");
        }
    }

    #[test]
    fn counters_end_in_total_and_nothing_else_does() {
        for metric in SECTIONS.iter().flat_map(|section| section.metrics) {
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{}",
                metric.name
            );
            // Only these have the buckets that make a histogram of it.
            assert!(
                metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn series_of_histograms_are_found_by_their_suffix() {
        let found = find("gamekeeper_queue_wait_seconds_bucket").unwrap();
        assert_eq!(
            (found.metric.name, found.suffix),
            ("gamekeeper_queue_wait_seconds", "_bucket")
        );
        assert!(find("gamekeeper_queue_wait_seconds").is_none());
        assert!(find("gamekeeper_queue_depth_sum").is_none());
        assert_eq!(find("gamekeeper_leader").unwrap().section.name, "leader-election");
    }
}
