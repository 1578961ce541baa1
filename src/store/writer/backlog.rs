//! Reports that wait for the database: the newest of each plugin, in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{PluginId, Reported};

/// What waits. Its size is bounded by the number of plugins.
#[derive(Default)]
pub(super) struct Backlog {
    /// Plugins by the arrival of their newest report.
    order: BTreeMap<u64, PluginId>,
    newest: HashMap<PluginId, (u64, Reported)>,
    arrivals: u64,
}

impl Backlog {
    /// Takes a report in, in place of an earlier one of the same plugin.
    pub(super) fn push(&mut self, id: PluginId, reported: Reported) {
        self.arrivals += 1;
        if let Some((earlier, _)) = self.newest.insert(id, (self.arrivals, reported)) {
            self.order.remove(&earlier);
        }
        self.order.insert(self.arrivals, id);
    }

    /// The oldest few.
    pub(super) fn first(&self, count: usize) -> Vec<(PluginId, Reported)> {
        let ids = self.order.values().take(count);
        ids.filter_map(|id| self.newest.get(id).map(|(_, reported)| (*id, reported.clone()))).collect()
    }

    /// Forgets as many of the oldest.
    pub(super) fn drop_first(&mut self, count: usize) {
        for _ in 0..count {
            if let Some((_, id)) = self.order.pop_first() {
                self.newest.remove(&id);
            }
        }
    }

    /// Forgets what waits of one plugin.
    pub(super) fn forget(&mut self, id: PluginId) {
        if let Some((arrival, _)) = self.newest.remove(&id) {
            self.order.remove(&arrival);
        }
    }

    /// How many plugins wait.
    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn mk_report(generation: u64) -> Reported {
        Reported::inactive(Timestamp::UNIX_EPOCH, generation)
    }

    #[test]
    fn only_the_newest_of_a_plugin_waits_at_the_place_where_it_came() {
        let [one, two, three] = [1, 2, 3].map(|byte| PluginId::from_bytes([byte; 12]));
        let mut backlog = Backlog::default();
        for (id, generation) in [(one, 1), (two, 1), (one, 2), (three, 1)] {
            backlog.push(id, mk_report(generation));
        }
        assert_eq!(backlog.first(2), [(two, mk_report(1)), (one, mk_report(2))]);
        backlog.drop_first(2);
        assert_eq!(backlog.first(9), [(three, mk_report(1))]);
        assert_eq!(backlog.len(), 1);
    }
}
