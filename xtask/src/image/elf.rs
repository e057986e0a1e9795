//! Whether a program needs anything of the system it runs on.

use anyhow::{Context, Result, bail};

/// Type of the program header that names the loader.
const PT_INTERP: u32 = 3;

/// The loader that `program` (ELF, 64 bit, little-endian) asks for; `None` for one that is static.
///
/// # Errors
/// When it is no such program.
pub(super) fn loader(program: &[u8]) -> Result<Option<String>> {
    if program.get(..6) != Some(b"\x7fELF\x02\x01") {
        bail!("no 64-bit little-endian ELF program");
    }
    let at = number::<8>(program, 0x20)? as usize;
    let (size, count) = (
        number::<2>(program, 0x36)? as usize,
        number::<2>(program, 0x38)? as usize,
    );
    for index in 0..count {
        let header = at + index * size;
        if number::<4>(program, header)? as u32 == PT_INTERP {
            let (from, length) = (
                number::<8>(program, header + 8)? as usize,
                number::<8>(program, header + 0x20)? as usize,
            );
            let name = program
                .get(from..from.saturating_add(length))
                .context("the loader's name is cut off")?;
            return Ok(Some(
                String::from_utf8_lossy(name).trim_end_matches('\0').to_owned(),
            ));
        }
    }
    Ok(None)
}

fn number<const N: usize>(program: &[u8], at: usize) -> Result<u64> {
    let bytes = program
        .get(at..at.saturating_add(N))
        .context("the program is cut off")?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_system_asks_for_a_loader_and_a_static_one_does_not() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(loader(&this_test).unwrap().unwrap().contains("ld-linux"));
        // The same without its program headers.
        let mut bare = this_test;
        bare[0x38] = 0;
        bare[0x39] = 0;
        assert_eq!(loader(&bare).unwrap(), None);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bad in [&b""[..], b"#!/bin/sh\n", b"\x7fELF\x01\x01"] {
            assert!(loader(bad).is_err());
        }
        assert!(loader(b"\x7fELF\x02\x01cut").is_err());
    }
}
