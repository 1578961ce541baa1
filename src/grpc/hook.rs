//! `plugd.v1.HookService`.

use tonic::{Request, Response};

use super::{
    Answer, audit, convert,
    page::{self, Page, Scope},
};
use crate::{
    api::v1::{
        self, CreateHookRequest, CreateHookResponse, DeleteHookRequest, DeleteHookResponse, EnableHookRequest,
        EnableHookResponse, ListHooksRequest, ListHooksResponse, ReportedState, RotateHookSecretRequest,
        RotateHookSecretResponse, TestHookRequest, TestHookResponse, hook_service_server,
    },
    domain::{Error, HookId, Result, hook::Hook},
    hooks::{Hooks, NewHook},
    outbound::Target,
};

/// The service. Only administrators get to all methods but the list: see `auth`.
pub struct HookService {
    hooks: Hooks,
}

impl HookService {
    /// The service of these webhooks.
    pub fn new(hooks: Hooks) -> Self {
        Self { hooks }
    }

    fn shown(&self, hook: &Hook) -> v1::Hook {
        let progress = &hook.progress;
        v1::Hook {
            id: hook.id.to_string(),
            url: hook.url.expose().to_owned(),
            states: hook.states.iter().map(|state| ReportedState::from(*state).into()).collect(),
            plugin_ids: hook.plugins.iter().map(ToString::to_string).collect(),
            create_time: Some(convert::timestamp(hook.created)),
            author: hook.author.clone(),
            enabled: progress.is_enabled,
            failure_count: progress.failures,
            last_error: progress.last_error.clone().unwrap_or_default(),
            last_attempt_time: progress.last_attempt.map(convert::timestamp),
            next_attempt_time: progress.next_attempt.map(convert::timestamp),
            behind_revisions: self.hooks.head().saturating_sub(progress.revision),
            missed_revisions: progress.missed,
        }
    }

    /// Without what may be a secret: many receivers are known by a path that nobody can guess.
    fn shown_to_all(&self, hook: &Hook) -> v1::Hook {
        let url = Target::parse(hook.url.expose()).map(|target| target.origin().to_owned()).unwrap_or_default();
        v1::Hook { url, ..self.shown(hook) }
    }
}

#[tonic::async_trait]
impl hook_service_server::HookService for HookService {
    async fn create_hook(&self, request: Request<CreateHookRequest>) -> Answer<CreateHookResponse> {
        let (caller, asked) = (super::caller(&request)?, request.into_inner());
        let new = NewHook {
            url: asked.url,
            states: convert::states("states", &asked.states)?,
            plugins: asked.plugin_ids.iter().map(|id| convert::plugin_id(id)).collect::<Result<_>>()?,
            author: caller.token().name.clone(),
        };
        let hook = self.hooks.prepare(new)?;
        // Also of one that is not made in the end: its caller may have gone away in the middle.
        audit::about_hook(hook.id);
        self.hooks.add(hook.clone()).await?;
        let secret = hook.secret.expose().to_owned();
        Ok(Response::new(CreateHookResponse { hook: Some(self.shown(&hook)), secret }))
    }

    async fn list_hooks(&self, request: Request<ListHooksRequest>) -> Answer<ListHooksResponse> {
        let (caller, asked) = (super::caller(&request)?, request.into_inner());
        let mut page = Page::begin(Scope::new("ListHooks", &()), (asked.page_size, page::HOOKS), &asked.page_token)?;
        let after: Option<HookId> = page.after();
        let hooks = self.hooks.list().into_iter().filter(|hook| after.is_none_or(|after| hook.id > after));
        let show = |hook: &Hook| if caller.is_admin() { self.shown(hook) } else { self.shown_to_all(hook) };
        page.fill(hooks.map(|hook| (show(&hook), hook.id)));
        let (hooks, next_page_token) = page.end();
        Ok(Response::new(ListHooksResponse { hooks, next_page_token }))
    }

    async fn delete_hook(&self, request: Request<DeleteHookRequest>) -> Answer<DeleteHookResponse> {
        let hook = self.hooks.delete(id(&request.get_ref().hook_id)?).await?;
        Ok(Response::new(DeleteHookResponse { hook: Some(self.shown(&hook)) }))
    }

    async fn enable_hook(&self, request: Request<EnableHookRequest>) -> Answer<EnableHookResponse> {
        let hook = self.hooks.enable(id(&request.get_ref().hook_id)?).await?;
        Ok(Response::new(EnableHookResponse { hook: Some(self.shown(&hook)) }))
    }

    async fn test_hook(&self, request: Request<TestHookRequest>) -> Answer<TestHookResponse> {
        let hook = self.hooks.test(id(&request.get_ref().hook_id)?).await?;
        Ok(Response::new(TestHookResponse { hook: Some(self.shown(&hook)) }))
    }

    async fn rotate_hook_secret(&self, request: Request<RotateHookSecretRequest>) -> Answer<RotateHookSecretResponse> {
        let hook = self.hooks.rotate_secret(id(&request.get_ref().hook_id)?).await?;
        let secret = hook.secret.expose().to_owned();
        Ok(Response::new(RotateHookSecretResponse { hook: Some(self.shown(&hook)), secret }))
    }
}

/// The id of the webhook that a request is about.
///
/// # Errors
/// `HOOK_NOT_FOUND` if it is not an id.
fn id(text: &str) -> Result<HookId> {
    let id = text.parse().map_err(|_| Error::hook_not_found(text))?;
    audit::about_hook(id);
    Ok(id)
}
