//! What each HTTP status says by itself.

/// What an HTTP status says where nobody said more.
pub(super) struct Meaning {
    status: u16,
    pub(super) reason: &'static str,
    /// Suffix of the problem's type (CONTRACT 16).
    pub(super) kind: &'static str,
    pub(super) message: &'static str,
    pub(super) suggested: &'static str,
}

/// Successes too, for the OpenAPI document. The last one stands for any other.
#[rustfmt::skip]
const MEANINGS: [Meaning; 20] = [
    Meaning { status: 200, reason: "", kind: "", message: "it is done", suggested: "" },
    Meaning { status: 202, reason: "", kind: "", message: "it is stored, and not waited for", suggested: "" },
    Meaning { status: 204, reason: "", kind: "", message: "it is done; there is no body", suggested: "" },
    Meaning { status: 400, reason: "INVALID_ARGUMENT", kind: "invalid-argument", message: "the request is wrong, or the plugin's mode or state does not allow it", suggested: "Correct the request and send it again." },
    Meaning { status: 401, reason: "UNAUTHENTICATED", kind: "unauthenticated", message: "there is no valid credential in the request", suggested: "Send a token: \"Authorization: Bearer TOKEN\". The first one is in the file admin.token in plugd's data folder." },
    Meaning { status: 403, reason: "PERMISSION_DENIED", kind: "permission-denied", message: "the credential is not good for this, or a cookie came from another site", suggested: "Use a token with the role that this needs." },
    Meaning { status: 404, reason: "NOT_FOUND", kind: "not-found", message: "there is no such thing", suggested: "List the plugins to see what there is." },
    Meaning { status: 405, reason: "METHOD_NOT_ALLOWED", kind: "method-not-allowed", message: "this path has no such method", suggested: "See the Allow header for the methods." },
    Meaning { status: 408, reason: "TOO_SLOW", kind: "deadline-exceeded", message: "the body stopped coming", suggested: "Send the request again." },
    Meaning { status: 409, reason: "ABORTED", kind: "aborted", message: "a later call, or another change, came first", suggested: "Read the plugin to see what is desired now; call again if you still want something else." },
    Meaning { status: 410, reason: "OUT_OF_RANGE", kind: "out-of-range", message: "the cursor is of another store, or no longer kept", suggested: "Watch anew, without a cursor." },
    Meaning { status: 413, reason: "TOO_LARGE", kind: "too-large", message: "the request is larger than plugd takes", suggested: "Send less." },
    Meaning { status: 415, reason: "UNSUPPORTED_MEDIA_TYPE", kind: "unsupported-media-type", message: "the body has the wrong media type", suggested: "Send such a body, and name its type in the header Content-Type." },
    Meaning { status: 429, reason: "RESOURCE_EXHAUSTED", kind: "resource-exhausted", message: "there are too many requests", suggested: "Try again in a moment." },
    Meaning { status: 501, reason: "UNIMPLEMENTED", kind: "unimplemented", message: "this plugd does not have this operation", suggested: "Use a newer plugd." },
    Meaning { status: 502, reason: "PLUGIN_FAILED", kind: "cancelled", message: "the plugin failed; its logs say more", suggested: "Read plugd's log, and report it." },
    Meaning { status: 503, reason: "UNAVAILABLE", kind: "unavailable", message: "plugd is not ready, or does not answer", suggested: "Try again in a moment." },
    Meaning { status: 504, reason: "DEADLINE_EXCEEDED", kind: "deadline-exceeded", message: "plugd did not answer in time", suggested: "What was asked for may still happen; read the plugin to see." },
    Meaning { status: 500, reason: "INTERNAL", kind: "internal", message: "plugd has a defect; its log says more", suggested: "Read plugd's log, and report it." },
    Meaning { status: 0, reason: "INTERNAL", kind: "internal", message: "something else happened", suggested: "Read plugd's log, and report it." },
];

/// What a status says.
pub(super) fn meaning_of(status: u16) -> &'static Meaning {
    MEANINGS.iter().find(|meaning| meaning.status == status).unwrap_or(&MEANINGS[MEANINGS.len() - 1])
}

/// What a status means, for the OpenAPI document.
pub(in crate::rest) fn meaning(status: u16) -> &'static str {
    meaning_of(status).message
}
