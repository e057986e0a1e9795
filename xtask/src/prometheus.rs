//! A Prometheus for trials.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;

use crate::fleet::tethered;

/// Debian's package with Prometheus and promtool.
pub(crate) const PACKAGE: &str = "prometheus";

/// Prometheus itself, downloaded the first time.
pub(crate) async fn program() -> Result<PathBuf> {
    crate::debian::program(PACKAGE, "usr/bin/prometheus").await
}

/// A running Prometheus; killed when dropped, or when this program ends.
pub(crate) struct Prometheus {
    address: String,
    _child: Child,
}

impl Prometheus {
    /// Starts it with `config` at `address` (host and port), its files in `directory`.
    ///
    /// # Errors
    /// When it can't be had or started.
    pub(crate) async fn start(directory: &Path, address: String, config: &Value) -> Result<Self> {
        let program = program().await?;
        let file = directory.join("prometheus.yaml");
        std::fs::write(&file, serde_yaml::to_string(config)?)?;
        let log = std::fs::File::create(directory.join("prometheus.log"))?;
        let child = tethered(&program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("can't start Prometheus")?;
        Ok(Self {
            address,
            _child: child,
        })
    }

    /// The value of `query` now, which must give one series; `None` where it gives none.
    ///
    /// # Errors
    /// As [`Prometheus::get`].
    pub(crate) async fn value(&self, query: &str) -> Result<Option<f64>> {
        let answer = self
            .get(&format!("query?query={}", percent_encoded(query)))
            .await?;
        let value = answer["data"]["result"][0]["value"][1].as_str();
        Ok(value.map(str::parse).transpose()?)
    }

    /// The series of `query` from one time to another, in seconds since 1970, at steps of so many seconds.
    ///
    /// # Errors
    /// As [`Prometheus::get`], and when it isn't a query.
    pub(crate) async fn range(&self, query: &str, (from, to): (f64, f64), step: f64) -> Result<Vec<Series>> {
        let query = percent_encoded(query);
        let path = format!("query_range?query={query}&start={from}&end={to}&step={step}");
        let answer = self.get(&path).await?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{error}");
        }
        let found = answer["data"]["result"].as_array().into_iter().flatten();
        found.map(series).collect()
    }

    /// What it answers to a GET of `/api/v1/PATH`.
    ///
    /// # Errors
    /// When it doesn't answer within 5 s; so does one that has just started.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            // HTTP/1.0: the answer comes in one piece, whatever its length.
            let request = format!("GET /api/v1/{path} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = tokio::time::timeout(Duration::from_secs(5), exchange).await;
        let answer = answer.context("Prometheus doesn't answer within 5 s")??;
        let (_, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
        Ok(serde_json::from_str(body)?)
    }
}

/// Values of one series over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Time and value.
    pub(crate) values: Vec<(f64, f64)>,
}

fn series(found: &Value) -> Result<Series> {
    let samples = found["values"].as_array().into_iter().flatten();
    let values = samples.map(|sample| {
        let time = sample[0].as_f64().context("a sample without a time")?;
        let value = sample[1].as_str().context("a sample without a value")?;
        anyhow::Ok((time, value.parse()?))
    });
    Ok(Series {
        labels: serde_json::from_value(found["metric"].clone())?,
        values: values.collect::<Result<_>>()?,
    })
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{percent_encoded, series};

    #[test]
    fn a_query_survives_the_request_line() {
        assert_eq!(percent_encoded("a{b=\"c d\"}"), "a%7Bb%3D%22c%20d%22%7D");
    }

    #[test]
    fn a_series_is_read_with_values_that_are_no_numbers() {
        let found = json!({"metric": {"le": "1"}, "values": [[10, "2.5"], [12.5, "NaN"], [15, "+Inf"]]});
        let read = series(&found).unwrap();
        assert_eq!(read.labels["le"], "1");
        assert_eq!(read.values[0], (10.0, 2.5));
        assert!(read.values[1].1.is_nan() && read.values[2].1.is_infinite());
        assert!(series(&json!({"metric": {}, "values": [[1]]})).is_err());
    }
}
