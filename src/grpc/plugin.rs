//! `plugd.v1.PluginService`: plugins are installed, read, started, stopped and deleted, and what happened to them is told;
//! `watch` has WatchState.

use serde_json::Value;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Answer, BoxStream, Caller, Services, audit,
    convert::{self, Named},
    page::{self, Page, Scope},
    parent_of,
    upload::{Upload, check_digest, expected_digest},
    wait::{Deadline, wait},
};
use crate::{
    api::v1::{self, plugin_event::Kind, *},
    domain::{self, Commit, Error, Mode, Reason, Result, State, manifest::Manifest},
    fetch,
    supervisor::{ListQuery, MAX_WAIT},
};

/// Longest name of a request, in characters.
const MAX_REQUEST_ID: usize = 128;

/// Changes that are read at a time: the description of each may have a megabyte.
const STEP: usize = 32;

#[tonic::async_trait]
impl plugin_service_server::PluginService for Services {
    type WatchStateStream = BoxStream<WatchStateResponse>;

    async fn install_plugin(&self, request: Request<Streaming<InstallPluginRequest>>) -> Answer<InstallPluginResponse> {
        let (caller, deadline) = (self.admit(&request)?, Deadline::of_call(&request));
        let received = async {
            let (header, upload) = Upload::begin(request.into_inner()).await?;
            let request_id = request_id("header.request_id", header.request_id)?;
            let expected = expected_digest(header.expected_digest.as_deref())?;
            let place = self.uploads.begin(caller.token().id, deadline.bound(MAX_WAIT)).await?;
            let archive = match &header.url {
                None => upload.archive().await?,
                Some(url) => {
                    upload.end().await?;
                    fetch::fetch(url, &self.parts.fetch).await?
                }
            };
            check_digest(expected, &archive)?;
            Ok::<_, Status>((place, archive, request_id))
        };
        let (_place, archive, request_id) = caller.while_good(received).await?;
        let plugin = self.parts.packages.install(archive, request_id).await?;
        audit::about_plugin(plugin.id);
        Ok(Response::new(InstallPluginResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn register_external_plugin(
        &self,
        request: Request<RegisterExternalPluginRequest>,
    ) -> Answer<RegisterExternalPluginResponse> {
        self.admit(&request)?;
        let asked = request.into_inner();
        let (manifest, request_id) = (self.manifest(asked.manifest)?, request_id("request_id", asked.request_id)?);
        let plugin = self.parts.handle.register_external(manifest, request_id).await?;
        audit::about_plugin(plugin.id);
        Ok(Response::new(RegisterExternalPluginResponse { plugin: Some(convert::plugin_in_full(&plugin)) }))
    }

    async fn list_plugins(&self, request: Request<ListPluginsRequest>) -> Answer<ListPluginsResponse> {
        let (caller, asked) = (self.admit(&request)?, request.into_inner());
        let filters = ListPluginsRequest { page_size: 0, page_token: String::new(), view: 0, ..asked.clone() };
        let list = Scope::new("ListPlugins", &filters);
        let show = view(asked.view, &caller)?;
        let mut page = Page::begin(list, (asked.page_size, page::PLUGINS), &asked.page_token)?;
        let query = ListQuery {
            states: convert::states("states", &asked.states)?.into_iter().collect(),
            mode: Mode::asked("mode", asked.mode)?,
            manifest_id: asked.manifest_id,
            after: page.after(),
        };
        let mut found = 0;
        let found = self.parts.handle.list(&query, |_| {
            found += 1;
            found <= page.wanted()
        });
        page.fill(found.iter().map(|plugin| (self.with_the_moment(plugin, show(plugin)), plugin.place())));
        let (plugins, next_page_token) = page.end();
        Ok(Response::new(ListPluginsResponse { plugins, next_page_token }))
    }

    async fn get_plugin(&self, request: Request<GetPluginRequest>) -> Answer<GetPluginResponse> {
        let caller = self.admit(&request)?;
        let asked = request.into_inner();
        let show = view(asked.view, &caller)?;
        let plugin = self.parts.handle.get(convert::plugin_id(&asked.plugin_id)?)?;
        Ok(Response::new(GetPluginResponse { plugin: Some(self.with_the_moment(&plugin, show(&plugin))) }))
    }

    async fn delete_plugin(&self, request: Request<DeletePluginRequest>) -> Answer<DeletePluginResponse> {
        let caller = self.admit(&request)?;
        let (parent, asked) = (parent_of(&request), request.into_inner());
        let id = convert::plugin_id(&asked.plugin_id)?;
        let plugin = self.parts.handle.delete(id, caller.change(asked.if_generation, parent)).await?;
        Ok(Response::new(DeletePluginResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn set_active_state(&self, request: Request<SetActiveStateRequest>) -> Answer<SetActiveStateResponse> {
        let caller = self.admit(&request)?;
        let (parent, deadline, asked) = (parent_of(&request), Deadline::of_call(&request), request.into_inner());
        let (id, wait) = (convert::plugin_id(&asked.plugin_id)?, wait(asked.wait, deadline)?);
        let active = convert::required("active_state", asked.active_state)?;
        let plugin = self.parts.handle.set_active(id, active, caller.change(asked.if_generation, parent), wait).await?;
        Ok(Response::new(SetActiveStateResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn restart_plugin(&self, request: Request<RestartPluginRequest>) -> Answer<RestartPluginResponse> {
        let caller = self.admit(&request)?;
        let (parent, deadline, asked) = (parent_of(&request), Deadline::of_call(&request), request.into_inner());
        let (id, wait) = (convert::plugin_id(&asked.plugin_id)?, wait(asked.wait, deadline)?);
        let plugin = self.parts.handle.restart(id, caller.change(asked.if_generation, parent), wait).await?;
        Ok(Response::new(RestartPluginResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn watch_state(&self, request: Request<WatchStateRequest>) -> Answer<Self::WatchStateStream> {
        let caller = self.admit(&request)?;
        Ok(Response::new(self.watch(request.into_inner(), caller).await?))
    }

    async fn list_plugin_events(&self, request: Request<ListPluginEventsRequest>) -> Answer<ListPluginEventsResponse> {
        self.admit(&request)?;
        let asked = request.into_inner();
        let filters = ListPluginEventsRequest { page_size: 0, page_token: String::new(), ..asked.clone() };
        let list = Scope::new("ListPluginEvents", &filters);
        let mut page = Page::begin(list, (asked.page_size, page::PLUGIN_EVENTS), &asked.page_token)?;
        let id = asked.plugin_id.as_deref().map(convert::plugin_id).transpose()?;
        loop {
            let read = self.parts.store.plugin_events(id, page.after(), STEP as u64).await?;
            let has_room = page.fill(read.iter().map(|commit| (past_event(commit), commit.revision)));
            if !has_room || read.len() < STEP {
                let (events, next_page_token) = page.end();
                return Ok(Response::new(ListPluginEventsResponse { events, next_page_token }));
            }
        }
    }

    async fn update_manifest(&self, request: Request<UpdateManifestRequest>) -> Answer<UpdateManifestResponse> {
        let caller = self.admit(&request)?;
        let (parent, asked) = (parent_of(&request), request.into_inner());
        let (id, manifest) = (convert::plugin_id(&asked.plugin_id)?, self.manifest(asked.manifest)?);
        let plugin =
            self.parts.handle.update_manifest(id, manifest, caller.change(asked.if_generation, parent)).await?;
        Ok(Response::new(UpdateManifestResponse { plugin: Some(convert::plugin(&plugin)) }))
    }

    async fn rotate_token(&self, request: Request<RotateTokenRequest>) -> Answer<RotateTokenResponse> {
        let caller = self.admit(&request)?;
        let (parent, asked) = (parent_of(&request), request.into_inner());
        let id = convert::plugin_id(&asked.plugin_id)?;
        let plugin = self.parts.handle.rotate_token(id, caller.change(asked.if_generation, parent)).await?;
        Ok(Response::new(RotateTokenResponse { plugin: Some(convert::plugin_in_full(&plugin)) }))
    }
}

impl Services {
    fn manifest(&self, manifest: Option<prost_types::Struct>) -> Result<Manifest> {
        let manifest = manifest.ok_or_else(|| Error::field("manifest", "is missing"))?;
        Manifest::from_value(Value::Object(convert::object("manifest", &manifest)?), &self.parts.catalog)
    }

    /// A plugin as it is shown, with what is known of this moment alone: what its run uses, and when the next one begins.
    fn with_the_moment(&self, plugin: &domain::Plugin, mut shown: v1::Plugin) -> v1::Plugin {
        if let Some(status) = &mut shown.status {
            status.usage = plugin.reported.run.and_then(|run| (self.parts.usage)(run)).map(convert::usage);
            if plugin.reported.state == State::Restarting {
                status.restart_time = self.parts.handle.restart_time(plugin.id).map(convert::timestamp);
            }
        }
        shown
    }
}

/// A change as it is told when it is past: without what may be large, as there may be a thousand in a page.
fn past_event(commit: &Commit) -> PluginEvent {
    let kind = match commit.before {
        _ if commit.is_removal => Kind::Removed,
        None => Kind::Added,
        Some(_) => Kind::Changed,
    };
    let mut event = PluginEvent { kind: kind.into(), ..convert::event(commit) };
    if let Some(plugin) = &mut event.plugin {
        plugin.manifest.clear();
        plugin.description.clear();
    }
    event
}

/// How a plugin is shown to this caller in the view that it asks for.
fn view(asked: i32, caller: &Caller) -> Result<fn(&domain::Plugin) -> v1::Plugin> {
    match PluginView::try_from(asked) {
        Ok(PluginView::Unspecified | PluginView::Basic) => Ok(convert::plugin),
        Ok(PluginView::Full) if caller.is_admin() => Ok(convert::plugin_in_full),
        Ok(PluginView::Full) => {
            let message = "only administrators may see plugins in full: ask for PLUGIN_VIEW_BASIC";
            Err(Error::new(Reason::PermissionDenied, message))
        }
        Err(_) => Err(convert::no_such("view", asked)),
    }
}

fn request_id(field: &str, asked: Option<String>) -> Result<Option<String>> {
    let is_good = |id: &String| (1..=MAX_REQUEST_ID).contains(&id.chars().count()) && !id.contains(char::is_control);
    if asked.as_ref().is_none_or(is_good) {
        return Ok(asked);
    }
    Err(Error::field(field, format!("must have 1 to {MAX_REQUEST_ID} characters, none of them a control character")))
}
