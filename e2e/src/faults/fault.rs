//! Faults: where they strike and what they do, as data that prints to one line and reads back from it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

/// A request, or an event of a watch, by what it is about and how often that came before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Which controller process: `gss-controller`, `gss-controller-2`, `gs-controller`, `pod-sync`.
    pub client: String,
    /// As in [`Call::verb`](super::Call::verb).
    pub verb: String,
    /// As in [`Call::resource`](super::Call::resource).
    pub resource: String,
    /// Name of the object; empty for lists, and for any.
    pub name: String,
    /// Counts from 1: requests of this kind, or events of this watch.
    pub nth: u32,
}

/// When a process is killed, seen from one of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// The request never leaves.
    Before,
    /// It is applied; the answer never arrives.
    Committed,
    /// The answer arrives, and nothing is sent after it.
    Answered,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// SIGKILL, and a new process at once.
    Crash(Moment),
    /// Answered with this status. `applied`: after the API server did it.
    Answer {
        /// HTTP status.
        code: u16,
        /// Whether the request got through.
        applied: bool,
        /// Seconds in `Retry-After`.
        retry_after: Option<u16>,
    },
    /// The connection ends instead of an answer. `applied`: after the API server did it.
    Cut {
        /// Whether the request got through.
        applied: bool,
    },
    /// The request waits so many milliseconds before it goes on.
    Delay(u32),
    /// A read is answered with the first answer this path ever had.
    Stale,
    /// A list is answered from the past, and the watch after it waits so many milliseconds: the server itself lags behind.
    Lag(u32),
    /// The watch is cut instead of this event.
    CutStream,
    /// This event and those after it arrive so many milliseconds late.
    Freeze(u32),
    /// This event is swallowed when the next one of its object comes within a second: only the later is delivered.
    Merge,
    /// Events are lost for so many milliseconds; then the watch ends and its history is gone.
    Gone {
        /// As an ERROR event in the stream; else as HTTP 410 when the watch is started again.
        in_stream: bool,
        /// How long.
        after: u32,
    },
}

impl Action {
    /// The row of the summary it counts in.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Crash(_) => "crash",
            Self::Answer { applied: true, .. } | Self::Cut { applied: true } => "answer lost",
            Self::Answer { code: 409, .. } => "409",
            Self::Answer { code: 429, .. } => "429",
            Self::Answer { .. } => "5xx refused",
            Self::Cut { .. } => "request lost",
            Self::Delay(_) => "delay",
            Self::Stale | Self::Lag(_) => "stale read",
            Self::CutStream => "watch cut",
            Self::Freeze(_) => "watch frozen",
            Self::Merge => "watch merged",
            Self::Gone { .. } => "watch 410",
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    /// Where.
    pub site: Site,
    /// What.
    pub action: Action,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            verb,
            resource,
            name,
            nth,
        } = self;
        write!(f, "{client}:{verb}:{resource}:{name}:{nth}")
    }
}

impl FromStr for Site {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [client, verb, resource, name, nth] = parts[..] else {
            bail!("{text:?} is not CLIENT:VERB:RESOURCE:NAME:NTH");
        };
        Ok(Self {
            client: client.into(),
            verb: verb.into(),
            resource: resource.into(),
            name: name.into(),
            nth: nth.parse().with_context(|| format!("{nth:?} in {text:?}"))?,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let applied = |applied: &bool| if *applied { "-applied" } else { "" };
        match self {
            Self::Crash(Moment::Before) => f.write_str("crash-before"),
            Self::Crash(Moment::Committed) => f.write_str("crash-committed"),
            Self::Crash(Moment::Answered) => f.write_str("crash-answered"),
            Self::Answer {
                code,
                applied: done,
                retry_after,
            } => {
                write!(f, "answer-{code}{}", applied(done))?;
                retry_after.map_or(Ok(()), |seconds| write!(f, "-retry-{seconds}"))
            }
            Self::Cut { applied: done } => write!(f, "cut{}", applied(done)),
            Self::Delay(ms) => write!(f, "delay-{ms}"),
            Self::Stale => f.write_str("stale"),
            Self::Lag(ms) => write!(f, "lag-{ms}"),
            Self::CutStream => f.write_str("stream-cut"),
            Self::Freeze(ms) => write!(f, "freeze-{ms}"),
            Self::Merge => f.write_str("merge"),
            Self::Gone { in_stream, after } => {
                let how = if *in_stream { "in-stream" } else { "at-start" };
                write!(f, "gone-{how}-{after}")
            }
        }
    }
}

impl FromStr for Action {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |part: &str| {
            part.parse::<u32>()
                .with_context(|| format!("{part:?} in {text:?}"))
        };
        Ok(match parts[..] {
            ["crash", "before"] => Self::Crash(Moment::Before),
            ["crash", "committed"] => Self::Crash(Moment::Committed),
            ["crash", "answered"] => Self::Crash(Moment::Answered),
            ["answer", code, ref rest @ ..] => Self::Answer {
                code: number(code)? as u16,
                applied: rest.first() == Some(&"applied"),
                retry_after: match rest {
                    [.., "retry", seconds] => Some(number(seconds)? as u16),
                    _ => None,
                },
            },
            ["cut"] => Self::Cut { applied: false },
            ["cut", "applied"] => Self::Cut { applied: true },
            ["delay", ms] => Self::Delay(number(ms)?),
            ["stale"] => Self::Stale,
            ["lag", ms] => Self::Lag(number(ms)?),
            ["stream", "cut"] => Self::CutStream,
            ["freeze", ms] => Self::Freeze(number(ms)?),
            ["merge"] => Self::Merge,
            ["gone", "in", "stream", ms] => Self::Gone {
                in_stream: true,
                after: number(ms)?,
            },
            ["gone", "at", "start", ms] => Self::Gone {
                in_stream: false,
                after: number(ms)?,
            },
            _ => bail!("no fault is called {text:?}"),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.site, self.action)
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (site, action) = text
            .split_once('=')
            .with_context(|| format!("{text:?} is not SITE=ACTION"))?;
        Ok(Self {
            site: site.parse()?,
            action: action.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_reads_back_from_its_line() {
        let actions = "crash-before crash-committed crash-answered answer-409 answer-429-retry-1 answer-503-applied \
            answer-500 cut cut-applied delay-250 stale lag-900 stream-cut freeze-900 merge gone-in-stream-300 gone-at-start-300";
        for action in actions.split_whitespace() {
            let line = format!("gss-controller:patch:gameservers/status:game-3:2={action}");
            let fault: Fault = line.parse().unwrap();
            assert_eq!(fault.to_string(), line);
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for line in [
            "",
            "a:b:c:d:1",
            "a:b:c:1=stale",
            "a:b:c:d:x=stale",
            "a:b:c:d:1=explode",
        ] {
            assert!(line.parse::<Fault>().is_err(), "{line}");
        }
    }
}
