//! What `kubectl get` prints: the API server's own table.

use anyhow::{Context as _, Result};
use api_types::keys;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;

use crate::World;

/// A table as the API server renders it.
#[derive(Debug, Deserialize)]
pub struct Table {
    #[serde(rename = "columnDefinitions")]
    columns: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize)]
struct Row {
    cells: Vec<Value>,
}

impl World {
    /// The table of the resource with this plural name, the rows of one set only where `set` is given.
    ///
    /// # Errors
    /// When the API server can't be reached.
    pub async fn table(&self, plural: &str, set: Option<&str>) -> Result<Table> {
        let url = format!(
            "/apis/{}/namespaces/{}/{plural}",
            keys::API_VERSION,
            self.namespace
        );
        let mut params = ListParams::default();
        if let Some(set) = set {
            params = params.labels(&format!("{}={set}", keys::label::OWNER_GSS));
        }
        let mut request = Request::new(url).list(&params)?;
        request
            .headers_mut()
            .insert("accept", "application/json;as=Table;v=v1;g=meta.k8s.io".parse()?);
        self.client.request(request).await.context("no table")
    }
}

impl Table {
    /// Names of the columns that are shown without `-o wide`.
    pub fn columns(&self) -> Vec<&str> {
        self.columns
            .iter()
            .filter(|column| column.priority == 0)
            .map(|column| column.name.as_str())
            .collect()
    }

    /// The cells of the row whose first cell is `name`, as text: those that are shown without `-o wide`, but for the age.
    pub fn row(&self, name: &str) -> Option<Vec<String>> {
        let row = self
            .rows
            .iter()
            .find(|row| row.cells.first().is_some_and(|cell| cell == name))?;
        let text = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
        let shown = self.columns.iter().zip(&row.cells);
        Some(
            shown
                .filter(|(column, _)| column.priority == 0 && column.name != "AGE")
                .map(|(_, cell)| text(cell))
                .collect(),
        )
    }
}
