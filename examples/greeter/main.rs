//! A complete small plugin: it greets every thread that is published.
//!
//! It speaks the plugin protocol over a WebSocket, keeps the configuration that plugd gives it, answers pings, and
//! stops when it is asked to. Run by plugd it finds the address in its environment; run by hand as an external plugin it
//! wants `PLUGD_RPC_URL`, and then survives a restart of plugd.

#[path = "../common/mod.rs"]
mod common;
mod greeter;
mod settings;

use std::{process::ExitCode, sync::Arc};

use common::{log, run, stop_on_signal};
use greeter::Greeter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(error);
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    run(Arc::new(Greeter::new()), stop_on_signal()?).await
}
