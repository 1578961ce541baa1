//! What a run uses of the host: one sample, and what a row of them says.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

/// Most samples of its memory that are kept of a run.
pub const MAX_HISTORY: usize = 60;

/// What all processes of a run used at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub time: Timestamp,
    pub memory_bytes: u64,
    /// Time on a processor since the run began.
    pub cpu_time: Duration,
    pub processes: u32,
    /// None where they can't be counted.
    pub open_files: Option<u32>,
}

/// What a run uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The last sample.
    pub sample: Sample,
    /// Thousandths of a processor between the last two samples; none after the first.
    pub cpu_millis: Option<u32>,
    /// The memory of the samples up to this one, the oldest first.
    pub memory_history: VecDeque<u64>,
}

impl Usage {
    /// What the first sample says.
    pub fn first(sample: Sample) -> Self {
        Self { sample, cpu_millis: None, memory_history: VecDeque::from([sample.memory_bytes]) }
    }

    /// Takes the sample that came so long after the last one.
    pub fn add(&mut self, sample: Sample, after: Duration) {
        // What a process used may be forgotten when it ends; a run can't have used less than before.
        let cpu_time = sample.cpu_time.max(self.sample.cpu_time);
        self.cpu_millis = millis(cpu_time.saturating_sub(self.sample.cpu_time), after).or(self.cpu_millis);
        self.sample = Sample { cpu_time, ..sample };
        if self.memory_history.len() >= MAX_HISTORY {
            self.memory_history.pop_front();
        }
        self.memory_history.push_back(sample.memory_bytes);
    }
}

/// Thousandths of a processor that were used, if this much of it was in this time.
fn millis(used: Duration, time: Duration) -> Option<u32> {
    let millis = used.as_micros().saturating_mul(1000).checked_div(time.as_micros())?;
    Some(u32::try_from(millis).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_sample(memory_bytes: u64, cpu_millis: u64) -> Sample {
        let cpu_time = Duration::from_millis(cpu_millis);
        Sample { time: Timestamp::UNIX_EPOCH, memory_bytes, cpu_time, processes: 1, open_files: None }
    }

    #[test]
    fn the_share_of_a_processor_is_that_between_two_samples() {
        let mut usage = Usage::first(mk_sample(1, 10_000));
        assert_eq!(usage.cpu_millis, None, "what it used before is no share of any time");
        usage.add(mk_sample(1, 12_500), Duration::from_secs(5));
        assert_eq!(usage.cpu_millis, Some(500));
        usage.add(mk_sample(1, 12_500), Duration::from_secs(5));
        assert_eq!(usage.cpu_millis, Some(0));
        usage.add(mk_sample(1, 32_500), Duration::from_secs(5));
        assert_eq!(usage.cpu_millis, Some(4000), "four processors");
        usage.add(mk_sample(1, 32_600), Duration::ZERO);
        assert_eq!(usage.cpu_millis, Some(4000), "no time has passed");
    }

    #[test]
    fn the_time_on_a_processor_never_goes_back() {
        let mut usage = Usage::first(mk_sample(1, 900));
        usage.add(mk_sample(1, 400), Duration::from_secs(1));
        assert_eq!((usage.sample.cpu_time, usage.cpu_millis), (Duration::from_millis(900), Some(0)));
        usage.add(mk_sample(1, 1000), Duration::from_secs(1));
        assert_eq!(usage.cpu_millis, Some(100));
    }

    #[test]
    fn the_history_has_the_newest_samples_the_oldest_first() {
        let mut usage = Usage::first(mk_sample(0, 0));
        (1..100).for_each(|memory| usage.add(mk_sample(memory, 0), Duration::from_secs(5)));
        assert_eq!(usage.memory_history, (40..100).collect::<VecDeque<u64>>());
        assert_eq!(usage.memory_history.capacity(), 64, "it grows no further");
    }
}
