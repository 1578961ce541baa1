//! What a form has done, told on the page that it leads to. It travels in a cookie, which lasts until that page is shown.

use axum::{
    http::{HeaderMap, HeaderValue, header::SET_COOKIE},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{guard::own_path, page::told};
use crate::{
    domain::text::shorten_to_bytes,
    rest::{Problem, cookie},
};

const COOKIE: &str = "plugd-notice";

/// Most bytes of a notice: a cookie may have 4,096, which is a third more than what it encodes.
const MAX: usize = 2048;

/// Something that was done, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) is_failure: bool,
    pub(super) text: String,
}

impl Notice {
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self { is_failure: false, text: text.into() }
    }

    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { is_failure: true, text: text.into() }
    }

    /// What was wrong, and what to do.
    pub(super) fn of(problem: &Problem) -> Self {
        Self::failed(format!("{} {}", sentence(problem.message()), problem.suggested()))
    }

    /// That something was done, in these words, or why it was not.
    ///
    /// # Errors
    /// The visitor may not do it at all.
    pub(super) fn told(done: Result<impl Into<String>, impl Into<Problem>>) -> Result<Self, Problem> {
        match done {
            Ok(words) => Ok(Self::done(words)),
            Err(problem) => Ok(Self::of(&told(problem)?)),
        }
    }

    /// The notice that came with a request.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cookie(headers, COOKIE)?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        match text.split_at_checked(1)? {
            ("+", text) => Some(Self::done(text)),
            ("-", text) => Some(Self::failed(text)),
            _ => None,
        }
    }

    /// The way to another page, which tells this.
    pub(super) fn on(&self, path: &str) -> Response {
        let sign = if self.is_failure { '-' } else { '+' };
        let text = shorten_to_bytes(&self.text, MAX - 1);
        let value = BASE64_URL_SAFE_NO_PAD.encode(format!("{sign}{text}"));
        let mut response = Redirect::to(own_path(path)).into_response();
        set_cookie(&mut response, &format!("{COOKIE}={value}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"));
        response
    }
}

/// Has the browser forget the notice, once it is shown.
pub(super) fn forget(response: &mut Response) {
    set_cookie(response, &format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
}

/// Has the browser keep a cookie, beside others.
pub(super) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The words with a capital and a full stop.
fn sentence(words: &str) -> String {
    let mut letters = words.trim_end_matches('.').chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use axum::http::header::{COOKIE as SENT, LOCATION};

    use super::*;

    /// The notice as the next page reads it.
    fn told(notice: &Notice) -> Option<Notice> {
        let response = notice.on("/plugins/x");
        assert_eq!(response.headers()[LOCATION], "/plugins/x");
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
        assert!(cookie.len() < 4096, "{}", cookie.len());
        let pair = cookie.split(';').next().unwrap();
        Notice::read(&[(SENT, pair.parse().unwrap())].into_iter().collect())
    }

    #[test]
    fn a_notice_is_told_on_the_next_page_whatever_is_in_it() {
        for notice in [Notice::done("“a”; b=c\r\nx"), Notice::failed("é<script>")] {
            assert_eq!(told(&notice), Some(notice));
        }
        let long = told(&Notice::failed("é".repeat(5000))).unwrap();
        assert!(long.text.ends_with('…') && long.text.len() <= MAX, "{}", long.text.len());
    }

    #[test]
    fn what_is_no_notice_is_none() {
        for value in ["", "!", "e30", "K8Mo"] {
            let headers = [(SENT, format!("{COOKIE}={value}").parse().unwrap())].into_iter().collect();
            assert_eq!(Notice::read(&headers), None, "{value:?}");
        }
    }
}
