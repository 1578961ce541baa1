//! Numbers arrive as they were sent, or are refused by name.
//!
//! JSON has integers of any size, but what reads it mostly has 64-bit floating-point numbers, and
//! `google.protobuf.Struct`, as which the API carries JSON, has nothing else. Most integers beyond 2^53 would arrive as
//! other ones: those are refused. A number with a point or an exponent is a 64-bit float on either side.

use serde_json::{Map, Number, Value};

/// Integers up to this one are all exact in a 64-bit float: 2^53.
pub const EXACT: u64 = 1 << 53;

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
    NotJson(#[from] serde_json::Error),
    /// It has an integer of more than 64 bits.
    #[error(transparent)]
    Inexact(#[from] Inexact),
}

impl Inexact {
    /// This number, which does not stand in anything.
    #[must_use]
    pub fn new(number: impl Into<String>) -> Self {
        Self { path: String::new(), number: number.into() }
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn description(&self) -> String {
        format!("the number {:.40} can't be carried exactly; send it as a string", self.number)
    }

    /// The same in the value of this key.
    #[must_use]
    pub fn within(self, key: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{key}{dot}{}", self.path), ..self }
    }

    /// The same in this item of a list.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// Can it be carried?
#[must_use]
pub fn is_exact(number: &Number) -> bool {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    number.is_f64() || magnitude.is_some_and(is_exact_integer)
}

/// Has a 64-bit float room for all its digits? Beyond 2^53 it has for every second, fourth … integer, as 10^17.
fn is_exact_integer(magnitude: u64) -> bool {
    let unused = magnitude.leading_zeros() + magnitude.trailing_zeros();
    magnitude == 0 || u64::BITS - unused <= f64::MANTISSA_DIGITS
}

/// The first number of a value that can't be carried.
#[must_use]
pub fn inexact(value: &Value) -> Option<Inexact> {
    find(value, &|number| !is_exact(number))
}

/// The first number of an object that can't be carried.
#[must_use]
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
/// It is not JSON, or has an integer of more than 64 bits.
pub fn parse(json: &[u8]) -> Result<Value, Unreadable> {
    let value = serde_json::from_slice(json)?;
    let Some(integer) = long_integer(json) else { return Ok(value) };
    // It became a float, by which it is found again.
    let float: Option<f64> = integer.parse().ok();
    let place = find(&value, &|number| number.is_f64() && number.as_f64() == float);
    Err(Inexact { path: place.unwrap_or_else(|| Inexact::new("")).path, number: integer }.into())
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_integer_of_more_than_64_bits_is_refused_with_its_place() {
        let text = r#"{"a": {"b": [1, 2.5, 18446744073709551616]}, "c": "18446744073709551616"}"#;
        let words = "the number 18446744073709551616 can't be carried exactly; send it as a string";
        assert_eq!(refusal(text), format!("a.b[2]: {words}"));
        assert_eq!(refusal(r#"{"n":-9223372036854775809}"#).split(':').next(), Some("n"));
        assert_eq!(refusal(r#"["a\\\"[", 1e300, {"k": 300000000000000000000}]"#).split(':').next(), Some("[2].k"));
        assert!(matches!(parse(b"{"), Err(Unreadable::NotJson(_))));
    }

    #[test]
    fn what_64_bits_hold_is_read_as_it_is() {
        let text = r#"{"largest":18446744073709551615,"smallest":-9223372036854775808,"wide":1e300,"zero":-0.0}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text.replace("1e300", "1e+300"));
    }

    #[test]
    fn digits_in_a_text_or_a_key_are_no_number() {
        let text = r#"{"18446744073709551616":["18446744073709551616","\\","\"18446744073709551616"]}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn an_integer_beyond_2_53_has_its_place_told() {
        let value = json!({"fine": EXACT, "list": [{"id": EXACT + 1}]});
        let found = inexact(&value).unwrap();
        assert_eq!((&*found.path, &*found.number), ("list[0].id", "9007199254740993"));
        assert_eq!(
            inexact(&json!([-9_007_199_254_740_992_i64, 1e300, 0, 100_000_000_000_000_000_u64, 1_u64 << 63])),
            None
        );
        assert!(inexact(&json!(u64::MAX)).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// 12 % of all doubles came back changed in their last place.
        #[test]
        fn every_double_comes_back_from_its_text(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let text = serde_json::to_string(&double).unwrap();
            let read = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.as_f64().map(f64::to_bits), Some(double.to_bits()), "{}", text);
        }

        /// Taken as it is, or refused.
        #[test]
        fn every_integer_comes_back_or_is_refused(integer: i128, shift in 0_u32..128) {
            let integer = integer >> shift;
            let text = integer.to_string();
            match parse(text.as_bytes()) {
                Ok(read) => prop_assert_eq!(read.to_string(), text),
                Err(_) => prop_assert!(i64::try_from(integer).is_err() && u64::try_from(integer).is_err()),
            }
        }
    }
}
