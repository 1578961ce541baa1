//! `plugd token`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{
    Context,
    backup::Place,
    client::{Api, QUICK, only, pages, present},
    failure::Failure,
    global::GlobalOptions,
    in_many_threads,
    lifecycle::duration,
    show,
    ui::{Ui, sanitize},
    usage,
};
use crate::{
    api::v1::{AccessToken, CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role},
    app::{self, AdminToken},
    domain::TokenId,
};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Create a token; its secret is shown this once
    Create(Create),
    /// Print a link that signs one browser in to the console, as an administrator and for a day
    #[command(after_help = "Example:\n  plugd token link --ttl 10m")]
    Link(Link),
    /// List the tokens, without their secrets
    #[command(after_help = "Example:\n  plugd token list")]
    List,
    /// Make a token useless at once
    Revoke(Revoke),
    /// Make a new administrator's token where the last was lost, on the server's machine and while it does not run
    Reset(Reset),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd token create ci --role viewer --ttl 30d")]
pub(super) struct Create {
    /// A name for people
    name: String,
    /// What it is good for
    #[arg(long, value_enum)]
    role: RoleName,
    /// How long it works, like 12h or 30d [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Link {
    /// How long the link works, like 10m; a day at the most
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    ttl: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd token revoke ci")]
pub(super) struct Revoke {
    /// The token: its id, or its name if no other has it
    // The name `token` is that of a global option.
    #[arg(value_name = "ID")]
    named: String,
}

/// Make a new administrator's token where the last was lost
///
/// The secret goes into admin.token in the data folder; what was in that file is kept under another name. Other tokens go
/// on working: revoke those that may have come into wrong hands. Stop the server first, and run this as its user.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  plugd token reset --data-dir /var/lib/plugd --database-url postgres://plugd@db/plugd"
)]
pub(super) struct Reset {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[repr(i32)]
enum RoleName {
    /// Everything
    Admin = Role::Admin as i32,
    /// Reads, watches and logs
    Viewer = Role::Viewer as i32,
    /// The bus: publish, call, serve
    Host = Role::Host as i32,
}

impl Token {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::Link(link) => link.run(context).await,
            Self::List => list(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
            Self::Reset(_) => Err(usage("a token is not reset by way of a server")),
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let ttl = self.ttl.and_then(|ttl| ttl.try_into().ok());
        let request = CreateTokenRequest { name: self.name, role: self.role as i32, ttl };
        let answer = context.api.call(QUICK, request).await?;
        if !context.ui.is_json() {
            context.ui.note("This secret is not shown again:");
            return Ok(context.ui.line(&answer.secret)?);
        }
        let mut shown = show::token_json(&present(answer.token)?);
        shown["secret"] = answer.secret.into();
        Ok(context.ui.json(&shown)?)
    }
}

impl Link {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let (name, role) = ("link of `plugd token link`".to_owned(), Role::Link as i32);
        let answer = context.api.call(QUICK, CreateTokenRequest { name, role, ttl: self.ttl.try_into().ok() }).await?;
        let link = app::console_link(context.api.server(), &answer.secret);
        let expires = present(answer.token)?.expire_time;
        let shown = || json!({ "link": link, "expires": show::time(expires.as_ref()) });
        Ok(context.ui.json_or(shown, || link.clone())?)
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let token_id = pick(&all(&context.api).await?, &self.named)?;
        let answer = context.api.call(QUICK, RevokeTokenRequest { token_id }).await?;
        let token = present(answer.token)?;
        let line = || format!("{} {} is revoked", token.id, sanitize(&token.name));
        Ok(context.ui.json_or(|| show::token_json(&token), line)?)
    }
}

impl Reset {
    pub(super) fn run(self, options: &GlobalOptions, ui: &Ui) -> Result<(), Failure> {
        let config = self.place.settings(options)?;
        in_many_threads(async { report(&Box::pin(app::reset_token(&config)).await?, ui) })
    }
}

fn report(made: &AdminToken, ui: &Ui) -> Result<(), Failure> {
    let show = |path: &PathBuf| path.display().to_string();
    let (file, kept) = (show(&made.file), made.foreign.as_ref().map(show));
    if ui.is_json() {
        return Ok(ui.json(&json!({ "file": file, "kept": kept }))?);
    }
    if let Some(kept) = kept {
        ui.note(&format!("What was in it is kept in {kept}"));
    }
    ui.line(&format!("the new administrator's token is in {file}"))?;
    ui.note(
        "The administrator's tokens from before stay valid: once the server runs, `plugd token list` shows them, and \
         `plugd token revoke ID` ends one",
    );
    Ok(())
}

async fn all(api: &Api) -> Result<Vec<AccessToken>, Failure> {
    let ask = |page_size, page_token| ListTokensRequest { page_size, page_token };
    pages(api, usize::MAX, ask, |page| (page.tokens, page.next_page_token)).await
}

/// The id of the token that a person means, which may be that of a revoked one.
pub(super) async fn id(api: &Api, text: &str) -> Result<String, Failure> {
    if text.parse::<TokenId>().is_ok() {
        return Ok(text.to_owned());
    }
    pick(&all(api).await?, text)
}

/// The id of the token that a person means: an id, or a name that only one has.
fn pick(tokens: &[AccessToken], text: &str) -> Result<String, Failure> {
    match tokens.iter().find(|token| token.id == text) {
        Some(token) => Ok(token.id.clone()),
        None => {
            let named = tokens.iter().filter(|token| token.name == text);
            only("token", "token list", text, named.map(|token| token.id.as_str()))
        }
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let tokens: Vec<_> = all(&context.api).await?.iter().map(show::token_json).collect();
    Ok(context.ui.rows(["id", "name", "role", "created", "expires"], &tokens)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Exit;

    #[test]
    fn a_token_is_named_by_its_id_or_by_a_name_that_only_it_has() {
        let mk =
            |id: &str, name: &str| AccessToken { id: id.to_owned(), name: name.to_owned(), ..AccessToken::default() };
        let tokens = [mk("1", "ci"), mk("2", "twin"), mk("3", "twin"), mk("4", "2")];
        assert_eq!(pick(&tokens, "ci").unwrap(), "1");
        assert_eq!(pick(&tokens, "2").unwrap(), "2", "an id wins over a name");
        assert_eq!(pick(&tokens, "nobody").unwrap_err().exit, Exit::NotFound);
        let failure = pick(&tokens, "twin").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().ends_with(": 2, 3"));
    }
}
