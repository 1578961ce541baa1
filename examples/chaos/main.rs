//! A plugin that misbehaves on purpose, in the way that its arguments name. The tests install it; `--help` lists the ways.
//!
//! It takes arguments and no variables, because plugd passes on a manifest's `args` but not its own environment.

mod beat;
mod children;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod mode;
mod output;
mod plugin;
mod wire;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use common::{log, run, stop_on_signal};
use mode::{Args, Mode};
use plugin::Tame;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log(format_args!("pid {}", std::process::id()));
    match misbehave(Args::parse().mode).await {
        Ok(code) => code,
        Err(error) => {
            log(error);
            ExitCode::FAILURE
        }
    }
}

async fn misbehave(mode: Mode) -> anyhow::Result<ExitCode> {
    match mode {
        Mode::Exit { code } => return Ok(ExitCode::from(code)),
        Mode::Hang => stop_on_signal()?.cancelled().await,
        Mode::Linger { new_session } => children::linger(new_session).await?,
        Mode::Stubborn => stubborn().await?,
        Mode::HalfFrame => wire::half_frame(&stop_on_signal()?).await?,
        Mode::Reconnect { after } => wire::reconnect(Duration::from_millis(after), &stop_on_signal()?).await?,
        connecting => {
            let tame = prepare(connecting)?;
            run(Arc::new(tame), stop_on_signal()?).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what is done beside a connection, and returns the plugin that connects.
fn prepare(mode: Mode) -> anyhow::Result<Tame> {
    match mode {
        Mode::CrashAfter { after, signal } => crash::later(Duration::from_millis(after), signal),
        Mode::CrashOnce { marker } => crash::once(&marker)?,
        Mode::Beat { file } => beat::keep(&file)?,
        Mode::Grandchild => children::spawn(false)?,
        Mode::OrphanSetsid => children::spawn(true)?,
        Mode::FloodLogs { lines } => output::flood(lines),
        Mode::PrintEnv => output::environment(),
        Mode::BigFrame { bytes } => return Ok(Tame::sending(bytes)),
        Mode::Ask { method } => return Ok(Tame::asking(method)),
        Mode::Deaf => return Ok(Tame::answering_after(Duration::MAX)),
        Mode::Slow { after } => return Ok(Tame::answering_after(Duration::from_millis(after))),
        _ => {}
    }
    Ok(Tame::default())
}

async fn stubborn() -> anyhow::Result<()> {
    children::ignore_signals()?;
    run(Arc::new(Tame::default()), CancellationToken::new()).await?;
    // The connection is gone, and this process stays all the same.
    children::outstay().await;
    Ok(())
}
