//! Statements of which only the values differ: their text is made once. To make it took longer than what the database does
//! for it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use sea_orm::{
    ActiveModelTrait, DbBackend, EntityTrait, IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn, QueryTrait,
    Statement, Value, Values, sea_query::OnConflict,
};

/// The texts made so far, each under a name.
pub(super) struct Statements {
    backend: DbBackend,
    texts: Mutex<HashMap<&'static str, String>>,
}

impl Statements {
    /// None yet.
    pub(super) fn new(backend: DbBackend) -> Self {
        Self { backend, texts: Mutex::default() }
    }

    /// For which database they are.
    pub(super) fn backend(&self) -> DbBackend {
        self.backend
    }

    /// The statement of this name with these values, in the order in which they stand in what makes it.
    pub(super) fn with_values(
        &self,
        name: &'static str,
        mk_statement: impl FnOnce() -> Statement,
        values: Vec<Value>,
    ) -> Statement {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = texts.entry(name).or_insert_with(|| mk_statement().sql).clone();
        Statement { sql, values: Some(Values(values)), db_backend: self.backend }
    }

    /// Statements that write rows, in place of those with the same keys.
    pub(super) fn replace<E>(&self, rows: impl Iterator<Item = E::Model>, in_one_statement: usize) -> Vec<Statement>
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let mut rows = rows.map(IntoActiveModel::into_active_model).peekable();
        let mut statements = Vec::new();
        while rows.peek().is_some() {
            statements.push(
                match <[E::ActiveModel; 1]>::try_from(rows.by_ref().take(in_one_statement).collect::<Vec<_>>()) {
                    Ok([row]) => self.replace_one::<E>(row),
                    Err(page) => self.replace_many::<E>(page),
                },
            );
        }
        statements
    }

    /// Most often it is one row.
    fn replace_one<E: EntityTrait>(&self, row: E::ActiveModel) -> Statement {
        let mut values = row.clone();
        let values = E::Column::iter().filter_map(|column| values.take(column).into_value()).collect();
        self.with_values(E::default().table_name(), || self.replace_many::<E>(vec![row]), values)
    }

    fn replace_many<E: EntityTrait>(&self, rows: Vec<E::ActiveModel>) -> Statement {
        let is_key =
            |column: &E::Column| E::PrimaryKey::iter().any(|key| key.into_column().as_str() == column.as_str());
        let (keys, others): (Vec<_>, Vec<_>) = E::Column::iter().partition(is_key);
        let replace = OnConflict::columns(keys).update_columns(others).to_owned();
        E::insert_many(rows).on_conflict(replace).build(self.backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::State,
        store::{
            batch::{Batch, Records, What},
            entity::{audit_event, journal, plugin},
            tests::{audit::mk_row, mk_id, mk_plugin, mk_report},
        },
    };

    /// Whether it is so for each of these rows, the first of which has the text made.
    fn assert_same<E>(backend: DbBackend, rows: Vec<E::Model>)
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel> + Clone,
    {
        let statements = Statements::new(backend);
        for row in rows {
            let made = statements.replace_many::<E>(vec![row.clone().into_active_model()]);
            assert_eq!(statements.replace::<E>([row].into_iter(), 9), [made]);
        }
    }

    #[test]
    fn a_statement_whose_text_is_known_is_the_one_that_would_be_made() {
        let mut batch = Batch::new(0, jiff::Timestamp::UNIX_EPOCH);
        batch.apply(&Records::default(), What::Install(Box::new(mk_plugin(1)))).unwrap();
        let installed: Vec<plugin::Model> = batch.plugins.values().cloned().collect();
        let report = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Active, 2)) };
        batch.apply(&Records::default(), report).unwrap();
        let reported = batch.plugins.values().cloned();
        let plugins: Vec<plugin::Model> = installed.into_iter().chain(reported).collect();
        for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
            assert_same::<plugin::Entity>(backend, plugins.clone());
            assert_same::<journal::Entity>(backend, batch.journal.clone());
            assert_same::<audit_event::Entity>(backend, [1, 2].map(mk_row).into());
        }
    }
}
