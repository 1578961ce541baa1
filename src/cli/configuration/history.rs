//! `plugd config history`.

use std::io;

use serde_json::{Value, json};

use crate::{
    api::v1::{ConfigurationRevision, ListConfigurationRevisionsRequest},
    cli::{
        Context,
        client::{QUICK, within},
        failure::Failure,
        shape,
        table::Table,
        ui::{Ui, escaped},
    },
};

/// How many revisions are asked for at a time: the most.
const PAGE_SIZE: i32 = 100;

/// Prints the revisions page by page, as they come: all of them may be large.
pub(super) async fn print(context: &Context, plugin_id: String) -> Result<(), Failure> {
    let mut paper = Paper::new(&context.ui);
    let mut request = ListConfigurationRevisionsRequest { plugin_id, page_size: PAGE_SIZE, page_token: String::new() };
    loop {
        let send = async |request| context.api.plugins().list_configuration_revisions(request).await;
        let page = within(QUICK, request.clone(), send).await?;
        paper.print(&page.revisions)?;
        if page.next_page_token.is_empty() {
            return Ok(paper.end()?);
        }
        request.page_token = page.next_page_token;
    }
}

/// Where pages go: below one another as one table, or into one array.
struct Paper<'a> {
    ui: &'a Ui,
    table: Table,
    is_empty: bool,
}

impl<'a> Paper<'a> {
    fn new(ui: &'a Ui) -> Self {
        Self { ui, table: Table::new(&["REVISION", "CREATED", "AUTHOR", "CONFIGURATION"]), is_empty: true }
    }

    fn print(&mut self, revisions: &[ConfigurationRevision]) -> io::Result<()> {
        if self.ui.is_json() {
            return revisions.iter().try_for_each(|revision| self.element(revision));
        }
        revisions.iter().for_each(|revision| self.row(revision));
        self.table.flush(self.ui)
    }

    fn row(&mut self, revision: &ConfigurationRevision) {
        self.table.row([
            revision.configuration_revision.to_string().into(),
            shape::short_time(revision.create_time.as_ref()).into(),
            revision.author.as_str().into(),
            values(revision).to_string().into(),
        ]);
    }

    fn element(&mut self, revision: &ConfigurationRevision) -> io::Result<()> {
        let object = json!({
            "revision": revision.configuration_revision,
            "created": shape::time(revision.create_time.as_ref()),
            "author": revision.author,
            "configuration": values(revision),
        });
        let before = if std::mem::replace(&mut self.is_empty, false) { "[" } else { "," };
        self.ui.raw(format!("{before}\n{}", escaped(&format!("{object:#}"))).as_bytes())
    }

    fn end(self) -> io::Result<()> {
        match (self.ui.is_json(), self.is_empty) {
            (true, true) => self.ui.line("[]"),
            (true, false) => self.ui.line("\n]"),
            (false, _) => Ok(()),
        }
    }
}

fn values(revision: &ConfigurationRevision) -> Value {
    Value::Object(shape::object(revision.configuration.as_ref()))
}
