//! What was measured: rounds of plugd and of its limit, in turn, and what the goal says of them.

use std::time::Duration;

/// How often plugd and its limit take turns, at least.
pub(crate) const ROUNDS: usize = 5;

/// What was measured in each round, in the unit of its row.
#[derive(Clone, Default)]
pub(crate) struct Rounds(Vec<Vec<f64>>);

impl Rounds {
    /// Adds one round; one without figures is none.
    pub(crate) fn add(&mut self, mut figures: Vec<f64>) {
        figures.sort_unstable_by(f64::total_cmp);
        if !figures.is_empty() {
            self.0.push(figures);
        }
    }

    /// What this part of all figures does not exceed, and the same of the best and the worst round.
    pub(crate) fn quantile(&self, part: f64) -> Spread {
        let mut all = self.0.concat();
        all.sort_unstable_by(f64::total_cmp);
        let rounds: Vec<f64> = self.0.iter().map(|round| of_sorted(round, part)).collect();
        let low = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Spread { value: of_sorted(&all, part), low, high }
    }
}

fn of_sorted(figures: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = ((figures.len() - 1) as f64 * part).round() as usize;
    figures[index]
}

/// A figure, and how far the rounds were apart.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// What a row should come to.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Nothing: it is there to be seen.
    Seen,
    /// At least so many times the limit's rate.
    Rate(f64),
    /// At most so many times what the limit takes.
    Times(f64),
    /// At most so much more than the limit takes.
    Above(f64),
    /// At most so much, whatever else there is.
    AtMost(f64),
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) plugd: Spread,
    /// What it is compared with, and how that did; None where nothing is comparable.
    pub(crate) limit: Option<(&'static str, Spread)>,
    pub(crate) goal: Goal,
}

impl Row {
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.limit.map(|(_, limit)| self.plugd.value / limit.value)
    }

    /// How much of what the goal allows is used up: up to 1 it is met.
    pub(crate) fn used(&self) -> Option<f64> {
        let limit = self.limit.map(|(_, limit)| limit.value);
        match self.goal {
            Goal::Seen => None,
            Goal::Rate(least) => Some(least / self.ratio()?),
            Goal::Times(most) => Some(self.ratio()? / most),
            Goal::Above(most) => Some(((self.plugd.value - limit?) / most).max(0.0)),
            // None of nothing is met.
            Goal::AtMost(most) => Some(if self.plugd.value > 0.0 { self.plugd.value / most } else { 0.0 }),
        }
    }

    pub(crate) fn goal(&self) -> String {
        match self.goal {
            Goal::Seen => String::new(),
            Goal::Rate(least) => format!(">= {least} x"),
            Goal::Times(most) => format!("<= {most} x"),
            Goal::Above(most) => format!("<= +{most} {}", self.unit),
            Goal::AtMost(most) => format!("<= {most} {}", self.unit),
        }
    }
}

/// How something grows with how many there are.
pub(crate) struct Growth {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Growth {
    /// The exponent of the line through the points on logarithmic axes: 1 is linear. None of fewer than two points.
    pub(crate) fn slope(&self) -> Option<f64> {
        let logs: Vec<(f64, f64)> = self.points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let count = to_f64(logs.len());
        let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
        let spread: f64 = logs.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
        let both: f64 = logs.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
        (logs.len() > 1).then(|| both / spread)
    }
}

/// All figures.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) growth: Vec<Growth>,
    /// What was not measured, and why.
    pub(crate) skipped: Vec<String>,
}

impl Report {
    /// Adds the median and the 99th percentile, in milliseconds, each with its goal.
    pub(crate) fn times(&mut self, what: &str, plugd: &Rounds, limit: (&'static str, &Rounds), goals: [Goal; 2]) {
        for ((name, part), goal) in [("p50", 0.5), ("p99", 0.99)].into_iter().zip(goals) {
            let limit = Some((limit.0, limit.1.quantile(part)));
            self.rows.push(Row {
                what: format!("{what}, {name}"),
                unit: "ms",
                plugd: plugd.quantile(part),
                limit,
                goal,
            });
        }
    }

    /// Adds the median of something.
    pub(crate) fn median(
        &mut self,
        (what, unit): (impl Into<String>, &'static str),
        plugd: &Rounds,
        limit: Option<(&'static str, &Rounds)>,
        goal: Goal,
    ) {
        let limit = limit.map(|(name, limit)| (name, limit.quantile(0.5)));
        self.rows.push(Row { what: what.into(), unit, plugd: plugd.quantile(0.5), limit, goal });
    }

    /// Adds what was looked at once, with nothing beside it.
    pub(crate) fn once(&mut self, what: impl Into<String>, unit: &'static str, value: f64, goal: Goal) {
        let plugd = Spread { value, low: value, high: value };
        self.rows.push(Row { what: what.into(), unit, plugd, limit: None, goal });
    }

    /// Adds a point of how something grows with `count`.
    pub(crate) fn grows(&mut self, what: &'static str, unit: &'static str, count: usize, value: f64) {
        let point = (to_f64(count), value);
        match self.growth.iter_mut().find(|growth| growth.what == what) {
            Some(growth) => growth.points.push(point),
            None => self.growth.push(Growth { what, unit, points: vec![point] }),
        }
    }

    /// Says what was not measured.
    pub(crate) fn skip(&mut self, what: &str, reason: impl std::fmt::Display) {
        println!("{what} is left out: {reason}");
        self.skipped.push(format!("{what}: {reason}"));
    }
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes are far below 2^52")]
pub(crate) fn to_f64(count: usize) -> f64 {
    count as f64
}
