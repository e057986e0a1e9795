//! Reads a controller's `/metrics`, for figures that come from the controller itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One reading of a controller's metrics: series (name with labels) to value.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    series: BTreeMap<String, f64>,
}

/// What a controller costs now.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// CPU used since start, seconds.
    pub cpu_seconds: f64,
}

impl Scrape {
    /// Fetches `http://127.0.0.1:PORT/metrics`.
    ///
    /// # Errors
    /// When nothing answers within 5 s.
    pub async fn fetch(port: u16) -> Result<Self> {
        Ok(Self::parse(&http_get(port, "/metrics").await?.1))
    }

    fn parse(text: &str) -> Self {
        let series = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        Self { series }
    }

    /// The sum of all series of metric `name` whose label text satisfies `keep`.
    pub fn sum(&self, name: &str, keep: impl Fn(&str) -> bool) -> f64 {
        self.series
            .iter()
            .filter(|(series, _)| series.split('{').next() == Some(name))
            .filter(|(series, _)| keep(series.split_once('{').map_or("", |(_, labels)| labels)))
            .map(|(_, value)| value)
            .sum()
    }

    /// The value below which a share of what histogram `name`, all its labels together, has counted since `before` lies, evenly
    /// spread within its bucket; 0 where it has counted nothing.
    pub fn quantile_since(&self, before: &Self, name: &str, share: f64) -> f64 {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (series, count) in &self.series {
            let Some(labels) = series.strip_prefix(&bucket) else {
                continue;
            };
            let bound = labels
                .split("le=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next()?.parse().ok());
            let earlier = before.series.get(series).copied().unwrap_or_default();
            buckets.extend(bound.map(|bound| (bound, count - earlier)));
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets.dedup_by(|next, kept| {
            let same = next.0.total_cmp(&kept.0).is_eq();
            if same {
                kept.1 += next.1;
            }
            same
        });
        let all = buckets.last().map_or(0.0, |(_, all)| *all);
        if all <= 0.0 {
            return 0.0;
        }
        let wanted = share * all;
        let (mut below, mut counted) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted && count > counted && bound.is_finite() {
                return below + (bound - below) * (wanted - counted) / (count - counted);
            }
            if bound.is_finite() {
                (below, counted) = (bound, count);
            }
        }
        below
    }

    /// Requests that change objects, without Lease renewals (they belong to the process, not to any game server).
    pub fn writes(&self) -> f64 {
        self.sum("gamekeeper_api_requests_total", |labels| {
            let read = ["get", "list", "watch"]
                .iter()
                .any(|v| labels.contains(&format!("verb=\"{v}\"")));
            !read && !labels.contains("resource=\"leases\"")
        })
    }

    /// Requests of every kind, watches and Leases included.
    pub fn requests(&self) -> f64 {
        self.sum("gamekeeper_api_requests_total", |_| true)
    }

    /// Write counts by `verb resource/subresource`, for tables that explain a total.
    pub fn writes_by_kind(&self) -> BTreeMap<String, f64> {
        self.writes_by(|kind, _| Some(kind))
    }

    /// The same of those that came to nothing, by `verb resource/subresource: outcome`.
    pub fn failed_writes(&self) -> BTreeMap<String, f64> {
        self.writes_by(|kind, outcome| {
            let failed = !["ok", "already_exists"].contains(&outcome);
            failed.then(|| format!("{kind}: {outcome}"))
        })
    }

    /// Write counts by the name that `name` makes of kind and outcome; those without one are left out.
    fn writes_by(&self, name: impl Fn(String, &str) -> Option<String>) -> BTreeMap<String, f64> {
        let mut kinds = BTreeMap::new();
        for (series, value) in &self.series {
            let Some(labels) = series.strip_prefix("gamekeeper_api_requests_total{") else {
                continue;
            };
            let label = |key: &str| {
                let start = labels.find(&format!("{key}=\""))? + key.len() + 2;
                labels[start..].split('"').next().map(str::to_owned)
            };
            let verb = label("verb").unwrap_or_default();
            if ["get", "list", "watch"].contains(&verb.as_str()) || labels.contains("resource=\"leases\"") {
                continue;
            }
            let sub = label("subresource")
                .filter(|s| !s.is_empty())
                .map(|s| format!("/{s}"));
            let kind = format!(
                "{verb} {}{}",
                label("resource").unwrap_or_default(),
                sub.unwrap_or_default()
            );
            if let Some(name) = name(kind, &label("outcome").unwrap_or_default()) {
                *kinds.entry(name).or_insert(0.0) += value;
            }
        }
        kinds
    }

    /// Memory and CPU as the process reports them.
    pub fn usage(&self) -> Usage {
        Usage {
            rss_bytes: self.sum("process_resident_memory_bytes", |_| true) as u64,
            cpu_seconds: self.sum("process_cpu_seconds_total", |_| true),
        }
    }
}

/// A plain GET to 127.0.0.1: status code and body.
///
/// # Errors
/// When nothing answers within 5 s or the answer isn't HTTP.
pub(crate) async fn http_get(port: u16, path: &str) -> Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange)
        .await
        .context("no answer in 5 s")??;
    let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|c| c.parse().ok())
        .context("no status code")?;
    Ok((code, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::Scrape;

    const TEXT: &str = "# TYPE gamekeeper_api_requests_total counter\n\
        gamekeeper_api_requests_total{verb=\"patch\",resource=\"pods\",subresource=\"\",outcome=\"ok\"} 7\n\
        gamekeeper_api_requests_total{verb=\"patch\",resource=\"gameservers\",subresource=\"status\",outcome=\"ok\"} 2\n\
        gamekeeper_api_requests_total{verb=\"watch\",resource=\"pods\",subresource=\"\",outcome=\"ok\"} 3\n\
        gamekeeper_api_requests_total{verb=\"update\",resource=\"leases\",subresource=\"\",outcome=\"ok\"} 11\n\
        process_resident_memory_bytes 1048576\n";

    #[test]
    fn a_quantile_is_of_what_came_since() {
        let at = |low: u32, high: u32| {
            Scrape::parse(&format!(
                "x_bucket{{le=\"0.1\"}} {low}\nx_bucket{{le=\"0.2\"}} {high}\nx_bucket{{le=\"+Inf\"}} {high}"
            ))
        };
        let (before, after) = (at(100, 100), at(150, 200));
        assert!((after.quantile_since(&before, "x", 0.5) - 0.1).abs() < 1e-9);
        assert!((after.quantile_since(&before, "x", 0.75) - 0.15).abs() < 1e-9);
        assert!(before.quantile_since(&before, "x", 0.99).abs() < 1e-9);
        let labelled = Scrape::parse(
            "x_bucket{kind=\"a\",le=\"0.1\"} 2\nx_bucket{kind=\"a\",le=\"+Inf\"} 2\n\
             x_bucket{kind=\"b\",le=\"0.1\"} 2\nx_bucket{kind=\"b\",le=\"+Inf\"} 2",
        );
        assert!((labelled.quantile_since(&Scrape::default(), "x", 0.5) - 0.05).abs() < 1e-9);
    }

    #[test]
    fn writes_leave_out_reads_and_leases() {
        let scrape = Scrape::parse(TEXT);
        assert!((scrape.writes() - 9.0).abs() < f64::EPSILON);
        assert!((scrape.requests() - 23.0).abs() < f64::EPSILON);
        let kinds = scrape.writes_by_kind();
        assert_eq!(
            kinds.keys().collect::<Vec<_>>(),
            ["patch gameservers/status", "patch pods"]
        );
        assert_eq!(scrape.usage().rss_bytes, 1_048_576);
    }
}
