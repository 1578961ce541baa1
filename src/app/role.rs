//! What a node of a cluster is at the moment.

use std::time::Duration;

use tokio::sync::watch;

use crate::{
    cluster::{Leader, Progress},
    grpc::Part,
};

/// What it is, for whoever asks.
#[derive(Clone)]
pub(super) enum Role {
    /// It leads, in this term.
    Leads(u64),
    /// It follows.
    Follows {
        /// Whom, as far as is known.
        leader: watch::Receiver<Option<Leader>>,
        /// How well.
        progress: watch::Receiver<Progress>,
    },
}

impl Role {
    pub(super) fn is_leader(&self) -> bool {
        matches!(self, Self::Leads(_))
    }

    /// The number of the leader; 0 if none is known.
    pub(super) fn term(&self) -> u64 {
        match self {
            Self::Leads(term) => *term,
            Self::Follows { leader, .. } => leader.borrow().as_ref().map_or(0, |leader| leader.term),
        }
    }

    /// Revisions that were not read yet, and how long ago everything had been read.
    pub(super) fn lag(&self) -> (u64, Duration) {
        match self {
            Self::Leads(_) => (0, Duration::ZERO),
            Self::Follows { progress, .. } => {
                let progress = *progress.borrow();
                (progress.behind, progress.caught_up.elapsed())
            }
        }
    }

    /// For a person.
    fn words(&self) -> String {
        let (behind, since) = self.lag();
        match self {
            Self::Leads(term) => format!("this node leads, in term {term}"),
            Self::Follows { leader, .. } => match &*leader.borrow() {
                Some(Leader { address, term }) => format!(
                    "this node follows {address}, which leads in term {term}; {behind} revisions and {} s behind",
                    since.as_secs()
                ),
                None => format!("this node follows, and nobody is known to lead; {} s behind", since.as_secs()),
            },
        }
    }

    /// How the cluster is, as this node sees it.
    pub(super) fn part(&self) -> Part {
        Part { name: "cluster", is_healthy: self.term() > 0, found: self.words() }
    }
}
