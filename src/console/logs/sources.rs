//! The plugins whose logs there are, and those that are looked at.

use super::{
    lines::Names,
    wanted::{MAX_PLUGINS, Wanted},
    *,
};

/// Supervised plugins, by name.
pub(super) struct Sources {
    /// Id and name of each.
    pub(super) all: Vec<(String, String)>,
    /// Ids of those that are meant; none: all.
    pub(super) chosen: Vec<String>,
}

impl Sources {
    /// # Errors
    /// None of those that are meant has a log.
    pub(super) async fn of(api: &Api, wanted: &Wanted) -> Result<Self, Problem> {
        let plugins = list::all(api).await?;
        let supervised = plugins.iter().filter(|plugin| !is_external(plugin));
        let mut all: Vec<_> = supervised.map(|plugin| (plugin.id.clone(), name(plugin))).collect();
        all.sort_by_cached_key(|(id, name)| (name.to_lowercase(), id.clone()));
        let is_there = |id: &&String| all.iter().any(|(known, _)| known == *id);
        let chosen: Vec<String> = wanted.plugins.iter().filter(is_there).cloned().collect();
        match wanted.plugins.as_slice() {
            [id, ..] if chosen.is_empty() => Err(without_log(plugins.iter().any(|plugin| plugin.id == *id))),
            _ => Ok(Self { all, chosen }),
        }
    }

    /// The plugins to be asked for: none for all, which then may become more.
    pub(super) fn asked(&self) -> Vec<String> {
        if self.chosen.is_empty() && self.are_too_many() {
            return self.all.iter().take(MAX_PLUGINS).map(|(id, _)| id.clone()).collect();
        }
        self.chosen.clone()
    }

    /// Whether a plugin's lines are shown.
    pub(super) fn has(&self, id: &str) -> bool {
        match self.chosen.as_slice() {
            [] => self.all.iter().take(MAX_PLUGINS).any(|(known, _)| known == id),
            chosen => chosen.iter().any(|chosen| chosen == id),
        }
    }

    /// How many plugins' lines are shown.
    pub(super) fn shown(&self) -> usize {
        let meant = if self.chosen.is_empty() { self.all.len() } else { self.chosen.len() };
        meant.min(MAX_PLUGINS)
    }

    /// The names that lines need, unless one plugin is meant.
    pub(super) fn line_names(&self) -> Option<Names> {
        (self.chosen.len() != 1).then(|| Names::new(self.all.iter().map(|(id, _)| id.clone()).collect()))
    }

    /// Whether there are more plugins than are shown together.
    pub(super) fn are_too_many(&self) -> bool {
        self.all.len() > MAX_PLUGINS
    }

    /// What the chosen ones are called.
    pub(super) fn names(&self) -> String {
        let names = self.all.iter().filter(|(id, _)| self.chosen.contains(id));
        let names: Vec<&str> = names.map(|(_, name)| name.as_str()).collect();
        match names.as_slice() {
            [] => "All plugins".to_owned(),
            [one] => (*one).to_owned(),
            [one, other] => format!("{one}, {other}"),
            [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        }
    }
}

fn without_log(is_external: bool) -> Problem {
    if !is_external {
        return Problem::no_plugin();
    }
    Problem::invalid("plugin", "this plugin runs elsewhere, and prints there")
}
