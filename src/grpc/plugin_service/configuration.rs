//! Configurations.

use prost::Message;
use tonic::{Request, Response};

use super::{Answer, PluginService, shown};
use crate::{
    api::v1::{
        ConfigurationField, ConfigurationRevision, GetConfigurationRequest, GetConfigurationResponse,
        GetConfigurationSchemaRequest, GetConfigurationSchemaResponse, ListConfigurationRevisionsRequest,
        ListConfigurationRevisionsResponse, UpdateConfigurationRequest, UpdateConfigurationResponse,
        configuration_field::Type,
    },
    domain::{
        Error, Result,
        configuration::{Field, FieldType},
    },
    grpc::{convert, page, status::status},
    store,
    supervisor::NewConfiguration,
};

/// Revisions that are read at a time: one may have 1 MiB, and a page not much more.
const STEP: u64 = 8;

impl PluginService {
    pub(super) fn schema(
        &self,
        request: &Request<GetConfigurationSchemaRequest>,
    ) -> Answer<GetConfigurationSchemaResponse> {
        self.admit(request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id).map_err(status)?;
        let plugin = self.0.handle.get(id).map_err(status)?;
        let schema = plugin.desired.manifest.configuration_schema.as_ref();
        let fields = schema.map(|schema| schema.fields.iter().map(field).collect()).unwrap_or_default();
        Ok(Response::new(GetConfigurationSchemaResponse { fields }))
    }

    pub(super) fn configuration(&self, request: &Request<GetConfigurationRequest>) -> Answer<GetConfigurationResponse> {
        self.admit(request)?;
        let id = convert::plugin_id(&request.get_ref().plugin_id).map_err(status)?;
        let plugin = self.0.handle.get(id).map_err(status)?;
        Ok(Response::new(GetConfigurationResponse {
            configuration: Some(convert::checked_struct(&plugin.desired.configuration)),
            configuration_revision: plugin.desired.configuration_revision,
        }))
    }

    pub(super) async fn configure(
        &self,
        request: Request<UpdateConfigurationRequest>,
    ) -> Answer<UpdateConfigurationResponse> {
        let caller = self.admit(&request)?;
        let asked = request.into_inner();
        let id = convert::plugin_id(&asked.plugin_id).map_err(status)?;
        let values = asked.configuration.ok_or_else(|| status(Error::field("configuration", "is missing")))?;
        let new = NewConfiguration {
            values: convert::object("configuration", &values).map_err(status)?,
            if_revision: asked.if_revision,
            options: caller.token().name.as_str().into(),
        };
        let plugin = self.0.handle.update_configuration(id, new).await.map_err(status)?;
        Ok(Response::new(UpdateConfigurationResponse {
            plugin: shown(&plugin, &caller),
            configuration: Some(convert::checked_struct(&plugin.desired.configuration)),
            configuration_revision: plugin.desired.configuration_revision,
        }))
    }

    pub(super) async fn revisions(
        &self,
        request: Request<ListConfigurationRevisionsRequest>,
    ) -> Answer<ListConfigurationRevisionsResponse> {
        self.admit(&request)?;
        self.revisions_page(request.get_ref()).await.map(Response::new).map_err(status)
    }

    async fn revisions_page(
        &self,
        request: &ListConfigurationRevisionsRequest,
    ) -> Result<ListConfigurationRevisionsResponse> {
        let id = convert::plugin_id(&request.plugin_id)?;
        self.0.handle.get(id)?;
        let mut room = page::Room::new(page::size(request.page_size, page::REVISIONS)?);
        let mut before = page::after(&request.page_token)?;
        let mut response = ListConfigurationRevisionsResponse::default();
        loop {
            let read = self.0.store.configuration_revisions(id, before, STEP).await?;
            if read.is_empty() {
                return Ok(response);
            }
            for stored in &read {
                let shown = revision(stored);
                if !room.take(shown.encoded_len()) {
                    response.next_page_token = before.as_ref().map(page::token).unwrap_or_default();
                    return Ok(response);
                }
                before = Some(stored.revision);
                response.revisions.push(shown);
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
    let kind = match field.kind {
        FieldType::String => Type::String,
        FieldType::Number => Type::Number,
        FieldType::Boolean => Type::Boolean,
    };
    ConfigurationField {
        r#type: kind.into(),
        id: field.id.clone(),
        label: field.label.clone(),
        description: field.description.clone(),
        default: field.default.as_ref().map(convert::checked_value),
    }
}
