//! `plugd policy`.

pub(super) mod fields;

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{
    Context,
    client::{Api, One, QUICK, present},
    config::pair,
    failure::Failure,
    lifecycle::Waiting,
    show,
    ui::{did_you_mean, sanitize},
    usage,
};
use crate::{
    api::v1::{GetPolicyRequest, Policy, UpdatePolicyRequest},
    files,
};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Print what is decided about a plugin; what is not there is as for all plugins
    #[command(after_help = "Example:\n  plugd policy get my-plugin")]
    Get(One),
    /// Decide some things about a plugin; an active one is started anew where its process needs that
    Set(Set),
    /// Take back what was decided, so that it is as for all plugins
    Unset(Unset),
}

/// Decide some things about a plugin
#[derive(Debug, Args)]
#[command(after_help = fields::help())]
pub(super) struct Set {
    #[command(flatten)]
    plugin: One,
    /// What is decided
    #[arg(value_name = "KEY=VALUE", value_parser = pair, required = true)]
    fields: Vec<(String, String)>,
    #[command(flatten)]
    how: How,
}

/// Take back what was decided about a plugin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd policy unset my-plugin limit-memory env.KEY")]
pub(super) struct Unset {
    #[command(flatten)]
    plugin: One,
    /// What is taken back
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// Only if this generation is desired of the plugin still, as `plugd policy get` tells it
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
    #[command(flatten)]
    waiting: Waiting,
}

impl PolicyCommand {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Get(plugin) => {
                let (policy, generation) = read(&context.api, plugin.id(&context.api).await?).await?;
                print(context, &fields::decided(&policy), generation)
            }
            Self::Set(set) => {
                let read = set.fields.into_iter().map(|(key, value)| Ok((value_of(&key, value)?, key)));
                let read: Vec<(String, String)> = read.collect::<Result<_, Failure>>()?;
                let fields = read.iter().map(|(value, key)| (key.as_str(), Some(value.as_str()))).collect();
                change(context, &set.plugin, fields, set.how).await
            }
            Self::Unset(unset) => {
                let fields = unset.keys.iter().map(|key| (key.as_str(), None)).collect();
                change(context, &unset.plugin, fields, unset.how).await
            }
        }
    }
}

/// A value, from the file that it names if it is a variable's: what others may not see is no argument.
fn value_of(key: &str, value: String) -> Result<String, Failure> {
    match value.strip_prefix('@').filter(|_| key.starts_with(fields::VARIABLE)) {
        Some(path) => {
            let text = files::read_text(Path::new(path), files::MAX_TEXT);
            let text = text.map_err(|error| usage(format!("{key}: {path} can't be read: {error}")))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => Ok(value),
    }
}

/// The policy of a plugin, and the generation of what is desired of it.
pub(super) async fn read(api: &Api, plugin_id: String) -> Result<(Policy, u64), Failure> {
    let answer = api.call(QUICK, GetPolicyRequest { plugin_id }).await?;
    Ok((answer.policy.unwrap_or_default(), answer.generation))
}

/// Stores what these values make of the policy, if nobody else changes it meanwhile; no value takes a decision back.
async fn change(context: &Context, plugin: &One, values: Vec<(&str, Option<&str>)>, how: How) -> Result<(), Failure> {
    let plugin_id = plugin.id(&context.api).await?;
    let (mut policy, generation) = read(&context.api, plugin_id.clone()).await?;
    for (key, value) in values {
        fields::assign(&mut policy, key, value).map_err(|what| unusable(key, what))?;
    }
    let if_generation = how.if_generation.or(Some(generation));
    let request = UpdatePolicyRequest { plugin_id, policy: Some(policy), wait: how.waiting.wait(), if_generation };
    let answer =
        context.api.call(how.waiting.deadline(), request).await.map_err(|status| told_if_stored(status.into()))?;
    let plugin = present(answer.plugin)?;
    // The state of a plugin that is not waited for is still the one before.
    if !context.ui.is_json() && !how.waiting.no_wait {
        context.ui.note(&show::sentence(&context.ui, &plugin));
    }
    let decided =
        fields::decided(&answer.policy.unwrap_or_default()).into_iter().map(without_secret).collect::<Vec<_>>();
    print(context, &decided, plugin.generation)
}

/// Who sets something did not ask to see the variables, which may be keys: `plugd policy get` shows them.
fn without_secret((key, value): (String, String)) -> (String, String) {
    if key.starts_with(fields::VARIABLE) { (key, "[secret]".to_owned()) } else { (key, value) }
}

/// A policy is stored before it is known what becomes of its plugin.
pub(super) fn told_if_stored(failure: Failure) -> Failure {
    if !["PLUGIN_FAILED", "NOT_SETTLED", "SUPERSEDED"].into_iter().any(|reason| failure.has_reason(reason)) {
        return failure;
    }
    let hint = "`plugd policy get ID` shows it, `plugd policy unset ID KEY` takes a part of it back";
    failure.and("the policy is stored all the same").hint(hint)
}

pub(super) fn unusable(key: &str, what: fields::Unusable) -> Failure {
    match what {
        fields::Unusable::Key => {
            let guess = did_you_mean(key, fields::keys());
            let failure = usage(format!("a policy has no {key:?}"));
            failure.hint(guess.unwrap_or_else(|| "`plugd policy set --help` lists what it has".to_owned()))
        }
        fields::Unusable::Value(expected) => usage(format!("{key}: {expected} is expected")),
    }
}

/// As lines that `plugd policy set` takes, or as one object of the same keys.
fn print(context: &Context, decided: &[(String, String)], generation: u64) -> Result<(), Failure> {
    let object = || decided.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect::<Map<_, _>>();
    if context.ui.is_json() {
        return Ok(context.ui.json(&Value::Object(object()))?);
    }
    for (key, value) in decided {
        context.ui.line(&sanitize(&format!("{key}={value}")))?;
    }
    let what = if decided.is_empty() { "nothing is decided: all is as for all plugins; " } else { "" };
    context.ui.note(&format!("{what}generation {generation}"));
    Ok(())
}
