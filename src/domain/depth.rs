//! How deep JSON may be nested: what plugins and clients send has to fit messages of gRPC, whose readers stop at 100
//! messages within messages, three for each level of JSON.

use serde_json::{Map, Value};

use super::{Error, Result};

/// Levels of objects and arrays, the outermost included.
pub const MAX_DEPTH: usize = 30;

/// How the parser of JSON begins when a text has more than 128 levels. It has no kind of error for that.
const TOO_DEEP_TO_PARSE: &str = "recursion limit exceeded";

/// Is a value nested deeper than [`MAX_DEPTH`]?
#[must_use]
pub fn is_too_deep(value: &Value) -> bool {
    is_deeper_than(value, MAX_DEPTH)
}

/// Could a text not be parsed because it is nested too deep?
#[must_use]
pub fn is_too_deep_to_parse(error: &serde_json::Error) -> bool {
    error.to_string().starts_with(TOO_DEEP_TO_PARSE)
}

/// Requires that none of the values in this field of a request is nested too deep.
///
/// # Errors
/// `INVALID_ARGUMENT` that names the value: `params.key`.
pub fn require_shallow(field: &str, object: &Map<String, Value>) -> Result<()> {
    let too_deep = object.iter().find(|(_, value)| is_too_deep(value));
    too_deep.map_or(Ok(()), |(key, _)| Err(refusal(&format!("{field}.{key:.64}"))))
}

/// What is said of a field that is nested too deep.
#[must_use]
pub fn refusal(field: &str) -> Error {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({}), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
    }

    #[test]
    fn thirty_levels_are_fine_and_one_more_is_not() {
        assert!(!is_too_deep(&json!(1)));
        assert!(!is_too_deep(&nested(MAX_DEPTH)));
        assert!(is_too_deep(&nested(MAX_DEPTH + 1)));
    }

    #[test]
    fn the_value_that_is_too_deep_is_named() {
        let object = |levels| Map::from_iter([("fine".to_owned(), json!(1)), ("deep".to_owned(), nested(levels))]);
        assert!(require_shallow("params", &object(MAX_DEPTH)).is_ok());
        assert_eq!(require_shallow("params", &object(MAX_DEPTH + 1)).unwrap_err().violations[0].field, "params.deep");
    }

    #[test]
    fn a_text_that_is_too_deep_to_parse_is_told_from_one_that_is_no_json() {
        let error = |text: &str| serde_json::from_str::<Value>(text).unwrap_err();
        assert!(is_too_deep_to_parse(&error(&"[".repeat(1000))));
        assert!(!is_too_deep_to_parse(&error("[")));
    }
}
