//! A game server for trials: answers each numbered message of its players, over TCP and over WebSocket on one port.
//!
//! A message is a line (TCP) or a text (WebSocket); the answer is the same with the server's host name before it, so that a
//! player knows who answered, and that nothing was lost or doubled on the way.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use tungstenite::Message;

const PORT: u16 = 5000;

fn main() -> io::Result<()> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    println!("{} serves on port {PORT}", kernel.trim());
    serve(&listener, kernel.trim())
}

/// Serves players for ever, each on a thread of its own.
fn serve(listener: &TcpListener, name: &str) -> io::Result<()> {
    let name: Arc<str> = name.into();
    for stream in listener.incoming() {
        let (stream, name) = (stream?, Arc::clone(&name));
        std::thread::spawn(move || {
            let from = stream.peer_addr();
            let ended = play(stream, &name);
            println!("{from:?} left: {ended:?}");
        });
    }
    Ok(())
}

/// Plays with one player until it leaves.
fn play(stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    // A number never begins with a letter, and every WebSocket begins with a GET.
    if stream.peek(&mut first)? == 1 && &first == b"G" {
        return over_web_socket(stream, name);
    }
    let mut answers = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        answers.write_all(format!("{name} {}\n", line?).as_bytes())?;
    }
    Ok(())
}

fn over_web_socket(stream: TcpStream, name: &str) -> io::Result<()> {
    let mut socket = tungstenite::accept(stream).map_err(|error| io::Error::other(error.to_string()))?;
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => socket
                .send(Message::text(format!("{name} {text}")))
                .map_err(io::Error::other)?,
            // tungstenite answers pings and the closing handshake itself.
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener, "postio-2"));
        address
    }

    #[test]
    fn lines_are_answered_in_order() {
        let mut stream = TcpStream::connect(server()).unwrap();
        stream.write_all(b"1\n2\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answers: Vec<String> = BufReader::new(stream).lines().map(Result::unwrap).collect();
        assert_eq!(answers, ["postio-2 1", "postio-2 2"]);
    }

    #[test]
    fn a_web_socket_is_answered_and_closed_as_the_protocol_wants() {
        let address = server();
        let stream = TcpStream::connect(address).unwrap();
        let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream).unwrap();
        for number in ["1", "2"] {
            socket.send(Message::text(number)).unwrap();
            assert_eq!(
                socket.read().unwrap(),
                Message::text(format!("postio-2 {number}"))
            );
        }
        socket.close(None).unwrap();
        assert!(matches!(socket.read(), Ok(Message::Close(_))));
        assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    }
}
