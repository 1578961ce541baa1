//! How `plugd top` looks.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState},
};

use super::state::{Connection, Log, Mode, Top, status};
use crate::{
    api::v1::{Plugin, ReportedState},
    cli::{
        show::{self, cpu, state_of, state_word},
        ui::{self, sanitize},
    },
};

/// The keys, for who asks.
const KEYS: [(&str, &str); 10] = [
    ("Up, Down, j, k", "select a plugin"),
    ("s, x, r", "start, stop, restart it"),
    ("l, Enter", "show its log, or close it"),
    ("PgUp, PgDn", "scroll the log"),
    ("/", "filter by name, id or state"),
    ("Esc", "close the log, drop the filter"),
    ("o", "sort by another column"),
    ("g, G", "go to the first, the last"),
    ("?", "this"),
    ("q, Ctrl-C", "end"),
];

/// The keys in a line.
const HINT: &str = "s start  x stop  r restart  l log  / filter  o sort  ? help  q quit";

/// With fewer columns than this only names, states and times are shown, and with half of them no times.
const NARROW: u16 = 64;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top, now: Timestamp) {
    let log = top.log.is_some();
    let heights = [
        Constraint::Length(1),
        Constraint::Min(2),
        Constraint::Percentage(if log { 50 } else { 0 }),
        Constraint::Length(1),
        Constraint::Length(1),
    ];
    let [title, table, pane, detail, bottom] = Layout::vertical(heights).areas(frame.area());
    let selected = top.select();
    frame.render_widget(Paragraph::new(heading(top)), title);
    draw_table(frame, top, (table, selected), now);
    if let Some(log) = &top.log {
        draw_log(frame, top, log, pane);
    }
    frame.render_widget(Paragraph::new(details(top)), detail);
    frame.render_widget(Paragraph::new(last_line(top)), bottom);
    if top.mode == Mode::Help {
        draw_help(frame);
    }
}

/// A style in colour, unless there is to be none.
fn colored(top: &Top, color: Color) -> Style {
    if top.is_colored { Style::new().fg(color) } else { Style::new() }
}

/// Where this is, whether it is connected, and how many plugins are in which state.
fn heading(top: &Top) -> Line<'static> {
    let mut spans = vec!["plugd ".bold(), sanitize(&top.server).into(), "  ".into()];
    match &top.connection {
        Connection::Opening => spans.push("connecting".dim()),
        Connection::Live => spans.extend(counts(top)),
        Connection::Broken(why) => {
            let words = format!("RECONNECTING: {}", sanitize(why));
            spans.push(Span::styled(words, colored(top, Color::Red).bold()));
        }
    }
    Line::from(spans)
}

fn counts(top: &Top) -> Vec<Span<'static>> {
    use ReportedState::{Active, Connecting, Error, Inactive, Restarting, Starting, Stopping};
    let count = top.plugins().count();
    let mut spans = vec![format!("{count} plugin{}", if count == 1 { "" } else { "s" }).into()];
    for state in [Active, Error, Restarting, Starting, Connecting, Stopping, Inactive] {
        let count = top.plugins().filter(|plugin| state_of(plugin) == state).count();
        if count > 0 {
            spans.push("  ".into());
            spans.push(Span::styled(format!("{count} {}", state_word(state)), of_state(top, state)));
        }
    }
    spans
}

fn of_state(top: &Top, state: ReportedState) -> Style {
    match show::style(state) {
        ui::Style::Green => colored(top, Color::Green),
        ui::Style::Red => colored(top, Color::Red),
        ui::Style::Yellow => colored(top, Color::Yellow),
        ui::Style::Dim => Style::new().dim(),
        _ => Style::new(),
    }
}

/// The columns of a table of this width: their headings and widths.
fn columns(width: u16) -> Vec<(&'static str, Constraint)> {
    let all = [
        ("NAME", Constraint::Fill(3)),
        ("STATE", Constraint::Length(10)),
        ("SINCE", Constraint::Length(7)),
        ("RESTARTS", Constraint::Length(8)),
        ("CPU", Constraint::Length(7)),
        ("MEMORY", Constraint::Length(7)),
        ("PID", Constraint::Length(7)),
        ("FAILURE", Constraint::Fill(4)),
    ];
    let is_shown = |name: &str| match name {
        "NAME" | "STATE" => true,
        "SINCE" => width >= NARROW / 2,
        _ => width >= NARROW,
    };
    all.into_iter().filter(|(name, _)| is_shown(name)).collect()
}

