//! What every page passes but that for signing in: who looks at it, and for how long.

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};

use super::{live, page::address};
use crate::rest::{App, CONSOLE_COOKIE, Problem, identify, run};

/// Sends whoever has no good credential to sign in, and refuses forms of other sites. What a role may do is decided by the
/// service, which tells its audit trail.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let identified = match identify(&app, &[CONSOLE_COOKIE], request.headers(), request.extensions()).await {
        Ok(identified) => identified,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => return Ok(to_sign_in(&request)),
        Err(problem) => return Err(problem),
    };
    let refused = to_sign_in(&request);
    let response = run(&app, identified, request, next).await?;
    // A token that was revoked a moment ago is still known here; the service refuses it.
    Ok(if response.status() == StatusCode::UNAUTHORIZED { refused } else { response })
}

/// The way to sign in and back. A stream is refused instead: its page is what has to go there.
fn to_sign_in(request: &Request) -> Response {
    if live::is_wanted(request.headers()) {
        return Problem::of(StatusCode::UNAUTHORIZED).into_response();
    }
    // Over HTTP/2 the address has the server's name, too.
    let back = request.uri().path_and_query().filter(|_| request.method() == Method::GET).map(PathAndQuery::as_str);
    let back = back.filter(|back| *back != "/").map(|back| ("back", back));
    Redirect::to(&address("/sign-in", back)).into_response()
}

/// A path of this server that a form or a link says to go to; any other is the first page's.
pub(super) fn own_path(path: &str) -> &str {
    let is_own =
        path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && !path.contains(char::is_control);
    if is_own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in ["/", "/plugins/x?tab=logs", "/?q=a%20b"] {
            assert_eq!(own_path(path), path);
        }
        for path in [
            "",
            "x",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/x\r\nset-cookie: a=b",
            "/\t/evil.example",
        ] {
            assert_eq!(own_path(path), "/", "{path:?}");
        }
    }
}
