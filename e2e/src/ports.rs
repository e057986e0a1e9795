//! Ports of this machine for programs that have to be told one.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// What this process has given out. A program listens a moment after it was told its port, and the next one's is chosen before
/// that: of 28,000 ports the kernel gave two controllers of one fleet the same, one ended, and the other answered for both.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 on which nothing listened a moment ago, and which nobody in this process has been given before.
///
/// # Errors
/// When this machine has none.
pub fn free() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Kept until another is found, so that each attempt gets another one.
    let mut refused = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        if given.insert(port) {
            return Ok(port);
        }
        refused.push(listener);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: BTreeSet<u16> = (0..2_000).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 2_000);
    }
}
