//! What a node of a cluster is at the moment.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::{
    cluster::{Leader, Progress},
    grpc::Part,
    supervisor::Projection,
};

/// What it is, for whoever asks.
#[derive(Clone)]
pub(super) enum Role {
    /// It leads.
    Leads {
        /// In this term.
        term: u64,
        /// Has what it has written.
        projection: Arc<Projection>,
    },
    /// It follows.
    Follows {
        /// Whom, as far as is known.
        leader: watch::Receiver<Option<Leader>>,
        /// How well.
        progress: watch::Receiver<Progress>,
    },
    /// It does neither, as between the two. All that there was had been read then.
    Neither(Instant),
}

impl Role {
    /// What a node is that has just been started.
    pub(super) fn none_yet() -> Self {
        Self::Neither(Instant::now())
    }

    /// What a node is that was this.
    pub(super) fn left(&self) -> Self {
        match self {
            Self::Leads { .. } => Self::none_yet(),
            Self::Follows { progress, .. } => Self::Neither(progress.borrow().caught_up),
            Self::Neither(since) => Self::Neither(*since),
        }
    }

    pub(super) fn is_leader(&self) -> bool {
        matches!(self, Self::Leads { .. })
    }

    /// The number of the leader; 0 if none is known.
    pub(super) fn term(&self) -> u64 {
        match self {
            Self::Leads { term, .. } => *term,
            Self::Follows { leader, .. } => leader.borrow().as_ref().map_or(0, |leader| leader.term),
            Self::Neither(_) => 0,
        }
    }

    /// The newest revision that it has; none if it does not keep any.
    pub(super) fn revision(&self) -> Option<u64> {
        match self {
            Self::Leads { projection, .. } => Some(projection.head()),
            Self::Follows { progress, .. } => Some(progress.borrow().revision),
            Self::Neither(_) => None,
        }
    }

    /// Revisions that were not read yet, and how long ago everything had been read.
    pub(super) fn lag(&self) -> (u64, Duration) {
        match self {
            Self::Leads { .. } => (0, Duration::ZERO),
            Self::Follows { progress, .. } => {
                let progress = *progress.borrow();
                (progress.behind, progress.caught_up.elapsed())
            }
            Self::Neither(since) => (0, since.elapsed()),
        }
    }

    /// For a person.
    fn words(&self) -> String {
        let (behind, since) = self.lag();
        match self {
            Self::Leads { term, .. } => format!("this node leads, in term {term}"),
            Self::Follows { leader, .. } => match &*leader.borrow() {
                Some(Leader { address, term }) => format!(
                    "this node follows {address}, which leads in term {term}; {behind} revisions and {} s behind",
                    since.as_secs()
                ),
                None => format!("this node follows, and nobody is known to lead; {} s behind", since.as_secs()),
            },
            Self::Neither(_) => "this node neither leads nor follows".to_owned(),
        }
    }

    /// How the cluster is, as this node sees it.
    pub(super) fn part(&self) -> Part {
        Part { name: "cluster", is_healthy: self.term() > 0, found: self.words() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_has_left_its_part_lags_since_it_had_read_everything() {
        let projection = Projection::following(Vec::new(), 7);
        let leads = Role::Leads { term: 3, projection };
        assert_eq!((leads.term(), leads.revision(), leads.lag()), (3, Some(7), (0, Duration::ZERO)));
        tokio::time::advance(Duration::from_secs(5)).await;
        let left = leads.left();
        tokio::time::advance(Duration::from_secs(20)).await;
        let left = left.left();
        assert_eq!((left.term(), left.revision(), left.lag()), (0, None, (0, Duration::from_secs(20))));
        assert!(!left.is_leader() && !left.part().is_healthy);
    }
}
