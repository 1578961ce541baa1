//! What JSON must be so that messages of gRPC can carry it as it is, in a `google.protobuf.Struct`.
//!
//! - Its nesting is bounded: readers of gRPC stop at 100 messages within messages, three for each level of JSON.
//! - Its numbers are exact: JSON has integers of any size, a `Struct` has only 64-bit floating-point numbers. Most integers
//!   beyond 2^53 would arrive as other ones: those are refused. A number with a point or an exponent is a 64-bit float on
//!   either side.
//! - Its size counts as it is on the wire, which can be five times as many bytes as its text has.

use serde_json::{Map, Number, Value};

use super::{Error, Result, text::shorten};

/// Most levels of objects and arrays, the outermost included.
pub const MAX_DEPTH: usize = 30;

/// Most bytes of a message that clients of gRPC take unless told otherwise: 4 MiB.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Most bytes of a manifest, and of a configuration, on the wire. A message of one plugin holds at most one of each.
pub const MAX_OBJECT: usize = MAX_MESSAGE / 8 * 3;

/// Integers up to this one are all exact in a 64-bit float: 2^53.
pub const EXACT: u64 = 1 << 53;

/// How the parser of JSON begins when a text has more than 128 levels. It has no kind of error for that.
const TOO_DEEP_TO_PARSE: &str = "recursion limit exceeded";

/// Most characters of a number that a message repeats.
const MAX_DIGITS: usize = 40;

/// A number that can't be carried without changing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", prefix(.path), self.description())]
pub struct Inexact {
    /// Where it stands: `a.b[2]`; empty for the whole.
    pub path: String,
    /// Its text.
    pub number: String,
}

/// Why a text is not taken as JSON.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not JSON.
    #[error(transparent)]
    NotJson(serde_json::Error),
    /// It has more levels than the parser takes.
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It has an integer of more than 64 bits.
    #[error(transparent)]
    Inexact(Inexact),
}

impl Inexact {
    /// This number, which does not stand in anything.
    pub fn new(number: impl Into<String>) -> Self {
        Self { path: String::new(), number: number.into() }
    }

    /// What is wrong, without the place.
    pub fn description(&self) -> String {
        format!("the number {} can't be carried exactly; send it as a string", shorten(&self.number, MAX_DIGITS))
    }

    /// The same in the value of this key.
    pub fn within(self, key: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{key}{dot}{}", self.path), ..self }
    }

    /// The same in this item of a list.
    pub fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// Requires that messages of gRPC can carry this object, which is called `name` in what is said otherwise.
///
/// # Errors
/// What is wrong, for a person: it is nested too deep, or has a number that would change.
pub fn require_carried(name: &str, object: &Map<String, Value>) -> Result<(), String> {
    if object.values().any(is_too_deep) {
        return Err(format!("{name}: it is nested deeper than {MAX_DEPTH} levels"));
    }
    inexact_in(object).map_or(Ok(()), |inexact| Err(inexact.within(name).to_string()))
}

/// Whether a value is nested deeper than [`MAX_DEPTH`].
pub fn is_too_deep(value: &Value) -> bool {
    is_deeper_than(value, MAX_DEPTH)
}

/// Whether a text could not be parsed because it is nested too deep.
fn is_too_deep_to_parse(error: &serde_json::Error) -> bool {
    error.to_string().starts_with(TOO_DEEP_TO_PARSE)
}

/// Requires that none of the values in this field of a request is nested too deep.
///
/// # Errors
/// `INVALID_ARGUMENT` that names the value: `params.key`.
pub fn require_shallow(field: &str, object: &Map<String, Value>) -> Result<()> {
    let too_deep = object.iter().find(|(_, value)| is_too_deep(value));
    too_deep.map_or(Ok(()), |(key, _)| Err(too_deep_in(&format!("{field}.{}", shorten(key, 64)))))
}

/// What is said of a field of a request that is nested too deep.
pub fn too_deep_in(field: &str) -> Error {
    Error::field(
        field,
        format!("is nested deeper than {MAX_DEPTH} levels; flatten it, or send the inner part as a string"),
    )
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let is_inner_deeper = |inner: &Value| levels.checked_sub(1).is_none_or(|left| is_deeper_than(inner, left));
    match value {
        Value::Object(object) => levels == 0 || object.values().any(is_inner_deeper),
        Value::Array(items) => levels == 0 || items.iter().any(is_inner_deeper),
        _ => false,
    }
}

/// Whether a number can be carried without changing it.
pub fn is_exact(number: &Number) -> bool {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    number.is_f64() || magnitude.is_some_and(is_exact_integer)
}

/// Whether a 64-bit float has room for all its digits. Beyond 2^53 it has for every second, fourth … integer, as 10^17.
fn is_exact_integer(magnitude: u64) -> bool {
    let unused = magnitude.leading_zeros() + magnitude.trailing_zeros();
    magnitude == 0 || u64::BITS - unused <= f64::MANTISSA_DIGITS
}

/// The first number of an object that can't be carried.
pub fn inexact_in(object: &Map<String, Value>) -> Option<Inexact> {
    find_in(object, &|number| !is_exact(number))
}

fn find(value: &Value, is_meant: &impl Fn(&Number) -> bool) -> Option<Inexact> {
    match value {
        Value::Number(number) => is_meant(number).then(|| Inexact::new(number.to_string())),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| Some(find(item, is_meant)?.at(at))),
        Value::Object(object) => find_in(object, is_meant),
        _ => None,
    }
}

