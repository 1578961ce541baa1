//! The events of Storyden: their names, and what each carries (CONTRACT 12).
//!
//! The Python SDK drops an event with any other key, the Go SDK one with an id that is no xid, and neither answers. So
//! where an operator holds plugins to a catalogue, these events are held to their payloads when they are published.

use serde_json::{Map, Value};

use crate::domain::{Error, Result, events::EventCatalog, id::is_xid};

/// Events, and what each carries besides `event`. `X` is a canonical xid, `S` a text, `R` a [`REFERENCE`], `O` an object,
/// anything else one of these words; `?` stands behind what may be absent.
#[rustfmt::skip]
const SHAPES: [(&str, &str); 16] = [
    ("EventThreadPublished EventThreadUnpublished EventThreadUpdated EventThreadDeleted", "id:X"),
    ("EventThreadReplyCreated", "thread_id:X reply_id:X thread_author_id:X reply_author_id:X reply_to_author_id:X? \
                                 reply_to_target_id:X?"),
    ("EventThreadReplyDeleted EventThreadReplyUpdated EventThreadReplyPublished EventThreadReplyUnpublished",
     "thread_id:X reply_id:X"),
    ("EventPostLiked EventPostUnliked EventPostReacted EventPostUnreacted", "post_id:X root_post_id:X"),
    ("EventCategoryUpdated EventCategoryDeleted", "id:X slug:S"),
    ("EventMemberMentioned", "by:X source:R item:R"),
    ("EventNodeCreated EventNodeUpdated EventNodeDeleted EventNodePublished EventNodeSubmittedForReview \
      EventNodeUnpublished", "id:X slug:S"),
    ("EventNodeVersionDraftCreated EventNodeVersionDraftUpdated EventNodeVersionDraftDeleted \
      EventNodeVersionDraftApplied", "node_id:X node_slug:S version_id:S author_id:X"),
    ("EventAccountCreated EventAccountUpdated EventAccountSuspended EventAccountUnsuspended", "id:X"),
    ("EventModerationNoteCreated EventModerationNoteDeleted", "account_id:X note_id:X"),
    ("EventAccountWarned EventAccountWarningDeleted", "account_id:X author_id:X warning_id:S"),
    ("EventAccountWarningUpdated", "account_id:X author_id:X warning_id:S previous_reason:S reason:S"),
    ("EventReportCreated", "id:X target:R? reported_by:X?"),
    ("EventReportUpdated", "id:X status:submitted|acknowledged|resolved target:R? reported_by:X? handled_by:X?"),
    ("EventActivityCreated EventActivityUpdated EventActivityDeleted EventActivityPublished", "id:X"),
    ("EventSettingsUpdated", "settings:O"),
];

/// What points at something.
const REFERENCE: &str = "kind:post|thread|reply|node|collection|profile|event id:X";

/// The names of all events.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().flat_map(|(names, _)| names.split(' '))
}

/// The events of Storyden, and no others.
pub fn catalog() -> EventCatalog {
    EventCatalog::from_names(names())
}

/// The payload as plugins can read it: what is not documented is left out. Events that are not of Storyden carry what
/// they like.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field that is missing or malformed.
pub fn encode(event: &str, payload: Map<String, Value>) -> Result<Map<String, Value>> {
    let shape = SHAPES.iter().find(|(names, _)| names.split(' ').any(|name| name == event));
    match shape {
        Some((_, fields)) => read_object("payload", fields, payload),
        None => Ok(payload),
    }
}

fn read_object(at: &str, fields: &str, mut given: Map<String, Value>) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    for (key, kind) in fields.split(' ').filter_map(|field| field.split_once(':')) {
        let value = given.remove(key).unwrap_or_default();
        if value.is_null() && kind.ends_with('?') {
            continue;
        }
        let value = read_value(&format!("{at}.{key}"), kind.trim_end_matches('?'), value)?;
        object.insert(key.to_owned(), value);
    }
    Ok(object)
}

fn read_value(at: &str, kind: &str, value: Value) -> Result<Value> {
    let wanted = match (kind, value) {
        ("R", Value::Object(reference)) => return read_object(at, REFERENCE, reference).map(Value::Object),
        ("O", value @ Value::Object(_)) => return Ok(value),
        ("R" | "O", _) => "an object",
        ("X", Value::String(id)) if is_xid(&id) => return Ok(Value::String(id)),
        ("X", _) => "an xid",
        ("S", value @ Value::String(_)) => return Ok(value),
        ("S", _) => "a string",
        (words, Value::String(word)) if words.split('|').any(|known| known == word) => return Ok(Value::String(word)),
        (words, _) => words,
    };
    Err(Error::field(at, format!("must be {}", wanted.replace('|', " or "))))
}
