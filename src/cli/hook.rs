//! `plugd hook`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    client::{Api, QUICK, only, pages, plugin_ids, present},
    completions,
    failure::Failure,
    show::{short_time, state_arg, state_word, time},
    ui::{Cell, Style, sanitize},
};
use crate::{
    api::{
        v1::{
            CreateHookRequest, DeleteHookRequest, EnableHookRequest, Hook, ListHooksRequest, ReportedState,
            RotateHookSecretRequest, TestHookRequest,
        },
        words::hook_status,
    },
    domain::HookId,
};

#[derive(Debug, Subcommand)]
pub(super) enum HookCommand {
    /// Have events posted to a receiver; the secret that signs them is shown this once
    Add(Add),
    /// List the webhooks and how they fare
    #[command(after_help = "Example:\n  plugd hook list -o json")]
    List,
    /// Delete a webhook
    #[command(after_help = "Example:\n  plugd hook remove https://alerts.example/plugd")]
    Remove(Which),
    /// Post a test event, once
    #[command(after_help = "Example:\n  plugd hook test https://alerts.example/plugd")]
    Test(Which),
    /// Have a webhook deliver again, at once, from where it stopped
    #[command(after_help = "Example:\n  plugd hook enable https://alerts.example/plugd")]
    Enable(Which),
    /// Give a webhook another secret, which is shown this once
    #[command(after_help = "Example:\n  plugd hook rotate-secret https://alerts.example/plugd")]
    RotateSecret(Which),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd hook add https://alerts.example/plugd --on error,restarting\n  \
                        plugd hook add https://alerts.example/plugd --on error --plugin my-plugin")]
pub(super) struct Add {
    /// Where events are posted: https, or http to a private address where the server has --fetch-private
    url: String,
    /// Tell of plugins that come into these states
    #[arg(long, value_name = "STATE,...", required = true, value_delimiter = ',', value_parser = state_arg())]
    on: Vec<ReportedState>,
    /// Tell of this plugin only; may be given several times
    #[arg(long, value_name = "ID", add = completions::plugins())]
    plugin: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The webhook: its id, or its URL if no other has it
    #[arg(value_name = "HOOK")]
    hook: String,
}

impl HookCommand {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let api = &context.api;
        match self {
            Self::Add(add) => add.run(context).await,
            Self::List => list(context).await,
            Self::Remove(which) => {
                let hook_id = which.id(api).await?;
                tell(context, api.call(QUICK, DeleteHookRequest { hook_id }).await?.hook, "is deleted")
            }
            Self::Test(which) => {
                let hook_id = which.id(api).await?;
                tell(context, api.call(QUICK, TestHookRequest { hook_id }).await?.hook, "has taken the test event")
            }
            Self::Enable(which) => {
                let hook_id = which.id(api).await?;
                tell(context, api.call(QUICK, EnableHookRequest { hook_id }).await?.hook, "is enabled")
            }
            Self::RotateSecret(which) => {
                let hook_id = which.id(api).await?;
                let answer = api.call(QUICK, RotateHookSecretRequest { hook_id }).await?;
                tell_secret(context, answer.hook, &answer.secret)
            }
        }
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let plugin_ids = plugin_ids(&context.api, &self.plugin).await?;
        let states = self.on.iter().map(|state| i32::from(*state)).collect();
        let answer = context.api.call(QUICK, CreateHookRequest { url: self.url, states, plugin_ids }).await?;
        tell_secret(context, answer.hook, &answer.secret)
    }
}

impl Which {
    /// The id of the webhook that a person means, which may be that of a deleted one.
    async fn id(&self, api: &Api) -> Result<String, Failure> {
        if self.hook.parse::<HookId>().is_ok() {
            return Ok(self.hook.clone());
        }
        let hooks = all(api).await?;
        let meant = hooks.iter().filter(|hook| hook.url == self.hook);
        only("webhook", "hook list", &self.hook, meant.map(|hook| hook.id.as_str()))
    }
}

async fn all(api: &Api) -> Result<Vec<Hook>, Failure> {
    let ask = |page_size, page_token| ListHooksRequest { page_size, page_token };
    pages(api, usize::MAX, ask, |page| (page.hooks, page.next_page_token)).await
}

async fn list(context: &Context) -> Result<(), Failure> {
    let hooks = all(&context.api).await?;
    if hooks.is_empty() && !context.ui.is_json() {
        context.ui.note("No webhooks. Add one with `plugd hook add URL --on error`.");
        return Ok(());
    }
    let heading = ["ID", "URL", "ON", "PLUGINS", "BEHIND", "MISSED", "NEXT TRY", "STATUS"];
    Ok(context.ui.list(&heading, &hooks, hook_json, cells)?)
}

fn cells(hook: &Hook) -> [Cell; 8] {
    let plugins = if hook.plugin_ids.is_empty() { "all".to_owned() } else { hook.plugin_ids.join(",") };
    [
        hook.id.as_str().into(),
        hook.url.as_str().into(),
        states(hook).join(",").into(),
        plugins.into(),
        hook.behind_revisions.to_string().into(),
        hook.missed_revisions.to_string().into(),
        short_time(hook.next_attempt_time.as_ref()).into(),
        status(hook),
    ]
}

fn status(hook: &Hook) -> Cell {
    let style = match (hook.enabled, hook.failure_count) {
        (false, _) => Style::Red,
        (true, 0) => Style::Plain,
        (true, _) => Style::Yellow,
    };
    Cell::styled(hook_status(hook), style)
}

fn states(hook: &Hook) -> Vec<String> {
    hook.states().map(state_word).collect()
}

fn hook_json(hook: &Hook) -> Value {
    json!({
        "id": hook.id,
        "url": hook.url,
        "states": states(hook),
        "plugin_ids": hook.plugin_ids,
        "created": time(hook.create_time.as_ref()),
        "author": hook.author,
        "enabled": hook.enabled,
        "failure_count": hook.failure_count,
        "last_error": hook.last_error,
        "last_attempt": time(hook.last_attempt_time.as_ref()),
        "next_attempt": time(hook.next_attempt_time.as_ref()),
        "behind_revisions": hook.behind_revisions,
        "missed_revisions": hook.missed_revisions,
    })
}

fn tell(context: &Context, hook: Option<Hook>, what: &str) -> Result<(), Failure> {
    let hook = present(hook)?;
    let line = || format!("{} {} {what}", hook.id, sanitize(&hook.url));
    Ok(context.ui.json_or(|| hook_json(&hook), line)?)
}

fn tell_secret(context: &Context, hook: Option<Hook>, secret: &str) -> Result<(), Failure> {
    let hook = present(hook)?;
    if !context.ui.is_json() {
        context.ui.note(&format!("The secret of {}, which is not shown again:", hook.id));
        return Ok(context.ui.line(secret)?);
    }
    let mut shown = hook_json(&hook);
    shown["secret"] = secret.into();
    Ok(context.ui.json(&shown)?)
}
