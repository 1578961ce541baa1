//! `plugd apply`, `plan` and `export`: plugins as files say that they should be.
//!
//! ```text
//!   files ──► Desired ─┐
//!                      ├─► plan (pure) ──► Steps ──► words, or calls
//!   server ─► Present ─┘
//! ```

mod calls;
mod carry_out;
mod desired;
mod environment;
mod export;
mod file;
mod plan;
mod present;
#[cfg(test)]
mod tests;
mod words;

use std::{
    env,
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

pub(super) use self::export::Export;
use self::{
    carry_out::carry_out,
    environment::Environment,
    plan::{Plan, plan},
    present::{fetch_packages, read_for},
};
use super::{
    Context,
    client::SETTLE,
    failure::{Exit, Failure},
    lifecycle::limited,
    usage,
};

const FORM: &str = "\
A file, YAML or JSON; what it does not say of a plugin is left as it is:
  plugins:
    - id: my-plugin                   # its manifest id
      package: ./my-plugin            # a folder or an archive, from the file's own folder; or a URL
      digest: sha256:…                # what the package must have; one at a URL is then fetched only if it is needed
      active: true
      configuration:                  # the whole of it; the plugin is started for it if need be
        greeting: Hello
        api-key: ${env:API_KEY}       # from the environment of this command; never printed
      policy:                         # the whole of it, in the words of `plugd policy set --help`
        limit-memory: 512MiB
    - id: other-plugin
      external: ./external.yaml       # a manifest, or the path of one";

/// The files that say what is desired.
#[derive(Debug, Args)]
struct Files {
    /// A file, a folder of files (.yaml, .yml, .json), or - for standard input; may be given several times
    #[arg(long = "file", short, value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,
    /// Delete the plugins that no file names, with their files; external ones are left
    #[arg(long)]
    prune: bool,
}

/// Make plugins what files say
///
/// Shows what is to be done, asks, and does it, several plugins at a time. What somebody else changes meanwhile is a conflict,
/// and is not overwritten. What failed is told for each plugin; the same command goes on from there, and does nothing where
/// all is as the files say.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:\n  plugd apply -f plugins.yaml\n  plugd apply -f plugins --prune --yes\n\n{FORM}"))]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
    /// How long each plugin may take, like 30s; at most 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = |text: &str| limited(text, SETTLE, "5m"))]
    timeout: Duration,
}

/// Show what `plugd apply` would do
///
/// Exits with 0 if there is nothing to do, and with 2 if there is something; a wrong command line is 1 here.
#[derive(Debug, Args)]
#[command(name = "plan", after_help = format!("Examples:\n  plugd plan -f plugins.yaml\n  plugd plan -f plugins -o json\n\n{FORM}"))]
pub(super) struct Show {
    #[command(flatten)]
    files: Files,
}

impl Files {
    /// Reads all files and the server, fetches what is at URLs, and compares. Nothing is changed.
    async fn plan(&self, context: &Context) -> Result<Plan, Failure> {
        let variable = |name: &str| env::var(name).ok();
        let mut environment = Environment::new(&variable);
        let mut desired = desired::read(file::read(&self.files)?, &mut environment)?;
        environment.finish()?;
        let present = read_for(&context.api, &desired).await?;
        fetch_packages(&mut desired, &present).await?;
        let plan = plan(&desired, &present, self.prune)?;
        for planned in &plan.plugins {
            planned.notes.iter().for_each(|note| context.ui.note(&format!("{}: {note}", planned.id)));
        }
        if !plan.spared.is_empty() {
            let ids = plan.spared.join(", ");
            context.ui.note(&format!("not deleted, as somebody else runs them: {ids}; `plugd delete ID` does it"));
        }
        Ok(plan)
    }

    /// Whether somebody can be asked: a terminal is there, and is not read for files.
    fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && self.files.iter().all(|path| path != Path::new("-"))
    }
}

fn show(context: &Context, plan: &Plan) -> Result<(), Failure> {
    if context.ui.is_json() {
        return Ok(context.ui.json(&plan.json())?);
    }
    if plan.plugins.is_empty() {
        context.ui.note("Nothing is to be done: all is as the files say.");
        return Ok(());
    }
    Ok(plan.lines(&context.ui).iter().try_for_each(|line| context.ui.line(line))?)
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let plan = self.files.plan(context).await?;
        show(context, &plan)?;
        if plan.plugins.is_empty() { Ok(()) } else { Err(Failure::told(Exit::TO_DO)) }
    }
}

impl Apply {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let plan = self.files.plan(context).await?;
        let is_told_by_what_is_done = context.ui.is_json() && self.yes;
        if plan.plugins.is_empty() || !is_told_by_what_is_done {
            show(context, &plan)?;
        }
        if plan.plugins.is_empty() {
            return Ok(());
        }
        if !self.yes {
            if context.ui.is_json() || !self.files.can_ask() {
                return Err(usage("nothing is done: there is nobody to ask").hint("say that you mean it with --yes"));
            }
            confirm(context, &plan, &mut io::stdin().lock())?;
        }
        carry_out(context, &plan, self.timeout).await?;
        if !context.ui.is_json() {
            context.ui.note("All is as the files say.");
        }
        Ok(())
    }
}

/// Asks whether this is to be done. Only a yes is one.
fn confirm(context: &Context, plan: &Plan, answers: &mut impl BufRead) -> Result<(), Failure> {
    let deleted: Vec<_> = plan.plugins.iter().filter(|planned| planned.is_deleted()).collect();
    let names: Vec<_> = deleted.iter().map(|planned| planned.id.as_str()).collect();
    let lost = if names.is_empty() { String::new() } else { format!("Deleted for good: {}. ", names.join(", ")) };
    context.ui.note(&format!("{lost}Shall this be done? Only `yes` is a yes."));
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("yes") { Ok(()) } else { Err(Failure::new("nothing is done")) }
}
