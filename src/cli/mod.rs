//! The command line. Everything that talks to a server does so through the generated gRPC clients only.

mod apply;
mod audit;
mod backup;
mod bus;
mod client;
mod completions;
mod config;
mod dev;
mod doctor;
mod external;
mod failure;
mod follow;
mod global;
mod history;
mod hook;
mod install;
mod lifecycle;
mod logs;
mod new;
mod package;
mod policy;
mod serve;
mod server;
mod show;
mod token;
mod top;
mod ui;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    env,
    ffi::{OsStr, OsString},
    future::Future,
    process::ExitCode,
};

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};

use client::{Api, One};
use failure::{EXIT_CODES, Exit, Failure};
use global::{GlobalOptions, Output};
use ui::{Screen, Ui};

use crate::api::v1::ActiveState;

const EXAMPLES: &str = "\
Examples:
  plugd serve                              serve on 127.0.0.1:8000; the first start writes ./data/admin.token
  plugd new my-plugin && plugd dev my-plugin
  plugd install my-plugin --activate       a folder with a manifest, a package or the URL of one
  plugd list
  plugd logs -f my-plugin
  plugd watch -o json
`plugd COMMAND --help` has examples of each.";

/// A control plane for plugins: installs, starts, stops, restarts, configures and watches them.
#[derive(Debug, Parser)]
#[command(version, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), max_term_width = 120, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    options: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Client(Box<ClientCommand>),
    Serve(Box<serve::Serve>),
    Rest(Box<serve::Rest>),
    Doctor(Box<doctor::Doctor>),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Migrate(backup::Migrate),
    New(new::New),
    Validate(package::Validate),
    Package(package::Pack),
    Dev(Box<dev::Dev>),
    Completions(completions::Completions),
    Fetch(serve::Fetch),
}

/// Commands that need nothing but a server.
#[derive(Debug, Subcommand)]
enum ClientCommand {
    List(show::List),
    /// Show a plugin
    #[command(visible_alias = "status", after_help = "Examples:\n  plugd get my-plugin\n  plugd get my-plugin -o json")]
    Get(One),
    Install(install::Install),
    Update(install::Update),
    Apply(apply::Apply),
    Plan(apply::Show),
    Export(apply::Export),
    Rollback(install::Rollback),
    Download(install::Download),
    /// Start plugins, and keep them running
    #[command(after_help = "Examples:\n  plugd activate my-plugin --timeout 30s\n  plugd activate --all")]
    Activate(lifecycle::Change),
    /// Stop plugins
    #[command(after_help = "Examples:\n  plugd deactivate my-plugin other-plugin\n  plugd deactivate --all")]
    Deactivate(lifecycle::Change),
    /// Stop plugins and start them anew
    #[command(after_help = "Examples:\n  plugd restart my-plugin\n  plugd restart --all")]
    Restart(lifecycle::Change),
    /// Stop plugins and remove them with their files
    #[command(after_help = "Examples:\n  plugd delete my-plugin\n  plugd delete --all --yes")]
    Delete(lifecycle::Delete),
    Watch(watch::Watch),
    Top(top::TopCommand),
    History(history::History),
    Logs(logs::Logs),
    /// Read and write the configuration of a plugin
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Read and write what is decided about one plugin: its sandbox, its limits, its restarts
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    Register(external::Register),
    UpdateManifest(external::UpdateManifest),
    /// Give an external plugin a new token
    ///
    /// The old one stops working at once. Prints the new URL that the plugin dials, as a line for its environment.
    #[command(after_help = "Example:\n  plugd rotate-token my-plugin")]
    RotateToken(One),
    Publish(bus::Publish),
    Call(bus::Call),
    /// Create, list and revoke access tokens; make a new one for an administrator who lost theirs
    #[command(subcommand)]
    Token(token::Token),
    /// Create, list and delete webhooks: who is told when plugins come into a state
    #[command(subcommand)]
    Hook(hook::HookCommand),
    Audit(audit::Audit),
    Server(server::Server),
    Health(server::Health),
}

