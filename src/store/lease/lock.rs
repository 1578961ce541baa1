//! What keeps a second plugd from starting.

use std::fs::File;

use crate::store::{StoreError, postgres::Held};

/// What a second plugd runs into when it starts.
pub(super) enum Lock {
    /// Held until the database is closed.
    File(File),
    /// As long as the session.
    Session(Held),
}

impl Lock {
    /// # Errors
    /// [`StoreError::Taken`] when another plugd has it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Session(held) => held.check(),
        }
    }
}

impl Drop for Lock {
    /// Unlocks the file, which closing it would not do at once: a process that is being started has the descriptor too
    /// until it runs its program, and keeps the lock until then.
    fn drop(&mut self) {
        if let Self::File(file) = self
            && let Err(error) = file.unlock()
        {
            tracing::warn!(%error, "the database's lock could not be released before its file is closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite;

    #[test]
    fn the_lock_is_released_though_a_process_that_is_being_started_has_its_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("plugd.db");
        let file = sqlite::lock(&database).unwrap();
        let _of_the_other_process = file.try_clone().unwrap();
        drop(Lock::File(file));
        sqlite::lock(&database).unwrap();
    }
}
