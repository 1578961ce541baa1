//! The files that pages refer to, which are part of the program.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use crate::rest::Problem;

struct Asset {
    name: &'static str,
    media: &'static str,
    body: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 6] = [
    Asset { name: "console.css", media: "text/css; charset=utf-8", body: include_str!("assets/console.css") },
    Asset { name: "icon.svg", media: "image/svg+xml", body: include_str!("assets/icon.svg") },
    Asset { name: "console.js", media: SCRIPT, body: include_str!("assets/console.js") },
    Asset { name: "fragments.js", media: SCRIPT, body: include_str!("assets/fragments.js") },
    Asset { name: "forms.js", media: SCRIPT, body: include_str!("assets/forms.js") },
    Asset { name: "logs.js", media: SCRIPT, body: include_str!("assets/logs.js") },
];

/// What tells this build's files from another's: browsers ask each time whether they have these.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let all = ASSETS.iter().fold(Sha256::new(), |hash, asset| hash.chain_update(asset.body));
    let hash: String = all.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
});

pub(super) async fn get(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == file).ok_or_else(Problem::no_route)?;
    let kept = [(ETAG, TAG.as_str()), (CACHE_CONTROL, "no-cache")];
    let is_known = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == TAG.as_bytes());
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, [(CONTENT_TYPE, asset.media)], asset.body).into_response())
}
