//! `plugd.v1.ConfigurationService`.

use tonic::{Request, Response};

use super::{
    Answer, Services, convert,
    page::{self, Page, Scope},
    parent_of,
};
use crate::{
    api::v1::{
        ConfigurationField, ConfigurationRevision, GetConfigurationRequest, GetConfigurationResponse,
        GetConfigurationSchemaRequest, GetConfigurationSchemaResponse, ListConfigurationRevisionsRequest,
        ListConfigurationRevisionsResponse, UpdateConfigurationRequest, UpdateConfigurationResponse,
        configuration_field::Type, configuration_service_server,
    },
    domain::{Error, configuration::Field},
    store,
    supervisor::NewConfiguration,
};

/// Revisions that are read at a time: one may have 1 MiB, and a page not much more.
const STEP: u64 = 8;

#[tonic::async_trait]
impl configuration_service_server::ConfigurationService for Services {
    async fn get_configuration_schema(
        &self,
        request: Request<GetConfigurationSchemaRequest>,
    ) -> Answer<GetConfigurationSchemaResponse> {
        self.admit(&request)?;
        let plugin = self.parts.handle.get(convert::plugin_id(&request.get_ref().plugin_id)?)?;
        let schema = plugin.desired.manifest.configuration_schema.as_ref();
        let fields = schema.map(|schema| schema.fields.iter().map(field).collect()).unwrap_or_default();
        Ok(Response::new(GetConfigurationSchemaResponse { fields }))
    }

    async fn get_configuration(&self, request: Request<GetConfigurationRequest>) -> Answer<GetConfigurationResponse> {
        self.admit(&request)?;
        let plugin = self.parts.handle.get(convert::plugin_id(&request.get_ref().plugin_id)?)?;
        Ok(Response::new(GetConfigurationResponse {
            configuration: Some(convert::checked_struct(&plugin.desired.configuration)),
            configuration_revision: convert::configuration_revision(&plugin.desired),
            generation: plugin.desired.generation,
        }))
    }

    async fn update_configuration(
        &self,
        request: Request<UpdateConfigurationRequest>,
    ) -> Answer<UpdateConfigurationResponse> {
        let caller = self.admit(&request)?;
        let (parent, asked) = (parent_of(&request), request.into_inner());
        let id = convert::plugin_id(&asked.plugin_id)?;
        let values = asked.configuration.ok_or_else(|| Error::field("configuration", "is missing"))?;
        let values = convert::object("configuration", &values)?;
        let new = NewConfiguration { values, options: caller.change(asked.if_generation, parent) };
        let plugin = self.parts.handle.update_configuration(id, new).await?;
        Ok(Response::new(UpdateConfigurationResponse {
            plugin: Some(convert::plugin(&plugin)),
            configuration: Some(convert::checked_struct(&plugin.desired.configuration)),
            configuration_revision: plugin.desired.configuration_revision,
        }))
    }

    async fn list_configuration_revisions(
        &self,
        request: Request<ListConfigurationRevisionsRequest>,
    ) -> Answer<ListConfigurationRevisionsResponse> {
        self.admit(&request)?;
        let asked = request.into_inner();
        let id = convert::plugin_id(&asked.plugin_id)?;
        self.parts.handle.get(id)?;
        let list = Scope::new("ListConfigurationRevisions", &asked.plugin_id);
        let mut page = Page::begin(list, (asked.page_size, page::REVISIONS), &asked.page_token)?;
        loop {
            let read = self.parts.store.configuration_revisions(id, page.after(), STEP).await?;
            let has_room = page.fill(read.iter().map(|stored| (revision(stored), stored.revision)));
            if !has_room || read.is_empty() {
                let (revisions, next_page_token) = page.end();
                return Ok(Response::new(ListConfigurationRevisionsResponse { revisions, next_page_token }));
            }
        }
    }
}

fn revision(revision: &store::ConfigurationRevision) -> ConfigurationRevision {
    ConfigurationRevision {
        configuration_revision: revision.revision,
        configuration: Some(convert::checked_struct(&revision.configuration)),
        create_time: Some(convert::timestamp(revision.created)),
        author: revision.author.clone(),
    }
}

fn field(field: &Field) -> ConfigurationField {
    ConfigurationField {
        r#type: Type::from(field.kind).into(),
        id: field.id.clone(),
        label: field.label.clone(),
        description: field.description.clone(),
        default: field.default.as_ref().map(convert::checked_value),
    }
}
