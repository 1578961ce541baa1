//! How deep JSON may be nested: what plugins and clients send has to fit messages of gRPC, whose readers stop at 100
//! messages within messages, three for each level of JSON.

use serde_json::Value;

/// Levels of objects and arrays, the outermost included.
pub const MAX_DEPTH: usize = 30;

/// Is a value nested deeper than [`MAX_DEPTH`]?
#[must_use]
pub fn is_too_deep(value: &Value) -> bool {
    is_deeper_than(value, MAX_DEPTH)
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
}
