//! Two charts, as SVG: how much of each goal is used, and how cost grows.

use std::fmt::Write;

use crate::{
    figures::{Growth, Report},
    output::short,
};

const WIDTH: f64 = 960.0;
/// Where bars begin, behind what they are about.
const LEFT: f64 = 420.0;
const LINE: f64 = 20.0;
/// The axis of the bars: these parts of a goal, on a logarithmic scale. What lies outside stops at its end.
const LEAST: f64 = 0.01;
const MOST: f64 = 100.0;

/// Margins of the growth chart, and its height.
const MARGIN: f64 = 60.0;
const HEIGHT: f64 = 560.0;
const COLOURS: [&str; 8] = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf"];

/// A bar for each row with a goal: left of the line it is met.
pub(crate) fn bars(report: &Report) -> String {
    let rows: Vec<_> = report.rows.iter().filter_map(|row| Some((row, row.used()?))).collect();
    let mut height = LINE * 2.0;
    let mut bars = String::new();
    for (row, used) in rows {
        let (begin, end) = (LEFT, place(used));
        let colour = if used <= 1.0 { "#2ca02c" } else { "#d62728" };
        let ratio = row.ratio().map(|ratio| format!(", {ratio:.2} x")).unwrap_or_default();
        let told = format!("{} {}{ratio} (goal {})", short(row.plugd.value), row.unit, row.goal());
        text(&mut bars, (LEFT - 8.0, height + 14.0), "end", &row.what);
        let _ = writeln!(
            bars,
            r#"<rect x="{begin}" y="{:.1}" width="{:.1}" height="{}" fill="{colour}" fill-opacity="0.55"/>"#,
            height + 2.0,
            end - begin,
            LINE - 4.0,
        );
        text(&mut bars, (LEFT + 6.0, height + 14.0), "start", &told);
        height += LINE;
    }
    text(&mut bars, (place(1.0), LINE), "middle", "goal");
    line(&mut bars, (place(1.0), LINE + 6.0), (place(1.0), height), "#000");
    document(height + LINE, &bars)
}

fn place(used: f64) -> f64 {
    let part = (used.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + part * (WIDTH - LEFT - 20.0)
}

/// A line for each thing that grows, on logarithmic axes. Each begins at 1, whatever its unit: slopes are to be compared.
pub(crate) fn growth(report: &Report) -> String {
    let grown: Vec<(&Growth, Vec<(f64, f64)>)> = report
        .growth
        .iter()
        .filter(|growth| growth.points.len() > 1)
        .map(|growth| (growth, relative(growth)))
        .collect();
    let all = || grown.iter().flat_map(|(_, points)| points);
    let x_range = range(all().map(|(x, _)| *x));
    let y_range = range(all().map(|(_, y)| *y));
    let place = |(x, y): (f64, f64)| {
        let part = |value: f64, (least, most): (f64, f64)| (value / least).ln() / (most / least).ln();
        (
            MARGIN + part(x, x_range) * (WIDTH - LEFT - MARGIN),
            HEIGHT - MARGIN - part(y, y_range) * (HEIGHT - 2.0 * MARGIN),
        )
    };
    let mut chart = String::new();
    for x in powers(x_range) {
        let (at, _) = place((x, 1.0));
        line(&mut chart, (at, MARGIN), (at, HEIGHT - MARGIN), "#ddd");
        text(&mut chart, (at, HEIGHT - MARGIN + 18.0), "middle", &format!("{x}"));
    }
    for y in powers(y_range) {
        let (_, at) = place((x_range.0, y));
        line(&mut chart, (MARGIN, at), (WIDTH - LEFT, at), "#ddd");
        text(&mut chart, (MARGIN - 6.0, at + 4.0), "end", &format!("{y} x"));
    }
    for (number, (growth, points)) in grown.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        for pair in points.windows(2) {
            line(&mut chart, place(pair[0]), place(pair[1]), colour);
        }
        let slope = growth.slope().unwrap_or_default();
        let y = (1..=number).fold(MARGIN, |y, _| y + LINE);
        line(&mut chart, (WIDTH - LEFT + 16.0, y), (WIDTH - LEFT + 36.0, y), colour);
        text(&mut chart, (WIDTH - LEFT + 42.0, y + 4.0), "start", &format!("{}: {slope:.2}", growth.what));
    }
    text(&mut chart, (MARGIN, LINE), "start", "Cost by how many there are, beside that of the fewest; slopes");
    document(HEIGHT, &chart)
}

/// The points with values beside that of the first.
fn relative(growth: &Growth) -> Vec<(f64, f64)> {
    let first = growth.points[0].1;
    growth.points.iter().map(|(x, y)| (*x, y / first)).collect()
}

/// The powers of ten around some values.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((1.0_f64, 10.0_f64), |(least, most), value| (least.min(value), most.max(value)));
    (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()))
}

fn powers((least, most): (f64, f64)) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(least), |power| Some(power * 10.0)).take_while(move |power| *power <= most * 1.01)
}

fn line(chart: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let ends = format!(r#"x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}""#);
    let _ = writeln!(chart, r#"<line {ends} stroke="{colour}" stroke-width="1.5"/>"#);
}

fn text(chart: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(chart, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn document(height: f64, content: &str) -> String {
    let head = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}""#);
    format!(
        "{head} font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{content}</svg>\n"
    )
}
