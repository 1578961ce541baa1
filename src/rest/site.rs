//! Which site a request comes from.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderName, Uri,
        header::{HOST, ORIGIN},
    },
};

use super::{Options, error::Problem};

/// Where a request comes from, as its browser sees it (W3C Fetch Metadata). Pages can't set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The request's origin as its browser wrote it.
pub(super) fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN)?.to_str().ok()
}

/// Refuses what a page of another site may have caused with its user's cookie. Browsers say it themselves: in
/// `Sec-Fetch-Site`, where only this server's own pages pass and what no page caused; those that do not send it, in
/// `Origin`, which must be this server's own or a listed one. A request with neither is no browser's (CONTRACT, "Writes with
/// the cookie").
///
/// # Errors
/// 403.
pub(super) fn require_own_site(request: &Request, options: &Options) -> Result<(), Problem> {
    let headers = request.headers();
    if headers.contains_key(SEC_FETCH_SITE) {
        let is_own = all(headers, &SEC_FETCH_SITE, |site| matches!(site, "same-origin" | "none"));
        return if is_own { Ok(()) } else { Err(Problem::cross_site("Sec-Fetch-Site")) };
    }
    let is_known = all(headers, &ORIGIN, |origin| is_listed(origin, options) || is_own(origin, request));
    if is_known { Ok(()) } else { Err(Problem::cross_site("Origin")) }
}

/// Do all values of a header pass? There may be none; one that is no text does not.
fn all(headers: &HeaderMap, name: &HeaderName, passes: impl Fn(&str) -> bool) -> bool {
    headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(&passes))
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
