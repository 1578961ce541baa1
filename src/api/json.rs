//! JSON to and from `google.protobuf.Struct`, which knows only 64-bit floating-point numbers.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value as Json};

use crate::domain::json::{EXACT, is_exact};
pub use crate::domain::json::{Inexact, MAX_DEPTH, Unreadable, is_too_deep, parse};

/// A JSON object as a protobuf struct.
///
/// # Errors
/// An integer beyond 2^53, which would arrive as another number.
pub fn to_struct(object: &Map<String, Json>) -> Result<Struct, Inexact> {
    let field = |(key, value): (&String, &Json)| match to_value(value) {
        Ok(value) => Ok((key.clone(), value)),
        Err(inexact) => Err(inexact.within(key)),
    };
    Ok(Struct { fields: object.iter().map(field).collect::<Result<_, _>>()? })
}

/// A JSON value as a protobuf value.
///
/// # Errors
/// As [`to_struct`].
pub fn to_value(json: &Json) -> Result<Value, Inexact> {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::Number(number) => Kind::NumberValue(to_f64(number)?),
        Json::String(text) => Kind::StringValue(text.clone()),
        Json::Array(items) => {
            let item = |(index, item)| to_value(item).map_err(|inexact| inexact.at(index));
            Kind::ListValue(ListValue { values: items.iter().enumerate().map(item).collect::<Result<_, _>>()? })
        }
        Json::Object(object) => Kind::StructValue(to_struct(object)?),
    };
    Ok(Value { kind: Some(kind) })
}

fn to_f64(number: &Number) -> Result<f64, Inexact> {
    number.as_f64().filter(|_| is_exact(number)).ok_or_else(|| Inexact::new(number.to_string()))
}

/// A protobuf struct that somebody sent as a JSON object. Whole numbers become JSON integers.
///
/// # Errors
/// A number that JSON can't say: NaN, or an infinite one.
pub fn read_struct(fields: &Struct) -> Result<Map<String, Json>, Inexact> {
    match fields.fields.iter().find_map(|(key, value)| Some(not_finite(value)?.within(key))) {
        Some(inexact) => Err(inexact),
        None => Ok(from_struct(fields)),
    }
}

fn not_finite(value: &Value) -> Option<Inexact> {
    match &value.kind {
        Some(Kind::NumberValue(number)) => (!number.is_finite()).then(|| Inexact::new(number.to_string())),
        Some(Kind::ListValue(list)) => {
            list.values.iter().enumerate().find_map(|(index, item)| Some(not_finite(item)?.at(index)))
        }
        Some(Kind::StructValue(fields)) => {
            fields.fields.iter().find_map(|(key, value)| Some(not_finite(value)?.within(key)))
        }
        _ => None,
    }
}

/// A protobuf struct that plugd sent as a JSON object. Whole numbers become JSON integers; what JSON can't say (NaN), and
/// plugd never sends, becomes null.
#[must_use]
pub fn from_struct(fields: &Struct) -> Map<String, Json> {
    fields.fields.iter().map(|(key, value)| (key.clone(), from_value(value))).collect()
}

/// A protobuf value as a JSON value; see [`from_struct`].
#[must_use]
pub fn from_value(value: &Value) -> Json {
    // To make a value of what has only strings for keys can't fail.
    serde_json::to_value(Part(value)).unwrap_or_default()
}

/// A protobuf struct that plugd sent, which serialises as [`from_struct`] would, without that in between.
#[derive(Debug)]
pub struct Document(pub Struct);

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields.iter().map(|(key, value)| (key, Part(value))))
    }
}

/// A value in a [`Document`].
struct Part<'a>(&'a Value);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None | Some(Kind::NullValue(_)) => serializer.serialize_unit(),
            Some(Kind::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Kind::NumberValue(number)) => from_f64(*number).serialize(serializer),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::ListValue(list)) => serializer.collect_seq(list.values.iter().map(Part)),
            Some(Kind::StructValue(fields)) => {
                serializer.collect_map(fields.fields.iter().map(|(key, value)| (key, Part(value))))
            }
        }
    }
}

fn from_f64(value: f64) -> Json {
    let is_minus_zero = value == 0.0 && value.is_sign_negative();
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked on the same line")]
    if value.fract() == 0.0 && value.abs() <= EXACT as f64 && !is_minus_zero {
        return Json::from(value as i64);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests;
