//! How many packages may be in memory for clients.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::{
    domain::{Error, Reason},
    grpc::status::status,
};

/// Uploads at once, and downloads at once. Each holds a whole package, which may have 50 MiB.
const AT_ONCE: usize = 8;

/// Places for packages on their way.
pub(super) struct Transfers {
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { uploads: Arc::new(Semaphore::new(AT_ONCE)), downloads: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Transfers {
    /// A place for a package on its way in, which is given back when the result is dropped.
    ///
    /// # Errors
    /// `TOO_BUSY`.
    pub(super) fn begin_upload(&self) -> Result<OwnedSemaphorePermit, Status> {
        begin(&self.uploads, "uploads")
    }

    /// The same for one on its way out.
    ///
    /// # Errors
    /// `TOO_BUSY`.
    pub(super) fn begin_download(&self) -> Result<OwnedSemaphorePermit, Status> {
        begin(&self.downloads, "downloads")
    }
}

fn begin(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Status> {
    let busy = |_| status(Error::new(Reason::TooBusy, format!("{AT_ONCE} {what} are running")));
    Arc::clone(places).try_acquire_owned().map_err(busy)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let transfers = Transfers::default();
        for begin in [Transfers::begin_upload, Transfers::begin_download] {
            let mut begun: Vec<_> = (0..AT_ONCE).map(|_| begin(&transfers).unwrap()).collect();
            assert_eq!(begin(&transfers).unwrap_err().code(), Code::Unavailable);
            begun.pop();
            assert!(begin(&transfers).is_ok());
        }
    }
}
