//! A plan for people, and for programs.

use serde_json::{Value, json};

use super::{
    environment::SECRET,
    plan::{Change, Plan, Planned, Step},
};
use crate::{
    cli::{
        install::versions,
        show,
        ui::{Style, Ui, sanitize},
    },
    domain::text::shorten,
};

/// Characters of a value that are shown.
const MAX_VALUE: usize = 60;
/// Characters of a digest that are shown: enough to tell two apart.
const MAX_DIGEST: usize = "sha256:".len() + 12;
/// Where what a step does is written, behind its name.
const INDENT: usize = 4;
const WIDTH: usize = 11;

impl Plan {
    /// The plan in lines.
    pub(super) fn lines(&self, ui: &Ui) -> Vec<String> {
        let plugins = self.plugins.iter().flat_map(|planned| planned.lines(ui));
        plugins.chain(std::iter::once(self.summary())).collect()
    }

    fn summary(&self) -> String {
        let count = |kind| self.plugins.iter().filter(|planned| planned.kind() == kind).count();
        let kinds = [(Kind::New, "to install"), (Kind::Changed, "to change"), (Kind::Deleted, "to delete")];
        let counts = kinds.map(|(kind, what)| (count(kind), what)).into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        match self.settled {
            0 => format!("{}.", counts.join(", ")),
            settled => format!("{}; {settled} as the files say already.", counts.join(", ")),
        }
    }

    pub(super) fn json(&self) -> Value {
        self.plugins.iter().map(Planned::json).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    New,
    Changed,
    Deleted,
}

impl Planned {
    fn kind(&self) -> Kind {
        match &self.plugin {
            None => Kind::New,
            Some(_) if self.is_deleted() => Kind::Deleted,
            Some(_) => Kind::Changed,
        }
    }

    fn lines(&self, ui: &Ui) -> Vec<String> {
        let (sign, style) = match self.kind() {
            Kind::New => ('+', Style::Green),
            Kind::Changed => ('~', Style::Yellow),
            Kind::Deleted => ('-', Style::Red),
        };
        let plugin = self.plugin.as_ref().map(|plugin| format!(" ({})", plugin.id)).unwrap_or_default();
        let heading = ui.paint(style, &format!("{sign} {}{plugin}", sanitize(&self.id)));
        std::iter::once(heading).chain(self.steps.iter().flat_map(|step| step.lines(ui))).collect()
    }

    fn json(&self) -> Value {
        let plugin_id = self.plugin.as_ref().map(|plugin| &plugin.id);
        let steps: Value = self.steps.iter().map(Step::json).collect();
        json!({"id": self.id, "plugin_id": plugin_id, "steps": steps})
    }
}

impl Step {
    /// Its name, which programs read.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Install(_) => "install",
            Self::Update(..) => "update",
            Self::Register(_) => "register",
            Self::UpdateManifest(..) => "update_manifest",
            Self::Decide(..) => "policy",
            Self::Start => "start",
            Self::Configure(..) => "configure",
            Self::Stop => "stop",
            Self::Delete => "delete",
        }
    }

    /// Its name for people.
    pub(super) fn word(&self) -> &'static str {
        if matches!(self, Self::UpdateManifest(..)) { "manifest" } else { self.name() }
    }

    /// What is said of it when it is done.
    pub(super) fn done(&self) -> String {
        match self {
            Self::Install(archive) => format!("installed, {}", show::version(&archive.version)),
            Self::Update(before, archive) => format!("updated, {}", versions(before, &archive.version)),
            Self::Register(_) => "registered".to_owned(),
            Self::UpdateManifest(..) => "has its new manifest".to_owned(),
            Self::Decide(..) => "has its policy".to_owned(),
            Self::Start => "started".to_owned(),
            Self::Configure(..) => "configured".to_owned(),
            Self::Stop => "stopped".to_owned(),
            Self::Delete => "deleted".to_owned(),
        }
    }

    fn changes(&self) -> &[Change] {
        match self {
            Self::UpdateManifest(_, changes) | Self::Decide(_, changes) | Self::Configure(_, changes) => changes,
            _ => &[],
        }
    }

    fn lines(&self, ui: &Ui) -> Vec<String> {
        let details: Vec<String> = match self {
            Self::Install(archive) => vec![with_digest(show::version(&archive.version), &archive.digest)],
            Self::Update(before, archive) => {
                vec![with_digest(versions(before, &archive.version), &archive.digest)]
            }
            Self::Register(_) => vec!["external".to_owned()],
            Self::Delete => vec!["with its files".to_owned()],
            _ => self.changes().iter().map(|change| change.line(ui)).collect(),
        };
        let name = |index| if index == 0 { self.word() } else { "" };
        let line = |index, detail: &str| format!("{:INDENT$}{:WIDTH$}{detail}", "", name(index)).trim_end().to_owned();
        match details.as_slice() {
            [] => vec![line(0, "")],
            details => details.iter().enumerate().map(|(index, detail)| line(index, detail)).collect(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({"step": self.name()});
        match self {
            Self::Install(archive) => {
                json["version"] = archive.version.as_str().into();
                json["digest"] = archive.digest.as_str().into();
            }
            Self::Update(before, archive) => {
                json["previous_version"] = before.as_str().into();
                json["version"] = archive.version.as_str().into();
                json["digest"] = archive.digest.as_str().into();
            }
            Self::UpdateManifest(..) | Self::Decide(..) | Self::Configure(..) => {
                json["changes"] = self.changes().iter().map(Change::json).collect();
            }
            Self::Register(_) | Self::Start | Self::Stop | Self::Delete => {}
        }
        json
    }
}

fn with_digest(versions: String, digest: &str) -> String {
    format!("{versions} ({})", shorten(digest, MAX_DIGEST))
}

impl Change {
    fn line(&self, ui: &Ui) -> String {
        let (style, line) = match self {
            Self::Add(field, value) => (Style::Green, format!("+ {field}: {}", shown(value.as_ref()))),
            Self::Replace(field, None) => (Style::Yellow, format!("~ {field}: {SECRET}")),
            Self::Replace(field, Some((before, after))) => {
                (Style::Yellow, format!("~ {field}: {} -> {}", shown(Some(before)), shown(Some(after))))
            }
            Self::Remove(field) => (Style::Red, format!("- {field}")),
        };
        ui.paint(style, &sanitize(&line))
    }

    fn json(&self) -> Value {
        match self {
            Self::Add(field, None) => json!({"field": field, "change": "add", "is_secret": true}),
            Self::Add(field, Some(after)) => json!({"field": field, "change": "add", "after": after}),
            Self::Replace(field, None) => json!({"field": field, "change": "replace", "is_secret": true}),
            Self::Replace(field, Some((before, after))) => {
                json!({"field": field, "change": "replace", "before": before, "after": after})
            }
            Self::Remove(field) => json!({"field": field, "change": "remove"}),
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| SECRET.to_owned(), |value| shorten(&value.to_string(), MAX_VALUE))
}
