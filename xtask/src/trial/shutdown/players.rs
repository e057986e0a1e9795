//! Players: real connections through the gateway, each sending numbered messages and checking every answer.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// Between two messages of a player.
const PAUSE: Duration = Duration::from_millis(50);
/// An answer that takes longer is lost: on a busy machine, a scheduler's hiccup is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a player speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// Plain lines.
    Tcp,
    /// Text messages after an HTTP handshake.
    WebSocket,
}

impl Wire {
    pub(super) const ALL: [Self; 2] = [Self::Tcp, Self::WebSocket];
}

/// Where a game server's players connect, and who must answer.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Name of the Pod, which begins every answer.
    pub(super) server: String,
    /// Host that the gateway routes by.
    pub(super) host: String,
    /// Port on 127.0.0.1 for all hosts.
    pub(super) http: u16,
    /// Port on 127.0.0.1 for this server alone.
    pub(super) tcp: u16,
}

impl Door {
    /// Whether a new player is let in, and answered.
    pub(super) async fn lets_in(&self, wire: Wire) -> bool {
        let visit = async {
            let mut line = Line::open(self, wire).await?;
            line.echo(1, &self.server).await?;
            line.close().await
        };
        matches!(tokio::time::timeout(PATIENCE, visit).await, Ok(Ok(())))
    }
}

/// What became of a player.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    /// Messages that were answered.
    pub(super) echoes: u64,
    /// Why its connection ended before it left.
    pub(super) cut: Option<String>,
}

/// A player that plays until it is told to leave.
struct Player {
    who: String,
    leave: CancellationToken,
    task: JoinHandle<Fate>,
}

impl Player {
    /// Connects and waits for the first answer.
    ///
    /// # Errors
    /// When it isn't let in.
    async fn join(door: &Door, wire: Wire) -> Result<Self> {
        let who = format!("player of {} over {wire:?}", door.server);
        let start = async {
            let mut line = Line::open(door, wire).await?;
            line.echo(1, &door.server).await?;
            anyhow::Ok(line)
        };
        let line = tokio::time::timeout(PATIENCE, start).await;
        let line = line
            .with_context(|| format!("{who}: no answer in {PATIENCE:?}"))?
            .with_context(|| format!("{who} isn't let in"))?;
        let leave = CancellationToken::new();
        let task = tokio::spawn(play(line, door.server.clone(), leave.clone()));
        Ok(Self { who, leave, task })
    }

    /// Whether its connection is gone although it wants to play.
    fn is_cut(&self) -> bool {
        self.task.is_finished()
    }

    /// Leaves, after one more answered message; gives what became of it, a cut with its name.
    async fn leave(self) -> Fate {
        self.leave.cancel();
        let mut fate = self.task.await.unwrap_or_else(|error| Fate {
            echoes: 0,
            cut: Some(error.to_string()),
        });
        fate.cut = fate.cut.map(|reason| format!("{}: {reason}", self.who));
        fate
    }
}

/// Players of one server, and what became of those that have left.
#[derive(Default)]
pub(super) struct Crowd {
    playing: Vec<Player>,
    /// One for each that has left.
    pub(super) left: Vec<Fate>,
}

impl Crowd {
    /// One more player over each wire.
    ///
    /// # Errors
    /// When one isn't let in.
    pub(super) async fn join(&mut self, door: &Door) -> Result<()> {
        for wire in Wire::ALL {
            self.playing.push(Player::join(door, wire).await?);
        }
        Ok(())
    }

    /// How many are playing.
    pub(super) const fn len(&self) -> usize {
        self.playing.len()
    }

    /// Whether somebody's connection is gone although it wants to play.
    pub(super) fn is_cut(&self) -> bool {
        self.playing.iter().any(Player::is_cut)
    }

    /// All leave.
    pub(super) async fn leave(&mut self) {
        for player in self.playing.drain(..) {
            self.left.push(player.leave().await);
        }
    }
}

async fn play(mut line: Line, server: String, leave: CancellationToken) -> Fate {
    let mut fate = Fate { echoes: 1, cut: None };
    loop {
        let leaving = tokio::select! {
            () = leave.cancelled() => true,
            () = tokio::time::sleep(PAUSE) => false,
        };
        let number = fate.echoes + 1;
        match tokio::time::timeout(PATIENCE, line.echo(number, &server)).await {
            Ok(Ok(())) => fate.echoes = number,
            Ok(Err(error)) => fate.cut = Some(format!("message {number}: {error:#}")),
            Err(_) => fate.cut = Some(format!("message {number}: no answer in {PATIENCE:?}")),
        }
        if fate.cut.is_some() {
            return fate;
        }
        if leaving {
            // It was answered to its last word; how the good-bye goes is no matter.
            let _ = tokio::time::timeout(PATIENCE, line.close()).await;
            return fate;
        }
    }
}

/// A player's connection.
enum Line {
    Tcp(BufReader<TcpStream>),
    WebSocket(Box<WebSocketStream<TcpStream>>),
}

impl Line {
    async fn open(door: &Door, wire: Wire) -> Result<Self> {
        Ok(match wire {
            Wire::Tcp => Self::Tcp(BufReader::new(TcpStream::connect(("127.0.0.1", door.tcp)).await?)),
            Wire::WebSocket => {
                let stream = TcpStream::connect(("127.0.0.1", door.http)).await?;
                let address = format!("ws://{}/", door.host);
                let (socket, _) = tokio_tungstenite::client_async(address, stream).await?;
                Self::WebSocket(Box::new(socket))
            }
        })
    }

    /// Sends `number` and waits for `server`'s answer to it.
    async fn echo(&mut self, number: u64, server: &str) -> Result<()> {
        let said = match self {
            Self::Tcp(stream) => {
                stream.write_all(format!("{number}\n").as_bytes()).await?;
                let mut said = String::new();
                ensure!(
                    stream.read_line(&mut said).await? > 0,
                    "the connection was closed"
                );
                said.trim_end().to_owned()
            }
            Self::WebSocket(socket) => {
                socket.send(Message::text(number.to_string())).await?;
                match socket.next().await.context("the connection was closed")?? {
                    Message::Text(text) => text.to_string(),
                    other => bail!("the server said {other:?}"),
                }
            }
        };
        ensure!(
            said == format!("{server} {number}"),
            "the answer to {number} was {said:?}"
        );
        Ok(())
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Tcp(mut stream) => Ok(stream.shutdown().await?),
            Self::WebSocket(mut socket) => {
                socket.close().await?;
                while let Some(message) = socket.next().await {
                    message?;
                }
                Ok(())
            }
        }
    }
}
