//! Its webhooks: one, whose receiver fails.

use tonic::{Code, Request, Response};

use super::{Answer, Fake, told};
use crate::api::v1::*;

fn mk_hook() -> Hook {
    Hook {
        id: "hook".to_owned(),
        url: "https://host.test/<script>".to_owned(),
        states: vec![ReportedState::Error.into()],
        enabled: true,
        failure_count: 3,
        last_error: "the receiver answered <b>500</b>".to_owned(),
        behind_revisions: 7,
        missed_revisions: 2,
        ..Hook::default()
    }
}

#[tonic::async_trait]
impl hook_service_server::HookService for Fake {
    async fn create_hook(&self, request: Request<CreateHookRequest>) -> Answer<CreateHookResponse> {
        self.begin(true, &request)?;
        if request.get_ref().states.is_empty() {
            return Err(told(Code::InvalidArgument, "INVALID_ARGUMENT", "a state is missing"));
        }
        Ok(Response::new(CreateHookResponse { hook: Some(mk_hook()), secret: "whsec_secret".to_owned() }))
    }

    async fn list_hooks(&self, request: Request<ListHooksRequest>) -> Answer<ListHooksResponse> {
        self.begin(false, &request)?;
        Ok(Response::new(ListHooksResponse { hooks: vec![mk_hook()], next_page_token: String::new() }))
    }

    async fn delete_hook(&self, request: Request<DeleteHookRequest>) -> Answer<DeleteHookResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(DeleteHookResponse { hook: Some(mk_hook()) }))
    }

    async fn enable_hook(&self, request: Request<EnableHookRequest>) -> Answer<EnableHookResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(EnableHookResponse { hook: Some(mk_hook()) }))
    }

    async fn test_hook(&self, request: Request<TestHookRequest>) -> Answer<TestHookResponse> {
        self.begin(true, &request)?;
        Err(told(Code::FailedPrecondition, "DELIVERY_FAILED", "the receiver answered 500"))
    }

    async fn rotate_hook_secret(&self, request: Request<RotateHookSecretRequest>) -> Answer<RotateHookSecretResponse> {
        self.begin(true, &request)?;
        Ok(Response::new(RotateHookSecretResponse { hook: Some(mk_hook()), secret: "whsec_secret".to_owned() }))
    }
}
