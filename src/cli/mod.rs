//! The command line. Everything that talks to a server does so through the generated gRPC clients only.

mod active;
mod client;
mod completions;
mod configuration;
mod delete;
mod dev;
mod download;
mod external;
mod failure;
mod follow;
mod get;
mod install;
mod list;
mod logs;
mod messages;
mod options;
mod package;
mod resolve;
mod rest;
mod retry;
mod serve;
mod shape;
mod signals;
mod table;
mod telemetry;
mod token;
mod transfer;
mod ui;
mod update;
mod watch;

#[cfg(test)]
mod tests;

use std::{future::Future, process::ExitCode};

use clap::{Parser, Subcommand};

use client::Api;
use failure::{EXIT_CODES, Exit, Failure};
use options::Options;
use ui::Ui;

/// A control plane for plugins: installs, starts, stops, restarts, configures and watches them.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, max_term_width = 120, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Serve gRPC, REST and the plugins' WebSocket
    Serve(Box<serve::Serve>),
    /// Serve REST in front of another plugd
    Rest(Box<rest::Rest>),
    /// Run a plugin from its folder, again each time that a file changes
    Dev(Box<dev::Dev>),
    /// Print completions for a shell
    Completions(completions::Completions),
    /// Watch over the processes of a server
    #[command(hide = true)]
    Warden,
}

/// Commands that need nothing but a server.
#[derive(Debug, Subcommand)]
enum ClientCommand {
    /// List the plugins
    List(list::List),
    /// Show a plugin
    Get(get::Get),
    /// Install a package, or a folder as a package
    Install(install::Install),
    /// Replace the package of a plugin
    Update(update::Update),
    /// Go back to the package before this one
    Rollback(update::Rollback),
    /// Fetch the package of a plugin
    Download(download::Download),
    /// Start a plugin, and keep it running
    Activate(active::Activate),
    /// Stop a plugin
    Deactivate(active::Deactivate),
    /// Stop a plugin and start it anew
    Restart(active::Restart),
    /// Stop a plugin and remove it with its files
    Delete(delete::Delete),
    /// Print each change of each plugin as it happens
    Watch(watch::Watch),
    /// Print what a plugin printed
    Logs(logs::Logs),
    /// Read and write the configuration of a plugin
    #[command(subcommand)]
    Config(configuration::Configuration),
    /// Register a plugin that somebody else runs
    Register(external::Register),
    /// Replace the manifest of an external plugin
    UpdateManifest(external::UpdateManifest),
    /// Give an external plugin a new token
    CycleToken(external::CycleToken),
    /// Publish an event to the plugins that consume it
    Publish(messages::Publish),
    /// Call a method of a plugin
    Call(messages::Call),
    /// Create, list and revoke access tokens
    #[command(subcommand)]
    Token(token::Token),
}

/// What a client command works with.
#[derive(Debug)]
struct Context {
    api: Api,
    ui: Ui,
}

/// Parses the arguments; ends the process with help or a usage error (exit code 2) if they ask for it.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

impl Cli {
    /// Does what the arguments say.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let ui = Ui::standard(&self.options);
        let done = match self.command {
            Command::Client(command) => in_one_thread(run_client(*command, self.options, ui.clone())),
            Command::Serve(serve) => serve.run(&self.options, &ui),
            Command::Rest(rest) => rest.run(&ui),
            Command::Dev(dev) => dev.run(self.options),
            Command::Completions(completions) => completions.run(&ui),
            Command::Warden => crate::app::warden().map_err(Failure::from),
        };
        report(done, &ui)
    }
}

/// Prints why a command failed, and returns the code that scripts read. A reader that has gone away is no failure.
fn report(done: Result<(), Failure>, ui: &Ui) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            ui.note(&failure.to_string());
            ExitCode::from(failure.exit as u8)
        }
    }
}

async fn run_client(command: ClientCommand, options: Options, ui: Ui) -> Result<(), Failure> {
    let context = Context { api: Api::connect(&options).await?, ui };
    Box::pin(command.run(&context)).await
}

impl ClientCommand {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Install(command) => command.run(context).await,
            Self::Update(command) => command.run(context).await,
            Self::Rollback(command) => command.run(context).await,
            Self::Download(command) => command.run(context).await,
            Self::Activate(command) => command.run(context).await,
            Self::Deactivate(command) => command.run(context).await,
            Self::Restart(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Config(command) => command.run(context).await,
            Self::Register(command) => command.run(context).await,
            Self::UpdateManifest(command) => command.run(context).await,
            Self::CycleToken(command) => command.run(context).await,
            Self::Publish(command) => command.run(context).await,
            Self::Call(command) => command.run(context).await,
            Self::Token(command) => command.run(context).await,
        }
    }
}

fn in_one_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// How long threads may take to end once the work is done.
const UNWIND: std::time::Duration = std::time::Duration::from_millis(200);

fn in_many_threads(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // A thread that a dead disk holds does not hold plugd.
    runtime.shutdown_timeout(UNWIND);
    done
}

/// A failure of the command line itself, as `--after is no cursor`.
fn usage(what: impl Into<String>) -> Failure {
    Failure::new(what).exit(Exit::Usage)
}
