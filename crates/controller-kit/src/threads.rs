//! On how many threads a program works.
//!
//! A change of an opsState is a few microseconds of work and a few hundred of waking up, reading, decoding and writing. With a thread for each core, most
//! events wake a thread that sleeps, which then has to be scheduled beside the API server; with one, the next event is found by the thread that has just been at work.
//! In runs of one round the way to the Pod label was about 8 % shorter with one (`docs/adr/0045-one-thread-for-a-controller.md`). What needs more cores is divided among replicas:
//! `--shards`.

use std::{future::Future, num::NonZeroUsize};

/// The threads that a program's tasks run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One, for a controller: what it does waits for the API server.
    One,
    /// One for each core, for a server with connections of its own.
    EachCore,
}

/// What tokio itself reads where nothing else is said; it overrules [`Workers`].
const OVERRULE: &str = "TOKIO_WORKER_THREADS";

/// Runs `future` to its end.
///
/// # Errors
/// Those of the future, or when the operating system gives no threads.
pub fn block_on<T>(workers: Workers, future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads(workers, std::env::var(OVERRULE).ok().as_deref()) {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(future)
}

/// How many threads; `None` for as many as there are cores.
fn threads(workers: Workers, overruled: Option<&str>) -> Option<usize> {
    let asked = overruled.and_then(|text| text.parse::<NonZeroUsize>().ok());
    match (asked, workers) {
        (Some(asked), _) => Some(asked.get()),
        (None, Workers::One) => Some(1),
        (None, Workers::EachCore) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_unless_something_else_is_asked_for() {
        assert_eq!(threads(Workers::One, None), Some(1));
        assert_eq!(threads(Workers::One, Some("3")), Some(3));
        assert_eq!(threads(Workers::EachCore, None), None);
        assert_eq!(threads(Workers::EachCore, Some("2")), Some(2));
        for nonsense in ["0", "", "many"] {
            assert_eq!(threads(Workers::One, Some(nonsense)), Some(1), "{nonsense:?}");
        }
    }
}
