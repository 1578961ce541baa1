//! What a collector of traces is told of a plugin's runs: each start until the plugin is active or has failed, each stop until
//! nothing of the run is left. Both are parts of the call that asked for them; a restart after a crash is asked for by nobody.

use crate::{
    domain::{PluginId, Reported, RunId, Stage, State},
    telemetry::trace::{Parent, Recent, Span},
};

#[derive(Default)]
pub(super) struct Spans {
    /// The call of which what happens is a part, until the plugin comes to rest.
    cause: Option<Recent>,
    starting: Option<Span>,
    stopping: Option<Span>,
    /// The start of the present run.
    start: Option<Recent>,
}

impl Spans {
    /// A change was asked for, and is about to be acted upon.
    pub(super) fn caused_by(&mut self, parent: Option<Parent>) {
        self.cause = parent.map(Recent::from);
    }

    /// A run begins. What it does is a part of what this returns.
    pub(super) fn starts(&mut self, plugin: PluginId, run: RunId) -> Option<Parent> {
        let span = Span::of_run("start", (plugin, run), self.parent());
        let parent = span.parent();
        self.start = parent.map(Recent::from);
        self.starting = Some(span);
        parent
    }

    /// The start of the present run, of which its first calls are parts.
    pub(super) fn start(&self) -> Option<Recent> {
        self.start
    }

    /// What is reported of the plugin has changed.
    pub(super) fn entered(&mut self, plugin: PluginId, before: &Reported, now: &Reported) {
        if !matches!(now.state, State::Starting | State::Connecting) {
            self.end_start(now);
        }
        match (before.state, now.state) {
            (State::Stopping, State::Stopping) => {}
            (_, State::Stopping) => self.stopping = now.run.map(|run| self.stop(plugin, run)),
            _ => self.end_stop(now),
        }
        if matches!(now.state, State::Active | State::Inactive | State::Error) {
            self.cause = None;
        }
    }

    fn parent(&self) -> Option<Parent> {
        self.cause.and_then(Recent::parent)
    }

    fn stop(&self, plugin: PluginId, run: RunId) -> Span {
        Span::of_run("stop", (plugin, run), self.parent())
    }

    fn end_start(&mut self, reported: &Reported) {
        let Some(mut span) = self.starting.take() else { return };
        match &reported.failure {
            _ if reported.state == State::Active => {}
            Some(failure) => span.fail(&failure.message),
            None => span.fail("it was stopped before it was active"),
        }
    }

    fn end_stop(&mut self, reported: &Reported) {
        let Some(mut span) = self.stopping.take() else { return };
        // What could not be killed; another failure is why it was stopped.
        if let Some(failure) = reported.failure.as_ref().filter(|failure| failure.stage == Stage::Stop) {
            span.fail(&failure.message);
        }
    }
}
