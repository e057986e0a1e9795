//! What each method answers.

use std::time::Duration;

use controller_kit::key::ObjectKey;
use futures::stream::{self, Stream};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    metrics::{self, OpenStream},
    observe::{Known, Seen},
    plan::Wish,
    proto::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, HealthCheckRequest,
        HealthCheckResponse, IsActiveResponse, METRIC, MetricSpec, MetricValue, NOT_SERVING, SERVICE,
        SERVING, ScaledObjectRef,
    },
};

/// At least this long between two messages of a stream: each makes KEDA ask the API server.
const PAUSE: Duration = Duration::from_millis(200);
/// What KEDA has yet to act on is said again after this time, then after twice as long, and so on.
const REPEAT: Duration = Duration::from_secs(1);
/// The longest of these times.
const LONGEST_REPEAT: Duration = Duration::from_secs(30);

/// The methods. Cloning shares what they know.
#[derive(Clone)]
pub(super) struct Methods {
    known: Known,
    shutdown: CancellationToken,
}

/// Who asks, and for what.
struct Question {
    set: ObjectKey,
    wish: Wish,
}

impl Methods {
    pub(super) fn new(known: Known, shutdown: CancellationToken) -> Self {
        Self { known, shutdown }
    }

    fn question(object: &ScaledObjectRef) -> Result<Question, Status> {
        if object.name.is_empty() || object.namespace.is_empty() {
            return Err(Status::invalid_argument(
                "the ScaledObject has no name or no namespace",
            ));
        }
        let wish = Wish::read(&object.scaler_metadata);
        Ok(Question {
            set: ObjectKey::new(object.namespace.as_str(), object.name.as_str()),
            wish: wish.map_err(|error| Status::invalid_argument(error.to_string()))?,
        })
    }

    fn look(&self, question: &Question) -> Result<Seen, Status> {
        self.require_complete()?;
        self.known.look(&question.set, &question.wish).ok_or_else(|| {
            let set = &question.set;
            Status::not_found(format!(
                "there is no GameServerSet {set} here: a ScaledObject has the name and the namespace of its set"
            ))
        })
    }

    fn require_complete(&self) -> Result<(), Status> {
        if self.known.is_complete() {
            return Ok(());
        }
        Err(Status::unavailable("not all game servers are known yet"))
    }

    pub(super) fn is_active(&self, object: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        let seen = self.look(&Self::question(object)?)?;
        Ok(IsActiveResponse {
            result: seen.wanted.active,
        })
    }

    pub(super) fn metric_spec(object: &ScaledObjectRef) -> Result<GetMetricSpecResponse, Status> {
        // Refused here as well: KEDA asks this first, and shows the error on the ScaledObject.
        Self::question(object)?;
        Ok(GetMetricSpecResponse {
            metric_specs: vec![MetricSpec {
                metric_name: METRIC.to_owned(),
                target_size: 1,
            }],
        })
    }

    pub(super) fn metrics(&self, request: &GetMetricsRequest) -> Result<GetMetricsResponse, Status> {
        let object = request.scaled_object_ref.as_ref();
        let object = object.ok_or_else(|| Status::invalid_argument("the request names no ScaledObject"))?;
        let seen = self.look(&Self::question(object)?)?;
        Ok(GetMetricsResponse {
            metric_values: vec![MetricValue {
                metric_name: METRIC.to_owned(),
                metric_value: seen.wanted.replicas,
            }],
        })
    }

    pub(super) fn health(&self, request: &HealthCheckRequest) -> Result<HealthCheckResponse, Status> {
        if !request.service.is_empty() && request.service != SERVICE {
            return Err(Status::not_found("no such service"));
        }
        let serving = self.known.is_complete() && !self.shutdown.is_cancelled();
        Ok(HealthCheckResponse {
            status: if serving { SERVING } else { NOT_SERVING },
        })
    }

    /// Whether the set is active: now, and again whenever that changes, or the set gets its first replica or loses its last; and
    /// again and again while KEDA has not acted on it. A set that is not there is not active.
    pub(super) fn stream_is_active(
        &self,
        object: &ScaledObjectRef,
    ) -> Result<impl Stream<Item = Result<IsActiveResponse, Status>> + Send + use<>, Status> {
        let question = Self::question(object)?;
        self.require_complete()?;
        let state = Pushing {
            news: self.known.hub.subscribe(&question.set),
            methods: self.clone(),
            question,
            last: None,
            not_before: Instant::now(),
            repeat: REPEAT,
            _open: OpenStream::begin(),
        };
        Ok(stream::unfold(state, |mut state| async move {
            let result = state.next().await?;
            metrics::pushed();
            Some((Ok(IsActiveResponse { result }), state))
        }))
    }
}

/// What KEDA acts on: activity, and whether there is any replica to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Activity {
    active: bool,
    without_replicas: bool,
}

impl Activity {
    /// Whether KEDA has nothing to do: replicas where there is activity, none where there is none.
    fn is_settled(self) -> bool {
        self.active != self.without_replicas
    }
}

/// A stream that is open.
struct Pushing {
    methods: Methods,
    question: Question,
    news: watch::Receiver<()>,
    last: Option<Activity>,
    not_before: Instant,
    repeat: Duration,
    _open: OpenStream,
}

impl Pushing {
    /// The next message; `None` when the process stops.
    async fn next(&mut self) -> Option<bool> {
        let shutdown = self.methods.shutdown.clone();
        shutdown.run_until_cancelled(self.changed()).await
    }

    async fn changed(&mut self) -> bool {
        loop {
            tokio::time::sleep_until(self.not_before).await;
            // Before the look: what comes after it is news.
            self.news.borrow_and_update();
            let now = self.look();
            if self.last != Some(now) {
                self.last = Some(now);
                self.not_before = Instant::now() + PAUSE;
                self.repeat = REPEAT;
                return now.active;
            }
            if self.news_or_repeat(now).await {
                return now.active;
            }
        }
    }

    /// Waits for news; true when it is time to say the same again instead.
    ///
    /// KEDA loses what it is told where its write meets another's (a conflict), or where its own cooldown is not over, and looks
    /// again only at its next poll, which may be minutes away.
    async fn news_or_repeat(&mut self, now: Activity) -> bool {
        let wait = self.repeat;
        let again = async {
            if now.is_settled() {
                std::future::pending::<()>().await;
            } else {
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            // The hub lives as long as the process.
            _ = self.news.changed() => false,
            () = again => {
                self.repeat = (wait * 2).min(LONGEST_REPEAT);
                true
            }
        }
    }

    fn look(&self) -> Activity {
        let seen = self.methods.known.look(&self.question.set, &self.question.wish);
        Activity {
            active: seen.is_some_and(|seen| seen.wanted.active),
            without_replicas: seen.is_none_or(|seen| seen.replicas == 0),
        }
    }
}
