//! Which site a request comes from.

use axum::{
    extract::Request,
    http::{
        HeaderMap, Uri,
        header::{HOST, ORIGIN},
    },
};

use super::{Options, error::Problem};

/// The request's origin as its browser wrote it.
pub(super) fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN)?.to_str().ok()
}

/// Refuses a request that a page of another site may have caused: its origin must be this server's own or a listed one.
/// One without an origin can't prove where it comes from.
///
/// # Errors
/// 403.
pub(super) fn require_own_site(request: &Request, options: &Options) -> Result<(), Problem> {
    let origin = origin(request.headers()).ok_or_else(Problem::cross_site)?;
    let is_known = is_listed(origin, options) || is_own(origin, request);
    if is_known { Ok(()) } else { Err(Problem::cross_site()) }
}

/// Has the operator listed this origin?
pub(super) fn is_listed(origin: &str, options: &Options) -> bool {
    options.allowed_origins.iter().any(|listed| listed.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// Where the client of a request found this server. A proxy that speaks TLS for it says so, too. A host with other letters than
/// hosts have is not repeated: the address is pasted into shells.
pub(super) fn own(options: &Options, headers: &HeaderMap, uri: &Uri) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_encrypted = options.is_encrypted || text("x-forwarded-proto") == Some("https");
    let scheme = if is_encrypted { "https" } else { "http" };
    let host = text("host").or_else(|| uri.authority().map(|authority| authority.as_str()));
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".:-[]".contains(letter);
    let host = host.filter(|host| !host.is_empty() && host.chars().all(is_plain));
    format!("{scheme}://{}", host.unwrap_or("127.0.0.1:8000"))
}

/// The scheme can't be compared: a proxy may have spoken TLS for this server.
fn is_own(origin: &str, request: &Request) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let (Some((scheme, authority)), Some(host)) = (parts(origin), host) else { return false };
    authority == without_default_port(&scheme, host)
}

/// Scheme and authority of an absolute address, in lower case and without a port that the scheme implies.
fn parts(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = without_default_port(&scheme, uri.authority()?.as_str());
    Some((scheme, authority))
}

fn without_default_port(scheme: &str, authority: &str) -> String {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase()
}
