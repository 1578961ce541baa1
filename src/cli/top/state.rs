//! What `plugd top` knows, and what keys do to it. No terminal, no server, no clock.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, HashMap, VecDeque},
};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::{
    api::v1::{Plugin, PluginStatus, ReportedState, Usage},
    cli::show::{state_of, state_word},
    domain::text::{sanitize_line, shorten},
};

/// Most lines of a log that are held.
pub(super) const MAX_LINES: usize = 1000;

/// Most characters of a line of a log that are held, and of a filter.
const MAX_LINE: usize = 1000;
const MAX_FILTER: usize = 64;

/// Lines that the log is scrolled by.
const PAGE: usize = 10;

/// Whether the server tells what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Connection {
    /// It has not yet.
    Opening,
    Live,
    /// It does not, and is asked again and again.
    Broken(String),
}

/// The first plugin of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    /// The one in the worst state.
    State,
    Cpu,
    Memory,
    Restarts,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Name => Self::State,
            Self::State => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Restarts,
            Self::Restarts => Self::Name,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Restarts => "restarts",
        }
    }
}

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Table,
    /// They are written into the filter.
    Filter,
    /// The keys are shown; any key ends that.
    Help,
}

/// What a key asks for that is not done by changing what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Change(Change, String),
    OpenLog(String),
    CloseLog,
}

/// What can be done to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Start,
    Stop,
    Restart,
}

/// The log of one plugin.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) plugin: String,
    pub(super) lines: VecDeque<String>,
    /// How many lines it is scrolled back from the newest.
    pub(super) back: usize,
}

/// All that is known and shown.
pub(super) struct Top {
    pub(super) server: String,
    pub(super) is_colored: bool,
    pub(super) connection: Connection,
    pub(super) order: Order,
    pub(super) mode: Mode,
    pub(super) filter: String,
    /// What the server said of the last change that was asked for; empty if nothing.
    pub(super) note: String,
    pub(super) log: Option<Log>,
    plugins: BTreeMap<String, Plugin>,
    usages: HashMap<String, Usage>,
    /// The plugin that is selected, and its place in the table when it was seen there last.
    selected: Option<String>,
    place: usize,
}

impl Top {
    pub(super) fn new(server: String, is_colored: bool) -> Self {
        Self {
            server,
            is_colored,
            connection: Connection::Opening,
            order: Order::Name,
            mode: Mode::Table,
            filter: String::new(),
            note: String::new(),
            log: None,
            plugins: BTreeMap::new(),
            usages: HashMap::new(),
            selected: None,
            place: 0,
        }
    }

    /// Takes all plugins as they are.
    pub(super) fn replace(&mut self, plugins: BTreeMap<String, Plugin>) {
        self.plugins.clear();
        plugins.into_iter().for_each(|(id, plugin)| self.changed(id, Some(plugin)));
    }

    /// Takes a plugin as it is; none when it is gone.
    pub(super) fn changed(&mut self, id: String, plugin: Option<Plugin>) {
        match plugin {
            // Its manifest may be large, and is not shown.
            Some(plugin) => drop(self.plugins.insert(id, Plugin { manifest: Vec::new().into(), ..plugin })),
            None => drop(self.plugins.remove(&id)),
        }
    }

    /// Takes what plugins use.
    pub(super) fn sampled(&mut self, plugins: Vec<Plugin>) {
        let usage = |plugin: Plugin| Some((plugin.id, plugin.status?.usage?));
        self.usages = plugins.into_iter().filter_map(usage).collect();
    }

    pub(super) fn note(&mut self, words: &str) {
        self.note = sanitize_line(words);
    }

    /// Takes a line of the log that is shown.
    pub(super) fn log_line(&mut self, line: &str) {
        let Some(log) = &mut self.log else { return };
        if log.lines.len() >= MAX_LINES {
            log.lines.pop_front();
        }
        log.lines.push_back(shorten(&sanitize_line(line), MAX_LINE));
        // Who reads what was printed before goes on reading it.
        if log.back > 0 {
            log.back = (log.back + 1).min(log.lines.len().saturating_sub(1));
        }
    }

