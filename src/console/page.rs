//! What a page is made of, and who looks at it.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use maud::Markup;

use super::{
    layout, live,
    notice::{self, Notice},
};
use crate::{
    api::v1::{Role, WatchStateRequest},
    rest::{Api, App, Problem},
};

/// The parts of the console, as its navigation shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Plugins,
    Install,
    Logs,
    Activity,
    Tokens,
    Server,
}

/// A part of a page with an id. What is not fixed is sent again when it has changed.
pub(super) struct Fragment {
    pub(super) id: &'static str,
    pub(super) is_fixed: bool,
    pub(super) markup: Markup,
}

/// A page: its parts, from its top to its end.
pub(super) struct Page {
    pub(super) section: Section,
    pub(super) title: String,
    pub(super) fragments: Vec<Fragment>,
    /// Whether the browser is to follow it.
    pub(super) is_live: bool,
}

impl Page {
    pub(super) fn new(section: Section, title: impl Into<String>) -> Self {
        Self { section, title: title.into(), fragments: Vec::new(), is_live: false }
    }

    /// With a part that stays as it is while the page is looked at: what people write into, above all.
    pub(super) fn fixed(mut self, id: &'static str, markup: Markup) -> Self {
        self.fragments.push(Fragment { id, is_fixed: true, markup });
        self
    }

    /// With a part that follows what it shows.
    pub(super) fn live(mut self, id: &'static str, markup: Markup) -> Self {
        self.fragments.push(Fragment { id, is_fixed: false, markup });
        self
    }
}

/// Who looks at a page, and how.
pub(super) struct Visit {
    /// The API as the visitor has it.
    pub(super) api: Arc<Api>,
    /// The page's address at this server, with its query.
    pub(super) path: String,
    notice: Option<Notice>,
    /// Whether this is the page's stream rather than the page.
    pub(super) is_live: bool,
}

impl FromRequestParts<App> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let api = Arc::new(Api::from_request_parts(parts, app).await?);
        let path = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        let (notice, is_live) = (Notice::read(&parts.headers), live::is_wanted(&parts.headers));
        Ok(Self { api, path, notice, is_live })
    }
}

impl Visit {
    /// The page that `make` makes, or its changes as a stream: it is made again when a plugin changes that is watched, and now and
    /// then.
    ///
    /// # Errors
    /// What `make` says.
    pub(super) async fn show<F>(
        self,
        watched: WatchStateRequest,
        make: impl Fn(Arc<Api>) -> F + Send + 'static,
    ) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Page, Problem>> + Send + 'static,
    {
        if self.is_live {
            return live::stream(self.api, watched, make).await;
        }
        let page = make(Arc::clone(&self.api)).await?;
        Ok(self.page(Page { is_live: true, ..page }))
    }

    /// Tells this at the top of the page.
    pub(super) fn telling(self, notice: Notice) -> Self {
        Self { notice: Some(notice), ..self }
    }

    /// This page, once.
    pub(super) fn page(self, page: Page) -> Response {
        let mut response = layout::page(&self.api.token, &page, self.notice.as_ref()).into_response();
        if self.notice.is_some() {
            notice::forget(&mut response);
        }
        response
    }
}

/// A problem that is told beside a form. That the visitor may not do it at all is an answer of its own.
///
/// # Errors
/// It is that.
pub(super) fn told(problem: impl Into<Problem>) -> Result<Problem, Problem> {
    let problem = problem.into();
    if problem.status() == StatusCode::FORBIDDEN { Err(problem) } else { Ok(problem) }
}

/// Whether the visitor may change what is shown. The service decides; this is for what is offered.
pub(super) fn may_write(api: &Api) -> bool {
    api.token.role() == Role::Admin
}
