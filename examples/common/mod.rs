//! What the example plugins share: the plugin protocol over a WebSocket (CONTRACT 10 and 11).
//!
//! A plugin implements [`Plugin`] and calls [`run`]; everything else here serves these two.

mod address;
mod envelope;
mod log;
mod run;
mod session;
mod signals;

pub(crate) use address::Address;
pub(crate) use envelope::{Failure, Fields, Request, fields};
pub(crate) use log::log;
pub(crate) use run::run;
pub(crate) use session::{Ended, Host, Plugin, serve};
pub(crate) use signals::stop_on_signal;
