//! Documents: manifests and configurations, stored once each and known by digest.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{StoreError, convert, entity::document};
use crate::domain::{Digest, manifest::Manifest};

/// Digests asked for in one statement; databases limit the number of parameters.
const PAGE: usize = 1000;

/// The digest and the text under which a manifest or a configuration is stored.
///
/// # Errors
/// None that a value made of JSON can cause.
pub(super) fn write<T: Serialize>(value: &T) -> Result<(Digest, String), serde_json::Error> {
    let body = serde_json::to_string(value)?;
    Ok((Digest(Sha256::digest(&body).into()), body))
}

/// Documents read from the database, each parsed once however many rows use it.
#[derive(Default)]
pub(super) struct Documents {
    bodies: HashMap<Digest, String>,
    manifests: HashMap<Digest, Arc<Manifest>>,
    configurations: HashMap<Digest, Arc<Map<String, Value>>>,
}

impl Documents {
    /// Reads the documents of these digest columns.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn load<'a>(
        db: &impl ConnectionTrait,
        digests: impl Iterator<Item = &'a Vec<u8>>,
    ) -> Result<Self, StoreError> {
        let distinct: Vec<Vec<u8>> = digests.collect::<HashSet<_>>().into_iter().cloned().collect();
        let mut documents = Self::default();
        for page in distinct.chunks(PAGE) {
            let rows = document::Entity::find().filter(document::Column::Digest.is_in(page.to_vec())).all(db).await?;
            for row in rows {
                documents.bodies.insert(convert::digest(&row.digest)?, row.body);
            }
        }
        Ok(documents)
    }

    /// The manifest of this digest.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn manifest(&mut self, digest: Digest) -> Result<Arc<Manifest>, StoreError> {
        parsed(&self.bodies, &mut self.manifests, digest)
    }

    /// The configuration of this digest.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn configuration(&mut self, digest: Digest) -> Result<Arc<Map<String, Value>>, StoreError> {
        parsed(&self.bodies, &mut self.configurations, digest)
    }
}

fn parsed<T: DeserializeOwned>(
    bodies: &HashMap<Digest, String>,
    shelf: &mut HashMap<Digest, Arc<T>>,
    digest: Digest,
) -> Result<Arc<T>, StoreError> {
    if let Some(value) = shelf.get(&digest) {
        return Ok(Arc::clone(value));
    }
    let corrupt = |what: String| StoreError::Corrupt(format!("document {digest}: {what}"));
    let body = bodies.get(&digest).ok_or_else(|| corrupt("it is missing".to_owned()))?;
    let value = Arc::new(serde_json::from_str::<T>(body).map_err(|error| corrupt(error.to_string()))?);
    shelf.insert(digest, Arc::clone(&value));
    Ok(value)
}
