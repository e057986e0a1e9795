//! When a watch reads what has come: at once, or a few events together.
//!
//! An event that comes alone costs a process more than its decoding: it is woken, and finds none of its code and data in the
//! cores' caches. Where hundreds of events come in a second, and nobody waits for the single one, several in a row cost far less.

use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::time::Instant;

/// How often the connection's task may have its turn before no further event counts as being there: one hands over one event,
/// and with the other the socket is asked.
const TURNS: u32 = 2;

/// Reads lines, in batches whose beginnings are `interval` apart at least. Zero reads each line when it comes.
pub(super) struct Batches {
    interval: Duration,
    /// Before this no other batch begins.
    next: Option<Instant>,
}

impl Batches {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: None }
    }

    /// Appends the next line to `line`, with its end; without one, or nothing at all, when `lines` ends.
    ///
    /// Nothing is lost when this future is dropped: what was read of a line is in `line`.
    pub(super) async fn read<R>(&mut self, lines: &mut R, line: &mut Vec<u8>) -> io::Result<()>
    where
        R: AsyncBufRead + Unpin,
    {
        if self.interval.is_zero() {
            return lines.read_until(b'\n', line).await.map(drop);
        }
        for _ in 0..TURNS {
            if let Some(read) = lines.read_until(b'\n', line).now_or_never() {
                self.began();
                return read.map(drop);
            }
            tokio::task::yield_now().await;
        }
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        let read = lines.read_until(b'\n', line).await;
        self.began();
        read.map(drop)
    }

    /// A line was read: it belongs to the batch under way, or is the first of another.
    fn began(&mut self) {
        let now = Instant::now();
        if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + self.interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::{UnboundedSender, unbounded};
    use futures::{AsyncBufRead, StreamExt as _, TryStreamExt as _};
    use tokio::time::timeout;

    use super::*;

    /// Longer than any machine is slow.
    const LONG: Duration = Duration::from_hours(1);
    /// For what must not come: a machine that is slow only makes it more certain.
    const SHORT: Duration = Duration::from_millis(30);

    fn lines() -> (UnboundedSender<String>, impl AsyncBufRead + Unpin) {
        let (sender, receiver) = unbounded::<String>();
        (sender, receiver.map(Ok::<_, io::Error>).into_async_read())
    }

    async fn read(batches: &mut Batches, lines: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
        let mut line = Vec::new();
        let read = timeout(SHORT, batches.read(lines, &mut line)).await;
        read.is_ok().then(|| String::from_utf8(line).unwrap())
    }

    /// Sends a line once the reader has found none.
    async fn send_late(sender: &UnboundedSender<String>, line: &str) {
        for _ in 0..=TURNS {
            tokio::task::yield_now().await;
        }
        sender.unbounded_send(line.into()).unwrap();
    }

    #[tokio::test]
    async fn what_is_there_is_read_together_and_what_comes_later_waits_for_the_next_batch() {
        let (sender, mut lines) = lines();
        let mut batches = Batches::new(LONG);
        for number in 0..3 {
            sender.unbounded_send(format!("{number}\n")).unwrap();
        }
        for number in 0..3 {
            assert_eq!(read(&mut batches, &mut lines).await, Some(format!("{number}\n")));
        }
        let (early, ()) = tokio::join!(read(&mut batches, &mut lines), send_late(&sender, "later\n"));
        assert_eq!(early, None);
        assert!(batches.next.unwrap() > Instant::now() + LONG / 2);
        assert_eq!(read(&mut batches, &mut lines).await.as_deref(), Some("later\n"));
    }

    #[tokio::test]
    async fn a_line_that_comes_after_a_silence_is_read_at_once() {
        let (sender, mut lines) = lines();
        let mut batches = Batches::new(LONG);
        batches.next = Some(Instant::now());
        let (alone, ()) = tokio::join!(read(&mut batches, &mut lines), send_late(&sender, "alone\n"));
        assert_eq!(alone.as_deref(), Some("alone\n"));
        assert!(batches.next.unwrap() > Instant::now() + LONG / 2);
    }

    #[tokio::test]
    async fn an_interrupted_line_goes_on_where_it_was_and_an_end_is_seen() {
        for interval in [Duration::ZERO, SHORT] {
            let (sender, mut lines) = lines();
            let (mut batches, mut line) = (Batches::new(interval), Vec::new());
            sender.unbounded_send("one ".into()).unwrap();
            let read = timeout(SHORT * 3, batches.read(&mut lines, &mut line)).await;
            assert!(read.is_err());
            sender.unbounded_send("line\nhalf".into()).unwrap();
            batches.read(&mut lines, &mut line).await.unwrap();
            assert_eq!(line, b"one line\n");
            drop(sender);
            line.clear();
            batches.read(&mut lines, &mut line).await.unwrap();
            assert_eq!(line, b"half");
            line.clear();
            batches.read(&mut lines, &mut line).await.unwrap();
            assert_eq!(line, b"");
        }
    }
}