fn find_in(object: &Map<String, Value>, is_meant: &impl Fn(&Number) -> bool) -> Option<Inexact> {
    object.iter().find_map(|(key, value)| Some(find(value, is_meant)?.within(key)))
}

/// Reads JSON in which no number changes by being read.
///
/// # Errors
/// It is not JSON, is nested deeper than the parser goes, or has an integer of more than 64 bits.
pub fn parse(json: &[u8]) -> Result<Value, Unreadable> {
    let value = serde_json::from_slice(json).map_err(|error| match is_too_deep_to_parse(&error) {
        true => Unreadable::TooDeep,
        false => Unreadable::NotJson(error),
    })?;
    let Some(integer) = long_integer(json) else { return Ok(value) };
    // It became a float, by which it is found again.
    let float: Option<f64> = integer.parse().ok();
    let place = find(&value, &|number| number.is_f64() && number.as_f64() == float);
    Err(Unreadable::Inexact(Inexact { path: place.unwrap_or_else(|| Inexact::new("")).path, number: integer }))
}

/// The first integer of more than 64 bits in a text that is known to be JSON. One pass, however deep it is nested.
fn long_integer(mut json: &[u8]) -> Option<String> {
    while let Some(first) = json.first() {
        let length = match first {
            b'"' => string(json),
            b'-' | b'0'..=b'9' => json.iter().take_while(|byte| b"+-.eE0123456789".contains(byte)).count(),
            _ => 1,
        };
        let (token, rest) = json.split_at(length.min(json.len()));
        if let Some(integer) = str::from_utf8(token).ok().filter(|token| is_long_integer(token)) {
            return Some(integer.to_owned());
        }
        json = rest;
    }
    None
}

/// Bytes of the string that a text begins with, its quotes included.
fn string(json: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(json.len(), |end| end + 2)
}

fn is_long_integer(token: &str) -> bool {
    let is_integer = token.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let is_kept = || token == "-0" || token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok();
    is_integer && !token.contains(['.', 'e', 'E']) && !is_kept()
}

/// Bytes of an object as a `Struct` on the wire.
pub fn size_of(object: &Map<String, Value>) -> usize {
    // An entry is a message of its key and its value; protobuf leaves an empty key out.
    let entry = |(key, value): (&String, &Value)| {
        let key = if key.is_empty() { 0 } else { delimited(key.len()) };
        delimited(key + delimited(size_of_value(value)))
    };
    object.iter().map(entry).sum()
}

fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 2,
        Value::Number(_) => 9,
        Value::String(text) => delimited(text.len()),
        Value::Array(items) => delimited(items.iter().map(|item| delimited(size_of_value(item))).sum()),
        Value::Object(object) => delimited(size_of(object)),
    }
}

/// A message within a message, or a text, has a tag and its length before it: seven bits of it a byte.
fn delimited(bytes: usize) -> usize {
    let bits = usize::BITS - bytes.leading_zeros();
    1 + usize::try_from(bits.max(1).div_ceil(7)).unwrap_or(usize::MAX) + bytes
}

#[cfg(test)]
mod tests;
