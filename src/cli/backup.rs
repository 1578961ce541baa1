//! `plugd backup`, `plugd restore` and `plugd migrate`, on the server's machine.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    global::GlobalOptions,
    in_many_threads, package,
    serve::{settings, with_data_dir},
    ui::{Ui, sanitize},
};
use crate::{
    app::{self, Contents},
    config::{Config, Flags},
};

/// Where a server has its data, for commands that do their work without it.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// File with the server's settings
    #[arg(long, env = "PLUGD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the server's database [env: PLUGD_DATABASE_URL] [default: the file plugd.db in the data folder]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Place {
    /// The settings of the server.
    pub(super) fn settings(self, options: &GlobalOptions) -> Result<Config, Failure> {
        let flags = with_data_dir(Flags::default(), options)?;
        let flags = self.database_url.into_iter().fold(flags, |flags, url| flags.with("database_url", url));
        settings(&flags, self.config.as_deref())
    }
}

/// Write all that a server stores into one file, while it runs or not
///
/// The file has the records at one revision, the packages, the tokens of external plugins and what access tokens are known
/// by; not the logs, and not what plugins wrote into their folders. It holds secrets: keep it as safe as the data folder.
/// Run this on the server's machine, as its user.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd backup --data-dir /var/lib/plugd plugd-$(date +%F).backup")]
pub(super) struct Backup {
    /// The file to be written
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

/// Bring what a backup has into a data folder and a database that are empty
///
/// The plugins have the same ids, configurations and tokens, and those that were active are started with the server. Access
/// tokens work as they did; watchers begin anew. The database may be of another kind than the one that the backup is of.
/// All of the file is checked before anything is written. Run this as the server's user, and start the server after it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd restore --data-dir /var/lib/plugd plugd-2026-11-30.backup\n  \
                        plugd restore --database-url postgres://plugd@db/plugd plugd-2026-11-30.backup")]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Move all that a server stores to another database, while the server does not run
///
/// The other database must be empty; the one that the server has stays as it is. Packages go along: into the data folder for a
/// file, into the database for PostgreSQL.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd migrate --data-dir /var/lib/plugd --to postgres://plugd@db/plugd\n  \
                  plugd migrate --database-url postgres://plugd@db/plugd --to sqlite://data/plugd.db")]
pub(super) struct Migrate {
    /// Address of the other database [env: PLUGD_MIGRATE_TO]
    #[arg(long, env = "PLUGD_MIGRATE_TO", hide_env_values = true, hide_env = true, value_name = "URL")]
    to: String,
    #[command(flatten)]
    place: Place,
}

impl Backup {
    pub(super) fn run(self, options: &GlobalOptions, ui: &Ui) -> Result<(), Failure> {
        if self.file.exists() && !self.force {
            return Err(package::exists(&self.file));
        }
        let config = self.place.settings(options)?;
        in_many_threads(async {
            let contents = Box::pin(app::back_up(&config, &self.file, self.force)).await?;
            let line = || format!("{}: {}", sanitize(&self.file.to_string_lossy()), words(&contents));
            let mut shown = json(&contents);
            shown["file"] = json!(self.file);
            Ok(ui.json_or(|| shown, line)?)
        })
    }
}

impl Restore {
    pub(super) fn run(self, options: &GlobalOptions, ui: &Ui) -> Result<(), Failure> {
        let config = self.place.settings(options)?;
        in_many_threads(async {
            let contents = Box::pin(app::restore(&config, &self.file)).await?;
            ui.json_or(|| json(&contents), || format!("restored {}, as of {}", words(&contents), contents.time))?;
            let token = config.data_dir.join(app::TOKEN_FILE);
            ui.note(&format!(
                "Access tokens work as they did then, but a backup has no secrets of them: put an administrator's into {}, or \
                 make a new one with `plugd token reset`. Then start plugd",
                token.display()
            ));
            Ok(())
        })
    }
}

impl Migrate {
    pub(super) fn run(self, options: &GlobalOptions, ui: &Ui) -> Result<(), Failure> {
        let config = self.place.settings(options)?;
        in_many_threads(async {
            let moved = Box::pin(app::migrate(&config, &self.to)).await?;
            let (plugins, packages, revision) = (moved.plugins, moved.packages, moved.revision);
            let shown = || json!({"plugins": plugins, "packages": packages, "revision": revision});
            let line = || format!("moved {plugins} plugins at revision {revision}, and {packages} packages");
            ui.json_or(shown, line)?;
            ui.note(
                "The old database was left as it is. Set the server's --database-url, or PLUGD_DATABASE_URL, to the address \
                 that --to had, then start plugd; watchers begin anew",
            );
            Ok(())
        })
    }
}

fn words(contents: &Contents) -> String {
    let (plugins, packages) = (contents.plugins(), contents.packages.len());
    format!("{plugins} plugins at revision {}, and {packages} packages", contents.standing.revision)
}

fn json(contents: &Contents) -> Value {
    json!({
        "plugd": contents.plugd,
        "time": contents.time,
        "revision": contents.standing.revision,
        "plugins": contents.plugins(),
        "packages": contents.packages.len(),
    })
}