struct Context {
    api: Api,
    ui: Ui,
}

/// Is the keeper, or what `plugd doctor` needs, if this program was started as one of them: see `runtime::keeper` and
/// `doctor`.
pub fn run_helper() -> Option<ExitCode> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let role = arguments.first()?.to_str()?;
    let done = match (role, arguments.get(1).map(|task| task.to_string_lossy()), arguments.len()) {
        (crate::app::KEEPER, None, _) => crate::app::keeper(),
        (crate::doctor::BYSTANDER, None, _) => crate::doctor::bystander(),
        (crate::doctor::PROBE, Some(task), 2) => crate::doctor::probe(&task),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plugd {role}: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Parses the arguments; ends the process with help or a usage error (exit code 2) if they ask for it.
pub fn parse() -> Cli {
    completions::answer();
    let arguments: Vec<OsString> = env::args_os().collect();
    let mut command = command();
    let parsed = command.try_get_matches_from_mut(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed.and_then(Cli::without_contradiction) {
        Ok(cli) => Cli { options: cli.options.or_from(|name| env::var_os(name)), ..cli },
        Err(error) if error.use_stderr() => refuse(error.format(&mut command), &arguments),
        Err(error) => error.format(&mut command).exit(),
    }
}

/// The command line. `plugd dev` does not offer the settings that it refuses.
pub fn command() -> clap::Command {
    let offered = |arg: Arg| if dev::is_refused(arg.get_id().as_str()) { arg.hide(true) } else { arg };
    Cli::command().mut_subcommand("dev", |dev| dev.mut_args(offered))
}

fn wants_json(arguments: &[OsString]) -> bool {
    let is_option = |text: &OsStr| text == "-o" || text == "--output";
    let is_value = |text: &OsStr| text == "json";
    arguments.windows(2).any(|pair| is_option(&pair[0]) && is_value(&pair[1]))
        || arguments.iter().any(|one| one == "-ojson" || one == "--output=json")
}

/// Says what is wrong with the arguments, and ends the process.
fn refuse(error: clap::Error, arguments: &[OsString]) -> ! {
    let exit = if is_plan(arguments) { Exit::Failure } else { Exit::Usage };
    if wants_json(arguments) {
        refuse_in_json(&error, exit);
    } else {
        // Nobody may be there to read it.
        let _ = error.print();
    }
    std::process::exit(exit as i32)
}

/// Whether the arguments, which have a mistake in them, are those of `plugd plan`.
fn is_plan(arguments: &[OsString]) -> bool {
    let parsed = command().ignore_errors(true).try_get_matches_from(arguments);
    parsed.is_ok_and(|matches| matches.subcommand_name() == Some("plan"))
}

fn refuse_in_json(error: &clap::Error, exit: Exit) {
    let text = error.to_string();
    let what: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let ui = Ui::standard(&GlobalOptions { output: Output::Json, ..GlobalOptions::default() });
    let failure = Failure::new(what.join(" ").trim_start_matches("error: ")).exit(exit);
    ui.fail(&failure.hint("`plugd COMMAND --help` shows what it takes"));
}

impl Cli {
    /// The same, unless it has options that do not go together, which the parser does not know.
    fn without_contradiction(self) -> Result<Self, clap::Error> {
        match &self.command {
            Command::Dev(dev) if self.options.server.is_some() && !dev.external => {
                let words = "--server needs --external: without it, plugd dev has a server of its own";
                Err(clap::Error::raw(ErrorKind::ArgumentConflict, words))
            }
            _ => Ok(self),
        }
    }

    /// Does what the arguments say.
    pub fn run(self) -> ExitCode {
        crate::app::hear_signals();
        let options = self.options;
        let ui = Ui::standard(&options);
        // Before anything secret is read.
        if let Err(error) = crate::app::close_to_others() {
            ui.warn(&format!("other processes of this user can look into this one: {error}"));
        }
        let done = match self.command {
            Command::Client(command) => match *command {
                // A reset needs that no server runs.
                ClientCommand::Token(token::Token::Reset(reset)) => reset.run(&options, &ui),
                command @ ClientCommand::Plan(_) => {
                    in_many_threads(run_client(command, options, ui.clone())).map_err(Failure::of_plan)
                }
                command => in_many_threads(run_client(command, options, ui.clone())),
            },
            Command::Serve(serve) => return serving(&options, |screen| serve.run(&options, screen)),
            Command::Rest(rest) => return serving(&options, |screen| rest.run(screen)),
            Command::Dev(dev) => return serving(&options, |screen| dev.run(options.clone(), screen)),
            Command::Doctor(doctor) => doctor.run(&options, &ui),
            Command::Backup(backup) => backup.run(&options, &ui),
            Command::Restore(restore) => restore.run(&options, &ui),
            Command::Migrate(migrate) => migrate.run(&options, &ui),
            Command::New(new) => new.run(&ui),
            Command::Validate(validate) => validate.run(&ui),
            Command::Package(pack) => pack.run(&ui),
            Command::Completions(completions) => completions.run(&ui),
            Command::Fetch(fetch) => fetch.run(),
        };
        report(done, &ui)
    }
}

/// Runs a command that serves. It goes on, and ends, even if nobody reads what it prints.
fn serving(options: &GlobalOptions, work: impl FnOnce(&Screen) -> Result<(), Failure>) -> ExitCode {
    match Screen::start(options) {
        Ok(screen) => {
            let code = report(work(&screen), &screen.ui);
            screen.finish();
            code
        }
        Err(error) => report(Err(error.into()), &Ui::standard(options)),
    }
}

/// Prints why a command failed, and returns the code that scripts read. A reader that has gone away is no failure.
fn report(done: Result<(), Failure>, ui: &Ui) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe => ExitCode::SUCCESS,
        Err(failure) if failure.is_told => ExitCode::from(failure.exit as u8),
        Err(failure) => {
            ui.fail(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

async fn run_client(command: ClientCommand, options: GlobalOptions, ui: Ui) -> Result<(), Failure> {
    if options.insecure && options.server().starts_with("https://") {
        ui.warn("--insecure: whoever answers is believed, and gets the token");
    }
    let context = Context { api: Api::connect(&options).await?, ui };
    match Box::pin(command.run(&context)).await {
        Ok(()) => Ok(()),
        Err(failure) => Err(client::diagnose(&options, context.api.explain(failure)).await),
    }
}

impl ClientCommand {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Get(plugin) => show::get(context, &plugin).await,
            Self::Install(command) => command.run(context).await,
            Self::Update(command) => command.run(context).await,
            Self::Apply(command) => command.run(context).await,
            Self::Plan(command) => command.run(context).await,
            Self::Export(command) => command.run(context).await,
            Self::Rollback(command) => command.run(context).await,
            Self::Download(command) => command.run(context).await,
            Self::Activate(which) => which.set(context, ActiveState::Active, "activated").await,
            Self::Deactivate(which) => which.set(context, ActiveState::Inactive, "deactivated").await,
            Self::Restart(which) => which.restart(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Top(command) => command.run(context).await,
            Self::History(command) => command.run(context).await,
            Self::Logs(command) => command.run(context).await,
            Self::Config(command) => command.run(context).await,
            Self::Policy(command) => command.run(context).await,
            Self::Register(command) => command.run(context).await,
            Self::UpdateManifest(command) => command.run(context).await,
            Self::RotateToken(plugin) => external::rotate(context, &plugin).await,
            Self::Publish(command) => command.run(context).await,
            Self::Call(command) => command.run(context).await,
            Self::Token(command) => command.run(context).await,
            Self::Hook(command) => command.run(context).await,
            Self::Audit(audit) => audit.run(context).await,
            Self::Server(server) => server.run(context).await,
            Self::Health(health) => health.run(context).await,
        }
    }
}

/// How long threads may take to end once the work is done.
const UNWIND: std::time::Duration = std::time::Duration::from_millis(200);

/// Runs a command while other threads serve its connections: the command may block its own thread, to pack a large folder
/// or to read what a person types, which must not let a connection go silent until the server ends it.
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
