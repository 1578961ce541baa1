//! The console: pages for people, rendered here, live by server-sent events.
//!
//! It talks to the same generated clients as `rest`, so that `plugd rest` serves it too. Every form works without JavaScript; the
//! modules in `assets` make it quicker and live.
//!
//! ```text
//! request ─► render ─► guard ─► handler ─► rest::Backend ─► gRPC
//!              │         └ who looks? a form of another site? a deadline
//!              └ a Problem becomes a page; headers of every answer
//! ```
//!
//! - **A page** is a function that makes a [`page::Page`] from answers of the API. Its fragments are made anew and sent to the browser
//!   when something changes: see `live`.
//! - **A form** is posted, done, and answered with the way to a page (303) and a [`notice`] for it.
//! - **What it looks like** is in `assets/console.css`, which has a variable for each colour, twice: light and dark.

mod activity;
mod assets;
mod fault;
mod form;
mod guard;
mod hooks;
mod install;
mod list;
mod live;
mod logs;
mod manifest;
mod notice;
mod page;
mod plugin;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod usage;

use axum::{
    Router, middleware,
    response::Redirect,
    routing::{get, post},
};

use crate::rest::App;

/// The router of the console's pages.
pub fn router(app: App) -> Router {
    let guarded = Router::new()
        .route("/", get(list::show))
        // Whoever asks again for the answer to its form gets the list.
        .route("/plugins", get(|| async { Redirect::to("/") }).post(list::change))
        .merge(install::routes())
        .merge(plugin::routes())
        .route("/logs", get(logs::show))
        .route("/logs/stream", get(logs::follow))
        .route("/logs/download", get(logs::download))
        .route("/activity", get(activity::show))
        .route("/tokens", get(tokens::show).post(tokens::create))
        .route("/tokens/link", post(tokens::create_link))
        .route("/tokens/revoke", get(tokens::ask).post(tokens::revoke))
        .route("/hooks", get(hooks::show).post(hooks::create))
        .route("/hooks/change", post(hooks::change))
        .route("/server", get(server::show))
        .route("/server/doctor", post(server::examine))
        .route("/sign-out", post(session::sign_out))
        .route_layer(middleware::from_fn_with_state(app.clone(), guard::guard));
    let open = Router::new()
        .route("/sign-in", get(session::ask).post(session::sign_in))
        .route("/assets/{file}", get(assets::get));
    guarded.merge(open).layer(middleware::from_fn(fault::render)).with_state(app)
}
