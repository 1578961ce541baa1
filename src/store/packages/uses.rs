//! What is done with packages beside being read: one is never uploaded while it is deleted, nor fetched twice at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::sync::watch;

use crate::domain::Digest;

/// What is done now.
#[derive(Default)]
pub(super) struct Uses(watch::Sender<InUse>);

#[derive(Default)]
struct InUse {
    /// How many uploads there are of a package.
    uploads: HashMap<Digest, usize>,
    deleted: HashSet<Digest>,
    fetched: HashSet<Digest>,
}

impl InUse {
    fn begin_upload(&mut self, digest: Digest) -> bool {
        let is_free = !self.deleted.contains(&digest);
        if is_free {
            *self.uploads.entry(digest).or_default() += 1;
        }
        is_free
    }

    fn end_upload(&mut self, digest: Digest) {
        let left = self.uploads.remove(&digest).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            self.uploads.insert(digest, left);
        }
    }

    fn begin_deletion(&mut self, digest: Digest) -> bool {
        !self.uploads.contains_key(&digest) && self.deleted.insert(digest)
    }

    fn end_deletion(&mut self, digests: &[Digest]) {
        for digest in digests {
            self.deleted.remove(digest);
        }
    }
}

/// A package that was stored for a plugin that is about to refer to it. It is not swept for as long as this is held.
pub struct Upload {
    uses: Arc<Uses>,
    digest: Digest,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uses.0.send_modify(|in_use| in_use.end_upload(self.digest));
    }
}

/// A package that is fetched from the database. Nobody else begins to fetch it for as long as this is held.
pub(super) struct Fetch<'a> {
    uses: &'a Uses,
    digest: Digest,
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        self.uses.0.send_modify(|in_use| {
            in_use.fetched.remove(&self.digest);
        });
    }
}

/// Packages that are deleted unless somebody needs them. Nobody begins to upload one for as long as this is held.
pub(super) struct Deletion {
    uses: Arc<Uses>,
    digests: Vec<Digest>,
}

impl Deletion {
    pub(super) fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// Gives up the deletion of these.
    pub(super) fn spare(&mut self, needed: &HashSet<Digest>) {
        let (spared, digests): (Vec<_>, _) = self.digests.iter().partition(|digest| needed.contains(digest));
        self.digests = digests;
        self.uses.0.send_modify(|in_use| in_use.end_deletion(&spared));
    }
}

impl Drop for Deletion {
    fn drop(&mut self) {
        self.uses.0.send_modify(|in_use| in_use.end_deletion(&self.digests));
    }
}

impl Uses {
    /// Waits until nobody deletes the package.
    pub(super) async fn upload(self: &Arc<Self>, digest: Digest) -> Upload {
        let mut changes = self.0.subscribe();
        while !self.0.send_if_modified(|in_use| in_use.begin_upload(digest)) {
            let _ = changes.wait_for(|in_use| !in_use.deleted.contains(&digest)).await;
        }
        Upload { uses: Arc::clone(self), digest }
    }

    /// Waits until nobody fetches the package.
    pub(super) async fn fetch(&self, digest: Digest) -> Fetch<'_> {
        let mut changes = self.0.subscribe();
        while !self.0.send_if_modified(|in_use| in_use.fetched.insert(digest)) {
            let _ = changes.wait_for(|in_use| !in_use.fetched.contains(&digest)).await;
        }
        Fetch { uses: self, digest }
    }

    /// Those of these packages that nobody uploads or deletes.
    pub(super) fn delete(self: &Arc<Self>, mut digests: Vec<Digest>) -> Deletion {
        self.0.send_modify(|in_use| digests.retain(|digest| in_use.begin_deletion(*digest)));
        Deletion { uses: Arc::clone(self), digests }
    }
}

#[cfg(test)]
impl Uses {
    pub(super) fn has_no_uploads(&self) -> bool {
        self.0.borrow().uploads.is_empty()
    }

    pub(super) async fn uploads_ended(&self) {
        self.0.subscribe().wait_for(|in_use| in_use.uploads.is_empty()).await.unwrap();
    }
}
