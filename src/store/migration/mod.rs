//! The schema's history, oldest first.

use std::collections::HashSet;

use sea_orm::{DatabaseConnection, EntityTrait};
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager, seaql_migrations};

use super::StoreError;

mod m0001_initial;
mod m0002_owner;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_initial::Migration), Box::new(m0002_owner::Migration)]
    }
}

/// Brings the schema up to what this binary knows.
///
/// # Errors
/// [`StoreError::Newer`], with nothing changed, when a newer plugd has been here; or the database's own.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    let unknown = unknown_migrations(db).await?;
    if unknown.is_empty() { Ok(Migrator::up(db, None).await?) } else { Err(StoreError::Newer { migrations: unknown }) }
}

async fn unknown_migrations(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let table = Migrator::migration_table_name().to_string();
    if !SchemaManager::new(db).has_table(table).await? {
        return Ok(Vec::new());
    }
    let known: HashSet<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied = seaql_migrations::Entity::find().all(db).await?;
    Ok(applied.into_iter().map(|row| row.version).filter(|name| !known.contains(name)).collect())
}
