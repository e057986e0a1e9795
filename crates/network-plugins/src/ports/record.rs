//! The record of one load balancer's ports: a ConfigMap, an entry for each port (pure).

use std::collections::BTreeMap;

use api_types::keys::{annotation, label};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::pool::{Entry, Pool, Slot};
use crate::params::Protocol;

/// A record as it was last read or written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Record {
    /// UID and version of the ConfigMap; `None` while there is none.
    pub version: Option<(String, String)>,
    /// Who has which port.
    pub pool: Pool,
}

/// What is to be changed in a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Changes(pub BTreeMap<Slot, Option<Entry>>);

/// A ConfigMap as it is read.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordObject {
    /// Its metadata.
    pub metadata: api_types::Meta,
    /// Its entries.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}

impl RecordObject {
    /// Id of the load balancer it is about.
    pub(super) fn id(&self) -> Option<&str> {
        self.metadata.annotation(annotation::LOAD_BALANCER_ID)
    }

    /// The record; an entry that cannot be read is left out, and its port taken by nobody we know.
    pub(super) fn record(&self) -> Record {
        let entries = self.data.iter().filter_map(|(key, value)| {
            let entry = serde_json::from_str(value).ok()?;
            Some((slot(key)?, entry))
        });
        Record {
            version: Some((self.metadata.uid.clone(), self.metadata.resource_version.clone())),
            pool: entries.collect(),
        }
    }
}

/// Name of the record of this load balancer. Ids may have any characters, and be longer than a name.
pub(super) fn record_name(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    let hash = digest
        .iter()
        .take(8)
        .fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
    format!("gamekeeper-ports-{hash:016x}")
}

/// The ConfigMap to create.
pub(super) fn create(id: &str, namespace: &str, changes: &Changes) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": record_name(id),
            "namespace": namespace,
            "labels": { label::NETWORK_PORTS: "true" },
            "annotations": { annotation::LOAD_BALANCER_ID: id },
        },
        "data": data(changes),
    })
}

/// The merge patch.
pub(super) fn patch(changes: &Changes) -> Value {
    json!({ "data": data(changes) })
}

fn data(changes: &Changes) -> Map<String, Value> {
    let text = |entry: &Entry| serde_json::to_string(entry).unwrap_or_default();
    changes
        .0
        .iter()
        .map(|((protocol, port), entry)| {
            let value = entry.as_ref().map_or(Value::Null, |entry| json!(text(entry)));
            (format!("{}-{port}", protocol.as_str()), value)
        })
        .collect()
}

fn slot(key: &str) -> Option<Slot> {
    let (protocol, port) = key.split_once('-')?;
    Some((Protocol::of(Some(protocol))?, port.parse().ok()?))
}

impl Record {
    /// The record after `changes`.
    pub(super) fn apply(&mut self, changes: &Changes) {
        for (slot, entry) in &changes.0 {
            match entry {
                Some(entry) => self.pool.insert(*slot, entry.clone()),
                None => self.pool.remove(slot),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let entry = |server: &str| Entry {
            namespace: "games".into(),
            server: server.into(),
            service: "u1".into(),
            target: 7777,
        };
        let changes = Changes(BTreeMap::from([
            ((Protocol::Tcp, 500), Some(entry("arena-0"))),
            ((Protocol::Udp, 500), Some(entry("arena-1"))),
        ]));
        let mut object = create("lb/with:any characters", "system", &changes);
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["resourceVersion"] = json!("7");
        object["data"]["SCTP-x"] = json!("{}");
        object["data"]["TCP-501"] = json!("not ours");
        let read: RecordObject = serde_json::from_value(object).unwrap();
        assert_eq!(read.id(), Some("lb/with:any characters"));
        let mut record = read.record();
        let mut wanted = Record {
            version: Some(("u".into(), "7".into())),
            pool: Pool::new(),
        };
        wanted.apply(&changes);
        assert_eq!(record, wanted);
        let gone = Changes(BTreeMap::from([((Protocol::Tcp, 500), None)]));
        assert_eq!(patch(&gone), json!({"data": {"TCP-500": null}}));
        record.apply(&gone);
        assert_eq!(record.pool.len(), 1);
    }

    #[test]
    fn a_name_is_a_name_and_stays_what_it_was() {
        assert_eq!(record_name("lb-1"), record_name("lb-1"));
        assert_ne!(record_name("lb-1"), record_name("lb-2"));
        assert_eq!(record_name("").len(), "gamekeeper-ports-".len() + 16);
    }
}
