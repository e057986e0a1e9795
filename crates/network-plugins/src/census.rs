//! How the servers' networks are, in a few numbers (pure).

use jiff::Timestamp;

use crate::{
    problem::Reason,
    views::{GameServerView, PodView},
};

/// The numbers. They have a place for every value the label takes, so that a gauge falls back to 0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    servers: [u32; Self::STATES.len()],
    oldest: i64,
}

impl Census {
    /// States of a server's network. It is not ready for a good reason in two of them, and not known in the last.
    pub(crate) const STATES: [&str; 6] = ["Ready", "NotReady", "Waiting", "Disabled", "Draining", "None"];

    /// Counts a server that has a Pod with a network.
    pub(crate) fn server(&mut self, pod: &PodView, game_server: Option<&GameServerView>) {
        let told = game_server.filter(|found| {
            found.metadata.is_record_of(&pod.metadata) && found.network.current_network_state.is_some()
        });
        let state = told.map_or("None", state);
        if let Some(place) = Self::STATES.iter().position(|known| *known == state) {
            self.servers[place] += 1;
        }
        if !matches!(state, "NotReady" | "Waiting") {
            return;
        }
        let since = told.and_then(|found| found.network.last_transition_time.as_deref());
        let since = since.and_then(|time| time.parse::<Timestamp>().ok());
        let since = since.map_or(0, Timestamp::as_second);
        if since > 0 && (self.oldest == 0 || since < self.oldest) {
            self.oldest = since;
        }
    }

    /// Servers in each state.
    pub(crate) fn states(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Self::STATES.into_iter().zip(self.servers)
    }

    /// Since when the network that has been NotReady or Waiting longest has been so, in seconds since 1970; 0 for none.
    pub(crate) fn oldest(&self) -> i64 {
        self.oldest
    }
}

fn state(told: &GameServerView) -> &str {
    let reason = told.condition.as_ref().and_then(|found| found.reason.as_deref());
    if reason == Some(Reason::Disabled.as_str()) {
        return "Disabled";
    }
    if reason == Some(Reason::Draining.as_str()) {
        return "Draining";
    }
    told.network.current_network_state.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{game_server, pod, view};

    #[test]
    fn networks_count_by_state_and_the_oldest_that_should_be_ready_is_told() {
        let pod = view(&pod("Kubernetes-NodePort", &[]));
        let told = |state: &str, reason: &str, time: &str| {
            game_server(json!({
                "networkStatus": {"currentNetworkState": state, "desiredNetworkState": "Ready", "lastTransitionTime": time},
                "conditions": [{"type": "NetworkReady", "status": "False", "reason": reason}],
            }))
        };
        let mut census = Census::default();
        census.server(&pod, Some(&told("Ready", "Ready", "1970-01-01T00:00:01Z")));
        census.server(&pod, Some(&told("NotReady", "Draining", "1970-01-01T00:00:02Z")));
        census.server(
            &pod,
            Some(&told("NotReady", "NetworkDisabled", "1970-01-01T00:00:03Z")),
        );
        census.server(
            &pod,
            Some(&told("Waiting", "WaitingForNode", "1970-01-01T00:03:20Z")),
        );
        census.server(
            &pod,
            Some(&told("NotReady", "WaitingForAddress", "1970-01-01T00:01:40Z")),
        );
        census.server(&pod, Some(&game_server(json!({}))));
        census.server(&pod, None);
        assert_eq!(census.servers, [1, 1, 1, 1, 1, 2]);
        assert_eq!(census.oldest(), 100);
    }
}