    /// All plugins that there are.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.values()
    }

    /// What a plugin uses, if something of it runs.
    pub(super) fn usage(&self, plugin: &Plugin) -> Option<&Usage> {
        self.usages.get(&plugin.id).filter(|_| status(plugin).is_some_and(|status| status.run_id.is_some()))
    }

    /// The plugins of the table, in order.
    pub(super) fn rows(&self) -> Vec<&Plugin> {
        let mut rows: Vec<&Plugin> = self.plugins.values().filter(|plugin| self.is_wanted(plugin)).collect();
        rows.sort_by(|one, other| {
            self.compare(one, other).then_with(|| (&one.name, &one.id).cmp(&(&other.name, &other.id)))
        });
        rows
    }

    fn is_wanted(&self, plugin: &Plugin) -> bool {
        let filter = self.filter.to_lowercase();
        let is_in = |text: &str| text.to_lowercase().contains(&filter);
        is_in(&plugin.name) || is_in(&plugin.id) || is_in(&state_word(state_of(plugin)))
    }

    fn compare(&self, one: &Plugin, other: &Plugin) -> Ordering {
        let most = |key: &dyn Fn(&Plugin) -> u64| Reverse(key(one)).cmp(&Reverse(key(other)));
        match self.order {
            Order::Name => Ordering::Equal,
            Order::State => urgency(one).cmp(&urgency(other)),
            Order::Cpu => most(&|plugin| self.usage(plugin).map_or(0, |usage| u64::from(usage.cpu_millis()) + 1)),
            Order::Memory => most(&|plugin| self.usage(plugin).map_or(0, |usage| usage.memory_bytes + 1)),
            Order::Restarts => most(&|plugin| status(plugin).map_or(0, |status| status.restart_count.into())),
        }
    }

    /// The place of the plugin that is selected: another one takes the place of one that is gone.
    pub(super) fn select(&mut self) -> Option<usize> {
        let ids: Vec<String> = self.rows().into_iter().map(|plugin| plugin.id.clone()).collect();
        let found = self.selected.as_ref().and_then(|selected| ids.iter().position(|id| id == selected));
        self.place = found.unwrap_or(self.place).min(ids.len().saturating_sub(1));
        self.selected = ids.into_iter().nth(self.place);
        self.selected.is_some().then_some(self.place)
    }

    /// The plugin that is selected.
    pub(super) fn selected(&self) -> Option<&Plugin> {
        self.plugins.get(self.selected.as_ref()?)
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        self.select();
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (self.mode, key.code) {
            (_, KeyCode::Char('c')) if is_control => Some(Action::Quit),
            (Mode::Help, _) => {
                self.mode = Mode::Table;
                None
            }
            (Mode::Filter, code) => {
                self.write_filter(code);
                None
            }
            (Mode::Table, code) => self.table_key(code),
        }
    }

    fn write_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.mode = Mode::Table,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Table;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.filter.chars().count() < MAX_FILTER => self.filter.push(letter),
            _ => {}
        }
    }

    fn table_key(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Char('q') => return Some(Action::Quit),
            KeyCode::Down | KeyCode::Char('j') => self.go_to(self.place.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.go_to(self.place.saturating_sub(1)),
            KeyCode::Home | KeyCode::Char('g') => self.go_to(0),
            KeyCode::End | KeyCode::Char('G') => self.go_to(usize::MAX),
            KeyCode::PageUp => self.scroll(|back| back.saturating_add(PAGE)),
            KeyCode::PageDown => self.scroll(|back| back.saturating_sub(PAGE)),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('o') => self.order = self.order.next(),
            KeyCode::Char('s') => return Some(Action::Change(Change::Start, self.selected.clone()?)),
            KeyCode::Char('x') => return Some(Action::Change(Change::Stop, self.selected.clone()?)),
            KeyCode::Char('r') => return Some(Action::Change(Change::Restart, self.selected.clone()?)),
            KeyCode::Char('l') | KeyCode::Enter => return self.toggle_log(),
            KeyCode::Esc if self.log.take().is_some() => return Some(Action::CloseLog),
            KeyCode::Esc => self.filter.clear(),
            _ => {}
        }
        None
    }

    /// Selects the plugin in this place, or the last one.
    fn go_to(&mut self, place: usize) {
        (self.selected, self.place) = (None, place);
        self.select();
    }

    fn scroll(&mut self, by: impl FnOnce(usize) -> usize) {
        if let Some(log) = &mut self.log {
            log.back = by(log.back).min(log.lines.len().saturating_sub(1));
        }
    }

    /// Shows the log of the plugin that is selected, or none if that is shown.
    fn toggle_log(&mut self) -> Option<Action> {
        let id = self.selected.clone()?;
        if self.log.take().is_some_and(|log| log.plugin == id) {
            return Some(Action::CloseLog);
        }
        self.log = Some(Log { plugin: id.clone(), ..Log::default() });
        Some(Action::OpenLog(id))
    }
}

pub(super) fn status(plugin: &Plugin) -> Option<&PluginStatus> {
    plugin.status.as_ref()
}

/// How soon somebody should look at a plugin: the smaller, the sooner.
fn urgency(plugin: &Plugin) -> u8 {
    match state_of(plugin) {
        ReportedState::Error => 0,
        ReportedState::Restarting => 1,
        ReportedState::Stopping => 2,
        ReportedState::Starting | ReportedState::Connecting => 3,
        ReportedState::Active => 4,
        ReportedState::Inactive | ReportedState::Unspecified => 5,
    }
}

#[cfg(test)]
pub(super) mod tests;
