//! A watch on its way to a controller, event by event as they come, with faults between them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Action;
use super::gate::State;

/// How long [`Action::Merge`] waits for the event that swallows the first.
const MERGE_WAIT: Duration = Duration::from_secs(1);

/// Where the parts of a body go as they come; an error cuts the connection.
pub(super) type Frames = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;

/// The body whose parts come through `receiver`.
pub(super) fn body_of(
    mut receiver: mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>,
) -> UnsyncBoxBody<Bytes, std::io::Error> {
    StreamBody::new(futures::stream::poll_fn(move |context| {
        receiver.poll_recv(context)
    }))
    .boxed_unsync()
}

/// One open watch.
pub(super) struct Stream {
    state: Arc<State>,
    resource: String,
    out: Frames,
    held: Option<Held>,
}

/// Events kept back because the first may be swallowed.
struct Held {
    object: String,
    lines: Vec<Bytes>,
    until: Instant,
}

/// The watch is over.
struct Over;

impl Stream {
    /// Carries `upstream` over; gives the body the controller reads.
    pub(super) fn start<S, E>(
        state: Arc<State>,
        resource: String,
        upstream: S,
    ) -> UnsyncBoxBody<Bytes, std::io::Error>
    where
        S: futures::Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        E: Send + 'static,
    {
        let (out, receiver) = mpsc::channel(64);
        let stream = Self {
            state,
            resource,
            out,
            held: None,
        };
        tokio::spawn(stream.run(upstream));
        body_of(receiver)
    }

    async fn run<S, E>(mut self, mut upstream: S)
    where
        S: futures::Stream<Item = Result<Bytes, E>> + Send + Unpin,
    {
        let mut buffer = BytesMut::new();
        loop {
            let until = self.held.as_ref().map(|held| held.until);
            let chunk = tokio::select! {
                () = self.out.closed() => return,
                () = expiry(until) => {
                    if self.release().await.is_err() { return }
                    continue;
                }
                chunk = upstream.next() => chunk,
            };
            // What is held back goes before the end.
            let Some(Ok(chunk)) = chunk else {
                let _ = self.release().await;
                return;
            };
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end + 1).freeze();
                if self.line(line).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn line(&mut self, line: Bytes) -> Result<(), Over> {
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if !matches!(kind.as_str(), "ADDED" | "MODIFIED" | "DELETED") {
            return self.deliver(line).await;
        }
        let name = event
            .pointer("/object/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.state.passed(&self.resource, &event);
        let (_, fault) = self.state.arrived("watch", &self.resource, &name);
        match fault.map(|fault| fault.action) {
            Some(Action::Freeze(ms)) => {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
                self.deliver(line).await
            }
            Some(Action::CutStream) => Err(self.cut().await),
            Some(Action::Gone { in_stream, after }) => Err(self.gone(in_stream, after).await),
            // A deletion is not swallowed by what comes after it: that would be another object.
            Some(Action::Merge) if kind != "DELETED" && self.held.is_none() => {
                self.held = Some(Held {
                    object: name,
                    lines: vec![line],
                    until: Instant::now() + MERGE_WAIT,
                });
                Ok(())
            }
            _ if self.held.as_ref().is_some_and(|held| held.object == name) => self.merge(event, line).await,
            _ => self.deliver(line).await,
        }
    }

    /// The event that swallows the one held back is here.
    async fn merge(&mut self, mut later: Value, line: Bytes) -> Result<(), Over> {
        let Some(mut held) = self.held.take() else {
            return Ok(());
        };
        let first: Value = serde_json::from_slice(&held.lines.remove(0)).unwrap_or_default();
        match (first["type"].as_str(), later["type"].as_str()) {
            // Nothing of it was ever seen.
            (Some("ADDED"), Some("DELETED")) => {}
            (Some("ADDED"), _) => {
                later["type"] = json!("ADDED");
                held.lines.push(Bytes::from(later.to_string() + "\n"));
            }
            _ => held.lines.push(line),
        }
        for line in held.lines {
            self.send(line).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, line: Bytes) -> Result<(), Over> {
        match &mut self.held {
            Some(held) => {
                held.lines.push(line);
                Ok(())
            }
            None => self.send(line).await,
        }
    }

    async fn release(&mut self) -> Result<(), Over> {
        for line in self.held.take().map(|held| held.lines).unwrap_or_default() {
            self.send(line).await?;
        }
        Ok(())
    }

    async fn gone(&mut self, in_stream: bool, after: u32) -> Over {
        tokio::time::sleep(Duration::from_millis(after.into())).await;
        if in_stream {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "code": 410, "reason": "Expired", "message": "too old resource version"});
            let event = json!({"type": "ERROR", "object": status}).to_string() + "\n";
            let _ = self.send(Bytes::from(event)).await;
            return Over;
        }
        self.state.history_is_gone(&self.resource);
        self.cut().await
    }

    async fn cut(&mut self) -> Over {
        let _ = self.out.send(Err(std::io::Error::other("cut by a fault"))).await;
        Over
    }

    async fn send(&mut self, line: Bytes) -> Result<(), Over> {
        self.out.send(Ok(Frame::data(line))).await.map_err(|_| Over)
    }
}

async fn expiry(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
