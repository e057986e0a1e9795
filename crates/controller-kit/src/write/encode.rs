//! Bodies as Go's encoder writes them.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::WriteError;

/// Escapes what Go escapes in JSON strings.
///
/// The API server keeps a ControllerRevision's `data` byte by byte and refuses any patch of the object that changes them. A
/// patch makes it write them anew, with Go's escapes: sent without, a template with a `<` in it could never be patched again.
struct AsGo;

impl Formatter for AsGo {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let escaped = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some(at) = rest.find(escaped) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

pub(super) fn encode<B: Serialize + ?Sized>(body: &B) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::with_capacity(1024);
    body.serialize(&mut Serializer::with_formatter(&mut bytes, AsGo))
        .map_err(|error| {
            WriteError::Invalid(format!("refused before sending: cannot be encoded: {error}"))
        })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn go_would_write_the_same_bytes() {
        let body = json!({ "<k>": "a<b>c&d \u{2028}\u{2029} \"é\\" });
        let bytes = encode(&body).unwrap();
        let text = r#"{"\u003ck\u003e":"a\u003cb\u003ec\u0026d \u2028\u2029 \"é\\"}"#;
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), text);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), body);
    }
}
