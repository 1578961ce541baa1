//! `plugd doctor`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use serde_json::json;

use super::{
    failure::Failure,
    global::GlobalOptions,
    in_many_threads,
    serve::{settings, with_data_dir},
    ui::{Cell, Style, Table, Ui},
};
use crate::{
    app::Examine,
    config::{Config, Flags},
    doctor::{self, Finding, Outcome},
};

/// What a script has to know.
const AFTER: &str = "\
Examples:
  plugd doctor --data-dir /var/lib/plugd
  plugd doctor --config plugd.toml --sandbox strict -o json

Exit codes: 0 if nothing failed, with warnings too (the outcome in the JSON tells them apart); 1 if something failed: plugd would \
not start, could not start plugins, or something does not hold that the settings promise; 2 if the settings are wrong.";

/// Look whether this host and the settings are good for plugd, and try whether plugins are shut in
///
/// It takes the flags, variables and file of `plugd serve`, and is to be run as the user who runs that, on the same host. It changes
/// nothing, and may be run while a plugd serves from the same data folder, or before there is one. A plugin of its own, started as
/// every plugin is, tries to read the administrator's token, to write outside of its folder, to trace and kill plugd, and more.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Doctor {
    /// File with settings
    #[arg(long, env = "PLUGD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags<Config>,
}

impl Doctor {
    pub(super) fn run(self, options: &GlobalOptions, ui: &Ui) -> Result<(), Failure> {
        let flags = with_data_dir(self.flags, options)?;
        let config: Config = settings(&flags, self.config.as_deref())?;
        in_many_threads(async {
            let findings = Box::pin(doctor::examine(&config, self.config.as_deref())).await;
            report(&findings, ui)
        })
    }
}

/// What a server does when it is asked to look at itself. `file` is where its settings were read from.
pub(super) fn examination(file: Option<PathBuf>) -> Examine {
    Arc::new(move |config| {
        let file = file.clone();
        Box::pin(async move { doctor::examine(&config, file.as_deref()).await })
    })
}

/// Prints what was found. That something failed is a failure.
pub(super) fn report(findings: &[Finding], ui: &Ui) -> Result<(), Failure> {
    let worst = doctor::worst(findings);
    if ui.is_json() {
        ui.json(&json!({ "outcome": worst, "findings": findings }))?;
    } else {
        table(findings).print(ui)?;
    }
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    match (worst, count(Outcome::Failure), count(Outcome::Warning)) {
        (Outcome::Ok, ..) => {}
        (Outcome::Warning, _, warnings) => ui.note(&format!("Nothing failed; warnings: {warnings}")),
        (Outcome::Failure, failures, _) => {
            let what = format!("{failures} of {} checks failed", findings.len());
            return Err(Failure::new(what).hint("each failure above is followed by what to do about it"));
        }
    }
    Ok(())
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["OUTCOME", "SUBJECT", "FOUND"]);
    for Finding { outcome, subject, found, remedy, .. } in findings {
        table.row([word(*outcome), subject.into(), found.into()]);
        if let Some(remedy) = remedy {
            table.row(["".into(), "".into(), Cell::styled(format!("-> {remedy}"), Style::Dim)]);
        }
    }
    table
}

fn word(outcome: Outcome) -> Cell {
    match outcome {
        Outcome::Ok => Cell::styled("ok", Style::Green),
        Outcome::Warning => Cell::styled("warning", Style::Yellow),
        Outcome::Failure => Cell::styled("failure", Style::Red),
    }
}
