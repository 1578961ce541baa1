//! JSON to and from `google.protobuf.Struct`, which knows only 64-bit floating-point numbers.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

/// Integers up to this one are all exact in a 64-bit float: 2^53.
const EXACT: u64 = 1 << 53;

/// A number that `google.protobuf.Struct` can't carry without changing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} can't be carried exactly; send it as a string")]
pub struct InexactNumber(pub String);

/// A JSON object as a protobuf struct.
///
/// # Errors
/// An integer beyond 2^53, which would arrive as another number.
pub fn to_struct(object: &Map<String, Json>) -> Result<Struct, InexactNumber> {
    let fields = object.iter().map(|(key, value)| Ok((key.clone(), to_value(value)?)));
    Ok(Struct { fields: fields.collect::<Result<_, _>>()? })
}

/// A JSON value as a protobuf value.
///
/// # Errors
/// As [`to_struct`].
pub fn to_value(json: &Json) -> Result<Value, InexactNumber> {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(to_f64(number)?),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => {
            let values = items.iter().map(to_value).collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
        Json::Object(object) => Kind::StructValue(to_struct(object)?),
    };
    Ok(Value { kind: Some(kind) })
}

fn to_f64(number: &Number) -> Result<f64, InexactNumber> {
    let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
    let is_exact = number.is_f64() || magnitude.is_some_and(|magnitude| magnitude <= EXACT);
    number.as_f64().filter(|_| is_exact).ok_or_else(|| InexactNumber(number.to_string()))
}

/// A protobuf struct as a JSON object. Whole numbers become JSON integers; what JSON can't say (NaN) becomes null.
#[must_use]
pub fn from_struct(fields: &Struct) -> Map<String, Json> {
    fields.fields.iter().map(|(key, value)| (key.clone(), from_value(value))).collect()
}

/// A protobuf value as a JSON value; see [`from_struct`].
#[must_use]
pub fn from_value(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(*value),
        Some(Kind::NumberValue(value)) => from_f64(*value),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => Json::Array(list.values.iter().map(from_value).collect()),
        Some(Kind::StructValue(fields)) => Json::Object(from_struct(fields)),
    }
}

fn from_f64(value: f64) -> Json {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked on the same line")]
    if value.fract() == 0.0 && value.abs() <= EXACT as f64 {
        return Json::from(value as i64);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_survives_the_way_there_and_back() {
        let object = json!({"a": [1, -2.5, true, null, {"b": "c"}], "big": 9_007_199_254_740_992_i64});
        let Json::Object(object) = object else { unreachable!() };
        assert_eq!(from_struct(&to_struct(&object).unwrap()), object);
    }

    #[test]
    fn an_integer_that_would_change_is_refused_by_name() {
        let error = to_value(&json!({"id": 9_007_199_254_740_993_i64})).unwrap_err();
        assert_eq!(error.0, "9007199254740993");
    }
}
