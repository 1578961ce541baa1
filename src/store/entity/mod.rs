//! The tables, one file each. Times are RFC 3339 text: exact to the nanosecond, the same on every database, and
//! readable. Ids are their text form. Digests are 32 raw bytes.

pub(super) mod access_token;
pub(super) mod configuration_history;
pub(super) mod document;
pub(super) mod journal;
pub(super) mod plugin;
pub(super) mod store;
