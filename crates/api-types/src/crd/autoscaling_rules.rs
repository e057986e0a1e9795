//! Bounds and rules of scaling by players.

use super::rule::{Node, at};

const PATH: &str = "spec.playerAutoscaling";
const MOST_REPLICAS: i64 = 10_000;

pub(super) fn nodes() -> Vec<Node> {
    let field = |name: &str| at(&format!("{PATH}.{name}"));
    vec![
        at("spec").rule(
            "!has(self.playerAutoscaling) || !has(self.playerAutoscaling.enabled) || !self.playerAutoscaling.enabled || \
             (has(self.players) && has(self.players.capacity))",
            "playerAutoscaling that is enabled needs players.capacity, the players that one server takes",
        ),
        at(PATH)
            .rule(
                "!has(self.enabled) || !self.enabled || \
                 (has(self.maxReplicas) && has(self.scaleOutThreshold) && has(self.scaleInThreshold))",
                "playerAutoscaling that is enabled needs maxReplicas, scaleOutThreshold and scaleInThreshold, for example 10, 80 and 60",
            )
            .rule(
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas is at most maxReplicas",
            )
            .rule(
                "!has(self.scaleInThreshold) || !has(self.scaleOutThreshold) || self.scaleInThreshold < self.scaleOutThreshold",
                "scaleInThreshold is below scaleOutThreshold, for example 60 and 80: between the two nothing is scaled",
            ),
        field("minReplicas").range(1, MOST_REPLICAS),
        field("maxReplicas").range(1, MOST_REPLICAS),
        field("scaleOutThreshold").range(1, 100),
        field("scaleInThreshold").range(0, 99),
        field("step").range(1, 1000),
        field("cooldownSeconds").range(0, 86_400),
    ]
}
