//! JSON as Go's encoder writes it: OpenKruiseGame stored it so, and readers compare the text.

use serde::Serialize;

/// `value` as text.
pub fn go_json<T: Serialize>(value: &T) -> String {
    // What cannot be encoded (a map with keys that are no text) is never passed here.
    let text = serde_json::to_string(value).unwrap_or_default();
    // These characters only ever occur inside strings, so replacing them cannot change the structure.
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
