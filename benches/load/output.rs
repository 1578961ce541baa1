//! How figures are told: a table for people, JSON for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::figures::{Growth, Report, Row, Spread};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["plugd", "(rounds)", "limit", "(rounds)", "ratio", "goal"];
        let [plugd, rounds, limit, limit_rounds, ratio, goal] = heads;
        writeln!(f, "{:<52} {plugd:>12} {rounds:>17} {limit:>12} {limit_rounds:>17} {ratio:>6}  {goal:<11} met", "")?;
        self.rows.iter().try_for_each(|row| write_row(f, row))?;
        self.growth.iter().try_for_each(|growth| write_growth(f, growth))
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    let figure = |spread: Spread| format!("{} {:<3}", short(spread.value), row.unit);
    let rounds = |spread: Spread| format!("({}..{})", short(spread.low), short(spread.high));
    write!(f, "{:<52} {:>12} {:>17} ", row.what, figure(row.plugd), rounds(row.plugd))?;
    match row.limit {
        Some((_, limit)) => write!(f, "{:>12} {:>17} ", figure(limit), rounds(limit))?,
        None => write!(f, "{:>12} {:>17} ", "", "")?,
    }
    let ratio = row.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    let met = row.used().map_or("", |used| if used <= 1.0 { "yes" } else { "NO" });
    let name = row.limit.map_or(String::new(), |(name, _)| format!("  beside {name}"));
    writeln!(f, "{ratio:>6}  {:<11} {met:<3}{name}", row.goal())
}

fn write_growth(f: &mut fmt::Formatter<'_>, growth: &Growth) -> fmt::Result {
    let points = growth.points.iter().map(|(count, value)| format!("{count}: {}", short(*value)));
    let points = points.collect::<Vec<_>>().join(", ");
    let slope = growth.slope().map(|slope| format!("grows with the power {slope:.2}")).unwrap_or_default();
    writeln!(f, "{} ({}): {slope} ({points})", growth.what, growth.unit)
}

/// Three digits, or what stands before the point.
pub(crate) fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Everything, for programs.
pub(crate) fn to_json(report: &Report) -> Value {
    let growth = report.growth.iter().map(
        |growth| json!({"what": growth.what, "unit": growth.unit, "points": growth.points, "slope": growth.slope()}),
    );
    json!({
        "processors": std::thread::available_parallelism().map(usize::from).unwrap_or(0),
        "rows": report.rows.iter().map(row_to_json).collect::<Vec<_>>(),
        "growth": growth.collect::<Vec<_>>(),
        "skipped": report.skipped,
    })
}

fn row_to_json(row: &Row) -> Value {
    let spread = |spread: Spread| json!({"value": spread.value, "lowest": spread.low, "highest": spread.high});
    let used = row.used();
    json!({
        "what": row.what,
        "unit": row.unit,
        "plugd": spread(row.plugd),
        "limit": row.limit.map(|(name, limit)| json!({"name": name, "figure": spread(limit)})),
        "ratio": row.ratio(),
        "goal": row.goal(),
        "used_of_goal": used,
        "met": used.map(|used| used <= 1.0),
    })
}
