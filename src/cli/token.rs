//! `plugd token`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::{
    Context,
    active::duration,
    client::{QUICK, present, within},
    failure::Failure,
    shape,
    table::Table,
};
use crate::api::v1::{CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role, Token as Entry};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Create a token; its secret is shown this once
    Create(Create),
    /// List the tokens, without their secrets
    List,
    /// Make a token useless at once
    Revoke(Revoke),
}

#[derive(Debug, Args)]
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
pub(super) struct Revoke {
    /// The token's id
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Everything
    Admin,
    /// Reads, watches and logs
    Viewer,
    /// The bus: publish, call, serve
    Host,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Viewer => Self::Viewer,
            RoleName::Host => Self::Host,
        }
    }
}

impl Token {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List => list(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let ttl = self.ttl.and_then(|ttl| ttl.try_into().ok());
        let request = CreateTokenRequest { name: self.name, role: Role::from(self.role).into(), ttl };
        let answer = within(QUICK, request, async |request| context.api.access().create_token(request).await).await?;
        if !context.ui.is_json() {
            context.ui.note("This secret is not shown again:");
            return Ok(context.ui.line(&answer.secret)?);
        }
        let mut shown = shape::token(&present(answer.token)?);
        shown["secret"] = answer.secret.into();
        Ok(context.ui.json(&shown)?)
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = RevokeTokenRequest { token_id: self.id };
        let answer = within(QUICK, request, async |request| context.api.access().revoke_token(request).await).await?;
        let token = present(answer.token)?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&shape::token(&token))?);
        }
        Ok(context.ui.line(&format!("{} {} is revoked", token.id, super::ui::tame(&token.name)))?)
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let send = async |request| context.api.access().list_tokens(request).await;
    let tokens = within(QUICK, ListTokensRequest {}, send).await?.tokens;
    if context.ui.is_json() {
        return Ok(context.ui.json(&Value::Array(tokens.iter().map(shape::token).collect()))?);
    }
    Ok(table(&tokens).print(&context.ui)?)
}

fn table(tokens: &[Entry]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "ROLE", "CREATED", "EXPIRES"]);
    for token in tokens {
        table.row([
            token.id.as_str().into(),
            token.name.as_str().into(),
            shape::role(token.role()).into(),
            shape::short_time(token.create_time.as_ref()).into(),
            token.expire_time.as_ref().map_or("never".into(), |time| shape::short_time(Some(time)).into()),
        ]);
    }
    table
}
