//! What a plan says, done: several plugins at a time, the steps of each in their order.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    calls::Target,
    plan::{Plan, Planned, Step},
};
use crate::cli::{
    Context,
    failure::{Exit, Failure},
    lifecycle::AT_ONCE,
    ui::{Style, sanitize},
};

/// What became of a plugin.
struct Outcome<'a> {
    id: &'a str,
    plugin_id: Option<String>,
    done: Vec<&'a Step>,
    failed: Option<(&'a Step, Failure)>,
    not_begun: Vec<&'a Step>,
}

/// Does what a plan says, and tells of each step. What fails for one plugin does not keep it from the others; but nothing is
/// deleted before all others are as they should be.
pub(super) async fn carry_out(context: &Context, plan: &Plan, timeout: Duration) -> Result<(), Failure> {
    let (deleted, others): (Vec<_>, Vec<_>) = plan.plugins.iter().partition(|planned| planned.is_deleted());
    let mut outcomes = each(context, others, timeout).await;
    match outcomes.iter().all(|outcome| outcome.failed.is_none()) {
        true => outcomes.extend(each(context, deleted, timeout).await),
        false => outcomes.extend(deleted.into_iter().map(Outcome::held_back)),
    }
    if context.ui.is_json() {
        context.ui.json(&outcomes.iter().map(Outcome::json).collect())?;
    }
    let count = outcomes.len() + plan.settled;
    let failed: BTreeMap<_, _> = outcomes.into_iter().filter_map(Outcome::failure).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::of_several(failed, count, "as they should be").hint("the same command goes on from here"))
}

/// Takes the steps of these plugins; what became of them is in their order.
async fn each<'a>(context: &Context, plugins: Vec<&'a Planned>, timeout: Duration) -> Vec<Outcome<'a>> {
    let work =
        plugins.into_iter().enumerate().map(async |(index, planned)| (index, run(context, planned, timeout).await));
    let mut outcomes: Vec<_> = stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

async fn run<'a>(context: &Context, planned: &'a Planned, timeout: Duration) -> Outcome<'a> {
    let mut target = Target::new(context, planned, timeout);
    let mut left = planned.steps.iter();
    let (mut done, mut failed) = (Vec::new(), None);
    for step in left.by_ref() {
        match take(context, &mut target, &planned.id, step).await {
            Ok(()) => done.push(step),
            Err(failure) => {
                failed = Some((step, failure));
                break;
            }
        }
    }
    let mut not_begun: Vec<_> = left.collect();
    if let (Some((step, failure)), Some(stop @ Step::Stop)) = (&failed, not_begun.last().copied())
        && was_started(&done, step)
        && failure.exit != Exit::Conflict
        && stop_again(context, &mut target, &planned.id, stop).await.is_ok()
    {
        not_begun.pop();
        done.push(stop);
    }
    Outcome { id: &planned.id, plugin_id: target.plugin_id(), done, failed, not_begun }
}

/// Whether a plugin was started that is to be stopped in the end: one that failed then does not go on running.
fn was_started(done: &[&Step], failed: &Step) -> bool {
    done.iter().copied().chain([failed]).any(|step| matches!(step, Step::Start))
}

/// Takes a step, and says so.
async fn take(context: &Context, target: &mut Target<'_>, id: &str, step: &Step) -> Result<(), Failure> {
    let ui = &context.ui;
    let taken = Box::pin(target.take(id, step)).await;
    if !ui.is_json() {
        let said = match &taken {
            Ok(()) => ui.paint(Style::Green, &step.done()),
            Err(_) => ui.paint(Style::Red, &format!("{} failed", step.word())),
        };
        ui.line(&format!("{}: {said}", sanitize(id)))?;
    }
    taken.map_err(|failure| context.api.explain(failure))
}

async fn stop_again(context: &Context, target: &mut Target<'_>, id: &str, stop: &Step) -> Result<(), Failure> {
    target.look_again().await?;
    take(context, target, id, stop).await
}

impl<'a> Outcome<'a> {
    /// Of a plugin that is not deleted, since others are not as they should be.
    fn held_back(planned: &'a Planned) -> Self {
        let plugin_id = planned.plugin.as_ref().map(|plugin| plugin.id.clone());
        let (done, not_begun) = (Vec::new(), planned.steps.iter().collect());
        Self { id: &planned.id, plugin_id, done, failed: None, not_begun }
    }

    fn json(&self) -> Value {
        let steps = |steps: &[&Step]| steps.iter().map(|step| step.name().into()).collect::<Vec<Value>>();
        let (failed, error) = self.failed.as_ref().map(|(step, failure)| (step.name(), failure.json())).unzip();
        json!({
            "id": self.id,
            "plugin_id": self.plugin_id,
            "done": steps(&self.done),
            "failed": failed,
            "error": error,
            "not_begun": steps(&self.not_begun),
        })
    }

    /// Why it is not as it should be, if so, with what was done and what was not begun.
    fn failure(self) -> Option<(String, Failure)> {
        let words = |steps: &[&Step]| steps.iter().map(|step| step.word()).collect::<Vec<_>>().join(", ");
        let failure = match self.failed {
            Some((step, failure)) => failure.about(step.word()),
            None if self.not_begun.is_empty() => return None,
            None => Failure::new("nothing is deleted before all others are as they should be"),
        };
        let failure = match self.done.as_slice() {
            [] => failure,
            done => failure.and(format_args!("done: {}", words(done))),
        };
        let failure = match self.not_begun.as_slice() {
            [] => failure,
            left => failure.and(format_args!("not begun: {}", words(left))),
        };
        Some((self.id.to_owned(), failure))
    }
}
