//! The rows of the table of operations: what the router does and the OpenAPI document says.

use std::{collections::BTreeSet, time::Duration};

use axum::{
    handler::Handler,
    http::Method,
    middleware,
    routing::{MethodFilter, MethodRouter, on},
};
use serde_json::Value;

use super::{
    App,
    body::JSON,
    guard::{self, Access, Guard},
    path,
};

/// Time until the response of an operation that changes nothing slow begins.
const QUICK: Duration = Duration::from_secs(30);

/// Time until the response of an operation that waits for a plugin to settle begins: the five minutes of the service,
/// and some more so that it answers first.
const SETTLING: Duration = Duration::from_secs(330);

/// Time until the response of an operation that takes an archive begins: five minutes in which it may wait its turn, the ten
/// that its bytes may take, and those in which the plugin settles.
const TRANSFERRING: Duration = Duration::from_secs(300 + 600 + 330);

/// Operations that belong together.
pub(super) struct Group {
    /// Its name.
    pub(super) name: &'static str,
    /// What they are for.
    pub(super) description: &'static str,
    /// They.
    pub(super) operations: Vec<Operation>,
}

impl Group {
    /// These under this name.
    pub(super) fn new(name: &'static str, description: &'static str, operations: Vec<Operation>) -> Self {
        Self { name, description, operations }
    }
}

/// One operation: how it is reached, what it needs, what it may answer.
pub(super) struct Operation {
    /// Its stable name.
    pub(super) id: &'static str,
    /// Its method.
    pub(super) method: Method,
    /// Its path, with parameters in braces.
    pub(super) path: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// What it needs of its caller.
    pub(super) access: Access,
    /// Its parameters beside those in the path, as OpenAPI has them.
    pub(super) parameters: Vec<Value>,
    /// Bodies that it takes: media type and name of the schema.
    pub(super) bodies: Vec<(&'static str, &'static str)>,
    /// What it answers when it succeeds.
    pub(super) successes: Vec<Success>,
    errors: BTreeSet<u16>,
    deadline: Duration,
    route: MethodRouter<App>,
}

/// One successful answer.
pub(super) struct Success {
    /// HTTP status.
    pub(super) status: u16,
    /// Media type and name of the schema; nothing for no body.
    pub(super) content: Option<(&'static str, &'static str)>,
    /// Names of the headers worth knowing.
    pub(super) headers: &'static [&'static str],
}

impl Operation {
    /// `GET` of a path.
    pub(super) fn get<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, App>) -> Self {
        Self::new(Method::GET, path, id, on(MethodFilter::GET, handler))
    }

    /// `POST` to a path.
    pub(super) fn post<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, App>) -> Self {
        Self::new(Method::POST, path, id, on(MethodFilter::POST, handler))
    }

    /// `PATCH` of a path.
    pub(super) fn patch<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, App>) -> Self {
        Self::new(Method::PATCH, path, id, on(MethodFilter::PATCH, handler))
    }

    /// `DELETE` of a path.
    pub(super) fn delete<T: 'static>(path: &'static str, id: &'static str, handler: impl Handler<T, App>) -> Self {
        Self::new(Method::DELETE, path, id, on(MethodFilter::DELETE, handler))
    }

    /// Reads need a credential that may read, and anything else one that may write, unless said otherwise.
    fn new(method: Method, path: &'static str, id: &'static str, route: MethodRouter<App>) -> Self {
        let access = if method == Method::GET { Access::Read } else { Access::Write };
        Self {
            id,
            method,
            path,
            summary: "",
            access,
            parameters: Vec::new(),
            bodies: Vec::new(),
            successes: Vec::new(),
            errors: BTreeSet::new(),
            deadline: QUICK,
            route,
        }
    }

    /// What it does, in a sentence.
    pub(super) fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// It needs no credential.
    pub(super) fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    /// It waits for a plugin, which may fail or be superseded.
    pub(super) fn settles(mut self) -> Self {
        self.errors.extend([400, 409, 502]);
        self.slow()
    }

    /// It may take longer than a read.
    pub(super) fn slow(mut self) -> Self {
        self.deadline = SETTLING;
        self
    }

    /// It takes an archive, which may come slowly.
    pub(super) fn transfers(mut self) -> Self {
        self.deadline = TRANSFERRING;
        self
    }

    /// It takes this parameter.
    pub(super) fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// It takes a body of this media type and schema.
    pub(super) fn takes(mut self, media: &'static str, schema: &'static str) -> Self {
        self.bodies.push((media, schema));
        self
    }

    /// It answers with this status and JSON of this schema.
    pub(super) fn answers(self, status: u16, schema: &'static str) -> Self {
        self.answers_with(Success { status, content: Some((JSON, schema)), headers: &[] })
    }

    /// It answers so.
    pub(super) fn answers_with(mut self, success: Success) -> Self {
        self.successes.push(success);
        self
    }

    /// It answers 202 with the plugin when the client prefers not to wait.
    pub(super) fn answers_asynchronously(self) -> Self {
        let success = Success { status: 202, content: Some((JSON, "Plugin")), headers: &["Preference-Applied"] };
        self.parameter(super::schemas::prefer()).answers_with(success)
    }

    /// It may answer with this error, beside those that follow from the rest of the row.
    pub(super) fn fails(mut self, status: u16) -> Self {
        self.errors.insert(status);
        self
    }

    /// Does its path name a plugin?
    pub(super) fn has_plugin_id(&self) -> bool {
        self.path.contains(path::PARAMETER)
    }

    /// Every error status that it may answer with.
    pub(super) fn errors(&self) -> BTreeSet<u16> {
        let mut errors = self.errors.clone();
        if !self.access.is_public() {
            errors.extend([401, 403, 429, 500, 501, 503, 504]);
        }
        if self.has_plugin_id() {
            errors.insert(404);
        }
        if self.has_plugin_id() && self.access == Access::Write {
            errors.insert(409);
        }
        if !self.bodies.is_empty() {
            errors.extend([400, 408, 413, 415]);
        }
        errors
    }

    /// Its path and its guarded handler.
    pub(super) fn into_route(self, app: &App) -> (&'static str, MethodRouter<App>) {
        let guard = Guard { app: app.clone(), access: self.access, deadline: self.deadline };
        (self.path, self.route.route_layer(middleware::from_fn_with_state(guard, guard::guard)))
    }
}
