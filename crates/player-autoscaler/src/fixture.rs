//! Sets for tests, read from JSON the way the watch reads them.

use serde_json::{Value, json};

use crate::views::SetView;

/// A GameServerSet in the making.
#[derive(Clone, Debug)]
pub(crate) struct Set(pub(crate) Value);

/// A set at rest: from 2 to 10 servers of 10 players, out above 80 %, in below 60 %.
pub(crate) fn set(replicas: i32) -> Set {
    Set(json!({
        "metadata": {"name": "arena", "namespace": "games", "uid": "set-uid", "resourceVersion": "7", "generation": 3},
        "spec": {
            "replicas": replicas,
            "players": {"capacity": 10},
            "playerAutoscaling": {"enabled": true, "minReplicas": 2, "maxReplicas": 10,
                "scaleOutThreshold": 80, "scaleInThreshold": 60},
        },
        "status": {"observedGeneration": 3, "availableReplicas": replicas},
    }))
}

impl Set {
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.0);
        self
    }

    pub(crate) fn view(&self) -> SetView {
        serde_json::from_str(&self.0.to_string()).unwrap()
    }
}