fn draw_table(frame: &mut Frame<'_>, top: &Top, (area, selected): (Rect, Option<usize>), now: Timestamp) {
    let columns = columns(area.width);
    let shown = top.rows();
    if shown.is_empty() && top.connection == Connection::Live {
        let words = if top.filter.is_empty() { "No plugins." } else { "No plugin is like that." };
        return frame.render_widget(Paragraph::new(words.dim()), area);
    }
    let heading = Row::new(columns.iter().map(|(name, _)| *name)).style(Style::new().bold());
    let rows = shown.into_iter().map(|plugin| Row::new(columns.iter().map(|(name, _)| cell(top, plugin, name, now))));
    let table = Table::new(rows, columns.iter().map(|(_, width)| *width))
        .header(heading)
        .row_highlight_style(Style::new().reversed());
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

fn cell(top: &Top, plugin: &Plugin, column: &str, now: Timestamp) -> Cell<'static> {
    let (status, usage) = (status(plugin), top.usage(plugin));
    let text = match column {
        "NAME" => sanitize(&plugin.name),
        "STATE" => {
            let state = state_of(plugin);
            return Cell::new(state_word(state)).style(of_state(top, state));
        }
        "SINCE" => {
            status.and_then(|status| status.state_time.as_ref()).map(|time| age(time.seconds, now)).unwrap_or_default()
        }
        "RESTARTS" => status
            .map(|status| status.restart_count)
            .filter(|count| *count > 0)
            .map(|count| count.to_string())
            .unwrap_or_default(),
        "CPU" => usage.and_then(cpu).unwrap_or_default(),
        "MEMORY" => usage.map(|usage| short_bytes(usage.memory_bytes)).unwrap_or_default(),
        "PID" => status.and_then(|status| status.pid).map(|pid| pid.to_string()).unwrap_or_default(),
        _ => sanitize(plugin.message()),
    };
    Cell::new(text)
}

/// How long ago: "59s", "3m05s", "2h07m", "12d3h".
fn age(seconds: i64, now: Timestamp) -> String {
    let ago = now.as_second().saturating_sub(seconds).max(0);
    let (days, hours, minutes, seconds) = (ago / 86_400, ago / 3600 % 24, ago / 60 % 60, ago % 60);
    match ago {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{seconds:02}s"),
        3600..86_400 => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// Bytes in a few letters: "12.3M".
fn short_bytes(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let step = (0..4).take_while(|step| bytes >> (10 * (step + 1)) > 0).count();
    let unit = units.get(step).copied().unwrap_or_default();
    if step == 0 {
        return format!("{bytes}{unit}");
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * step);
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

/// The plugin that is selected, in a line: what went wrong with it has no room in the table.
fn details(top: &Top) -> Line<'static> {
    let Some(plugin) = top.selected() else { return Line::default() };
    let mut spans = vec![plugin.id.clone().dim(), " ".into(), sanitize(&plugin.name).bold()];
    if !plugin.version.is_empty() {
        spans.push(format!(" {}", sanitize(&plugin.version)).dim());
    }
    if !plugin.message().is_empty() {
        spans.push(Span::styled(format!("  {}", sanitize(plugin.message())), colored(top, Color::Red)));
    }
    Line::from(spans)
}

fn last_line(top: &Top) -> Line<'static> {
    if top.mode == Mode::Filter {
        let filter = sanitize(&top.filter);
        return Line::from(vec!["/".bold(), filter.into(), "_".into(), "  Enter keeps it, Esc drops it".dim()]);
    }
    if !top.note.is_empty() {
        return Line::styled(top.note.clone(), colored(top, Color::Yellow));
    }
    let mut spans = vec![HINT.dim(), format!("  by {}", top.order.word()).dim()];
    if !top.filter.is_empty() {
        spans.insert(0, format!("/{}  ", sanitize(&top.filter)).bold());
    }
    Line::from(spans)
}

fn draw_log(frame: &mut Frame<'_>, top: &Top, log: &Log, area: Rect) {
    let name = top.plugins().find(|plugin| plugin.id == log.plugin).map_or(&log.plugin, |plugin| &plugin.name);
    let back = if log.back > 0 { format!(", {} lines back", log.back) } else { String::new() };
    let block = Block::new().borders(Borders::TOP).title(format!(" log of {}{back} ", sanitize(name)));
    let room = usize::from(block.inner(area).height);
    let end = log.lines.len() - log.back.min(log.lines.len());
    let lines = log.lines.iter().take(end).skip(end.saturating_sub(room));
    let mut lines: Vec<Line<'_>> = lines.map(|line| Line::raw(line.as_str())).collect();
    if log.lines.is_empty() {
        lines.push(Line::from("Nothing was printed yet.".dim()));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (area.width.min(54), area.height.min(KEYS.len() as u16 + 2));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let lines: Vec<Line<'_>> =
        KEYS.iter().map(|(key, what)| Line::from(vec![format!(" {key:16}").bold(), (*what).into()])).collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), place);
}

#[cfg(test)]
mod tests;
