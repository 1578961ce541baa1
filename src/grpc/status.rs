//! The one place where an error becomes a gRPC status.

use std::collections::HashMap;

use axum::response::Response;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    api,
    domain::{Error, Reason, error::Violation, json, text::shorten_to_bytes},
};

/// Message and details of every status have fewer bytes than this together: a larger one breaks the call, and one
/// much larger the connection.
#[cfg(test)]
pub const MAX_STATUS_BYTES: usize = 4096;

/// The message is also part of the details, so it counts twice.
const MAX_MESSAGE: usize = 900;
/// Longest key and longest value of the metadata.
const MAX_METADATA_TEXT: usize = 200;
/// All metadata but the suggestion.
const MAX_METADATA: usize = 700;
/// All violations.
const MAX_VIOLATIONS: usize = 1000;
/// Longest path, and longest description, of a field at fault.
const MAX_VIOLATION_TEXT: usize = 300;
/// What an entry of a map or a list takes beside its texts.
const ENTRY: usize = 12;

impl From<Error> for Status {
    /// An error as a status: its kind as the code, its reason, metadata and suggestion as `google.rpc.ErrorInfo`, its
    /// violations as `google.rpc.BadRequest`, and when to try again as `google.rpc.RetryInfo`. Longer texts are cut, and
    /// violations beyond the room are counted.
    fn from(error: Error) -> Self {
        let mut details = ErrorDetails::with_error_info(error.reason.name(), api::ERROR_DOMAIN, metadata(&error));
        if !error.violations.is_empty() {
            details.set_bad_request(violations(&error.violations));
        }
        if error.retry_after.is_some() {
            details.set_retry_info(error.retry_after);
        }
        Self::with_error_details(error.reason.kind().into(), shorten_to_bytes(&error.message, MAX_MESSAGE), details)
    }
}

fn metadata(error: &Error) -> HashMap<String, String> {
    let mut room = MAX_METADATA;
    let cut = |(key, value): (&String, &String)| {
        (shorten_to_bytes(key, MAX_METADATA_TEXT), shorten_to_bytes(value, MAX_METADATA_TEXT))
    };
    let fits = |(key, value): &(String, String)| take(&mut room, key.len() + value.len());
    let suggested = (api::SUGGESTED.to_owned(), error.reason.suggestion().to_owned());
    error.metadata.iter().map(cut).filter(fits).chain([suggested]).collect()
}

fn violations(all: &[Violation]) -> Vec<FieldViolation> {
    let mut room = MAX_VIOLATIONS;
    let mut fields: Vec<_> = all
        .iter()
        .map(|one| {
            (shorten_to_bytes(&one.field, MAX_VIOLATION_TEXT), shorten_to_bytes(&one.description, MAX_VIOLATION_TEXT))
        })
        .take_while(|(field, description)| take(&mut room, field.len() + description.len()))
        .map(|(field, description)| FieldViolation::new(field, description))
        .collect();
    let left_out = all.len() - fields.len();
    if left_out > 0 {
        fields.push(FieldViolation::new("", format!("{left_out} more fields are at fault")));
    }
    fields
}

/// Takes room for an entry, if there is enough left.
fn take(room: &mut usize, bytes: usize) -> bool {
    let left = room.checked_sub(bytes + ENTRY);
    *room = left.unwrap_or(*room);
    left.is_some()
}

// What the gRPC library could not read it answers by itself, INTERNAL and in the words of a machine. What a client sent
// wrong is the client's to mend, and it is told how.

/// How the library begins when the bytes of a message make no sense. Which fields lead there follows, the innermost first.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

/// How it ends when a message has more messages within messages than the library reads: a hundred.
const TOO_DEEP: &str = "recursion limit reached";

/// Messages that stand for JSON: what is within them has no name of its own.
const JSON: [&str; 3] = ["Struct", "Value", "ListValue"];

/// An answer of the library in plugd's words. plugd's own carry details.
pub(super) fn explained(response: Response) -> Response {
    let failure = Status::from_header_map(response.headers());
    failure.and_then(|failure| explanation(&failure)).map_or(response, refusal)
}

/// An error as the answer to a call.
pub fn refusal(error: Error) -> Response {
    Status::from(error).into_http::<tonic::body::Body>().map(axum::body::Body::new)
}

/// The same for what ends a stream of messages.
pub(super) fn explain(failure: Status) -> Status {
    explanation(&failure).map_or(failure, Status::from)
}

fn explanation(failure: &Status) -> Option<Error> {
    match failure.code() {
        _ if !failure.details().is_empty() => None,
        Code::Internal => Some(undecodable(failure.message())),
        Code::OutOfRange => Some(Error::new(Reason::TooLarge, "the message is larger than plugd takes: 4 MiB")),
        _ => None,
    }
}

fn undecodable(words: &str) -> Error {
    let Some(stack) = words.strip_prefix(UNDECODABLE) else {
        return Error::new(Reason::InvalidArgument, format!("the message can't be read: {words}"));
    };
    let (places, problem) = stack.rsplit_once(": ").unwrap_or(("", stack));
    let fields = places.rsplit(": ").filter_map(|place| place.split_once('.'));
    let path: Vec<_> = fields.filter(|(message, _)| !JSON.contains(message)).map(|(_, field)| field).collect();
    let path = if path.is_empty() { "message".to_owned() } else { path.join(".") };
    match problem {
        TOO_DEEP => json::too_deep_in(&path),
        problem => {
            Error::field(path, format!("can't be decoded: {problem}; is it made from the same .proto as plugd?"))
        }
    }
}

#[cfg(test)]
mod tests;
