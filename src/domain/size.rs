//! How many bytes JSON takes on the wire: as `google.protobuf.Struct`, which can be five times as many as its text has.

use serde_json::{Map, Value};

/// Most bytes of a manifest, and of a configuration, on the wire. A message of one plugin holds at most one of each, and
/// clients take messages of 4 MiB unless told otherwise.
pub const MAX_OBJECT: usize = 3 * 512 * 1024;

/// A message within a message, or a text, has a tag and its length before it.
fn delimited(bytes: usize) -> usize {
    1 + length(bytes) + bytes
}

/// Bytes of a length: seven bits each.
fn length(bytes: usize) -> usize {
    let bits = usize::BITS - bytes.leading_zeros();
    usize::try_from(bits.max(1).div_ceil(7)).unwrap_or(usize::MAX)
}

/// Bytes of an object as a `Struct`.
#[must_use]
pub fn of_object(object: &Map<String, Value>) -> usize {
    // An entry is a message of its key and its value; protobuf leaves an empty key out.
    let entry = |(key, value): (&String, &Value)| {
        let key = if key.is_empty() { 0 } else { delimited(key.len()) };
        delimited(key + delimited(of_value(value)))
    };
    object.iter().map(entry).sum()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 2,
        Value::Number(_) => 9,
        Value::String(text) => delimited(text.len()),
        Value::Array(items) => delimited(items.iter().map(|item| delimited(of_value(item))).sum()),
        Value::Object(object) => delimited(of_object(object)),
    }
}
