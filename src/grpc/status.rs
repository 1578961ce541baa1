//! The one place where an error becomes a gRPC status.

use std::collections::HashMap;

use axum::response::Response;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    api,
    domain::{
        Error, Reason,
        error::{Kind, Violation},
        json,
        text::shorten_to_bytes,
    },
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

/// An error as a status: its kind as the code, its reason, metadata and suggestion as `google.rpc.ErrorInfo`, and its
/// violations as `google.rpc.BadRequest`. Longer texts are cut, and violations beyond the room are counted.
pub fn status(error: Error) -> Status {
    let mut details = ErrorDetails::with_error_info(error.reason.name(), api::ERROR_DOMAIN, metadata(&error));
    if !error.violations.is_empty() {
        details.set_bad_request(violations(&error.violations));
    }
    Status::with_error_details(code(error.reason.kind()), shorten_to_bytes(&error.message, MAX_MESSAGE), details)
}

fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::Internal => Code::Internal,
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

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        status(error)
    }
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
pub(super) fn refusal(error: Error) -> Response {
    status(error).into_http::<tonic::body::Body>().map(axum::body::Body::new)
}

/// The same for what ends a stream of messages.
pub(super) fn explain(failure: Status) -> Status {
    explanation(&failure).map_or(failure, status)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Programs switch on reasons, and their authors have only the API's descriptions.
    #[test]
    fn every_reason_is_named_in_the_description_of_the_api() {
        const DESCRIPTIONS: [&str; 6] = [
            include_str!("../../proto/plugd/v1/access.proto"),
            include_str!("../../proto/plugd/v1/bus.proto"),
            include_str!("../../proto/plugd/v1/configuration.proto"),
            include_str!("../../proto/plugd/v1/log.proto"),
            include_str!("../../proto/plugd/v1/package.proto"),
            include_str!("../../proto/plugd/v1/plugin.proto"),
        ];
        let is_named = |reason: &&Reason| DESCRIPTIONS.iter().any(|text| text.contains(reason.name()));
        let unnamed: Vec<_> = Reason::ALL.iter().filter(|reason| !is_named(reason)).collect();
        assert_eq!(unnamed, Vec::<&Reason>::new());
    }

    #[test]
    fn a_status_carries_the_reason_the_metadata_and_what_to_do() {
        let status = status(Error::plugin_not_found("nope"));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "there is no plugin \"nope\"");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("PLUGIN_NOT_FOUND", api::ERROR_DOMAIN));
        assert_eq!(info.metadata["plugin_id"], "nope");
        assert_eq!(info.metadata[api::SUGGESTED], Reason::PluginNotFound.suggestion());
        assert!(status.get_details_bad_request().is_none());
    }

    #[test]
    fn a_field_at_fault_is_a_violation() {
        let status = status(Error::field("page_size", "must be 1 to 1000"));
        let request = status.get_details_bad_request().unwrap();
        assert_eq!(request.field_violations[0].field, "page_size");
        assert_eq!(request.field_violations[0].description, "must be 1 to 1000");
    }

    #[test]
    fn violations_that_do_not_fit_are_counted() {
        let mut error = Error::field("manifest", "is wrong");
        error.violations = vec![Violation { field: "f".repeat(100), description: "d".repeat(100) }; 50];
        let fields = status(error).get_details_bad_request().unwrap().field_violations;
        assert_eq!(fields.len(), 5);
        assert_eq!(fields[4].description, "46 more fields are at fault");
    }

    fn size(status: &Status) -> usize {
        status.message().len() + status.details().len()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_status_is_larger_than_allowed(
            message in "[aé€😀]{0,1200}",
            metadata in proptest::collection::btree_map("[a-zé]{0,200}", "[a€]{0,200}", 0..9),
            fields in proptest::collection::vec(("[a.é]{0,300}", "[b€]{0,300}"), 0..9),
        ) {
            let violations = fields.into_iter().map(|(field, description)| Violation { field, description }).collect();
            let longest = Reason::ManifestIdMismatch;
            let status = status(Error { reason: longest, message, violations, metadata });
            prop_assert!(size(&status) < MAX_STATUS_BYTES, "{}", size(&status));
            prop_assert_eq!(&status.get_details_error_info().unwrap().reason, longest.name());
        }
    }

    #[test]
    fn many_small_entries_stay_under_the_limit_too() {
        let mut error = Error::new(Reason::Unauthenticated, "x".repeat(5000));
        error.metadata = (0..1000).map(|number| (format!("{number}"), String::new())).collect();
        error.violations = vec![Violation { field: "f".into(), description: String::new() }; 5000];
        assert!(size(&status(error)) < MAX_STATUS_BYTES);
    }

    #[test]
    fn the_field_that_can_not_be_decoded_is_named() {
        for (words, field, description) in [
            (
                "CallPluginRequest.plugin_id: invalid string value",
                "plugin_id",
                "can't be decoded: invalid string value",
            ),
            (
                "Part.header: UpdatePackageRequest.part: buffer underflow",
                "part.header",
                "can't be decoded: buffer underflow",
            ),
            (
                "Struct.fields: Value.kind: CallPluginRequest.params: recursion limit reached",
                "params",
                "is nested deeper",
            ),
            ("invalid varint", "message", "can't be decoded: invalid varint"),
        ] {
            let error = undecodable(&format!("{UNDECODABLE}{words}"));
            assert_eq!((error.reason, error.violations[0].field.as_str()), (Reason::InvalidArgument, field));
            assert!(error.message.contains(description), "{}", error.message);
        }
    }

    #[test]
    fn what_plugd_said_itself_is_left_as_it_is() {
        assert!(explanation(&status(Error::new(Reason::Internal, "a defect"))).is_none());
        assert!(explanation(&Status::not_found("unknown service")).is_none());
        assert_eq!(explanation(&Status::internal("Missing request message.")).unwrap().reason, Reason::InvalidArgument);
        assert_eq!(explanation(&Status::out_of_range("too large")).unwrap().reason, Reason::TooLarge);
    }
}
