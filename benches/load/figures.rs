//! What was measured, and how it is told: ratios first.

use std::{fmt, time::Duration};

/// How long each of many rounds took.
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut rounds: Vec<Duration>) -> Self {
        rounds.sort_unstable();
        Self(rounds)
    }

    /// The time within which this part of the rounds ended, from 0 to 1.
    fn quantile(&self, part: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let index = ((self.0.len() - 1) as f64 * part).round() as usize;
        self.0[index].as_secs_f64() * 1e3
    }
}

/// One figure, of plugd and of what is possible.
struct Line {
    what: String,
    unit: &'static str,
    plugd: f64,
    /// None where nothing is comparable.
    bare: Option<f64>,
}

/// All figures.
#[derive(Default)]
pub(crate) struct Report(Vec<Line>);

impl Report {
    /// Adds the median and the 99th percentile of something that takes time.
    pub(crate) fn times(&mut self, what: &str, plugd: &Samples, bare: &Samples) {
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            self.add(format!("{what}, {name}"), "ms", plugd.quantile(part), bare.quantile(part));
        }
    }

    /// Adds how much of something is done in a second.
    pub(crate) fn rates(&mut self, what: &str, plugd: f64, bare: f64) {
        self.add(what.to_owned(), "/s", plugd, bare);
    }

    /// Adds a time of plugd's alone.
    pub(crate) fn alone(&mut self, what: &str, time: Duration) {
        self.0.push(Line { what: what.to_owned(), unit: "ms", plugd: time.as_secs_f64() * 1e3, bare: None });
    }

    fn add(&mut self, what: String, unit: &'static str, plugd: f64, bare: f64) {
        self.0.push(Line { what, unit, plugd, bare: Some(bare) });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>7} {:>15} {:>15}", "", "ratio", "plugd", "bare")?;
        for Line { what, unit, plugd, bare } in &self.0 {
            match bare {
                Some(bare) => {
                    let ratio = plugd / bare;
                    writeln!(f, "{what:<44} {ratio:>7.2} {plugd:>12.2} {unit:<2} {bare:>12.2} {unit:<2}")?;
                }
                None => writeln!(f, "{what:<44} {:>7} {plugd:>12.2} {unit:<2}", "")?,
            }
        }
        Ok(())
    }
}
