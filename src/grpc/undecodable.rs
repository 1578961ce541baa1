//! Messages that the gRPC library could not read: it answers them by itself, INTERNAL and in the words of a machine. What
//! a client sent wrong is the client's to mend, and it is told how.

use axum::{extract::Request, middleware::Next, response::Response};
use tonic::{Code, Status};

use super::status::status;
use crate::domain::{Error, Reason, json};

/// How the library begins when the bytes of a message make no sense. Which fields lead there follows, the innermost first.
const UNDECODABLE: &str = "failed to decode Protobuf message: ";

/// How it ends when a message has more messages within messages than the library reads: a hundred.
const TOO_DEEP: &str = "recursion limit reached";

/// Messages that stand for JSON: what is within them has no name of its own.
const JSON: [&str; 3] = ["Struct", "Value", "ListValue"];

/// A layer that puts the answers of the library into plugd's words. plugd's own carry details.
pub async fn explained(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match Status::from_header_map(response.headers()).and_then(|status| explanation(&status)) {
        Some(error) => status(error).into_http::<tonic::body::Body>().map(axum::body::Body::new),
        None => response,
    }
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
    use super::*;

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
