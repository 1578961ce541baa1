//! `plugd.v1.PolicyService`.

use std::time::Duration;

use tonic::{Request, Response};

use super::{Answer, Services, convert, convert::Named, parent_of, wait::Deadline, wait::wait};
use crate::{
    api::v1::{
        self, GetPolicyRequest, GetPolicyResponse, UpdatePolicyRequest, UpdatePolicyResponse, policy_service_server,
        supervision::Restarts,
    },
    domain::{
        Error, Result, SandboxLevel,
        policy::{Limits, MaxRestarts, Policy, ProcessPolicy, StopSignal, SupervisionPolicy, User},
    },
};

#[tonic::async_trait]
impl policy_service_server::PolicyService for Services {
    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Answer<GetPolicyResponse> {
        self.admit(&request)?;
        let plugin = self.parts.handle.get(convert::plugin_id(&request.get_ref().plugin_id)?)?;
        let policy = Some(shown(&plugin.desired.policy));
        Ok(Response::new(GetPolicyResponse { policy, generation: plugin.desired.generation }))
    }

    async fn update_policy(&self, request: Request<UpdatePolicyRequest>) -> Answer<UpdatePolicyResponse> {
        let caller = self.admit(&request)?;
        let (parent, deadline, asked) = (parent_of(&request), Deadline::of_call(&request), request.into_inner());
        let (id, wait) = (convert::plugin_id(&asked.plugin_id)?, wait(asked.wait, deadline)?);
        let policy = read(asked.policy.unwrap_or_default())?;
        let plugin = self.parts.handle.set_policy(id, policy, caller.change(asked.if_generation, parent), wait).await?;
        let policy = Some(shown(&plugin.desired.policy));
        Ok(Response::new(UpdatePolicyResponse { plugin: Some(convert::plugin(&plugin)), policy }))
    }
}

/// A policy in a request.
///
/// # Errors
/// `INVALID_ARGUMENT` about the field that can't be understood.
fn read(asked: v1::Policy) -> Result<Policy> {
    let port = |port: u32| {
        u16::try_from(port).map_err(|_| Error::field("policy.tcp_ports", format!("has {port}, which is no port")))
    };
    let process = ProcessPolicy {
        sandbox: SandboxLevel::asked("policy.sandbox", asked.sandbox)?,
        read: asked.read_paths,
        write: asked.write_paths,
        tcp_ports: asked.tcp_ports.into_iter().map(port).collect::<Result<_>>()?,
        limits: asked.limits.map(limits).unwrap_or_default(),
        environment: asked.environment.into_iter().map(|(name, value)| (name, value.into())).collect(),
        user: asked.user.map(user).transpose()?,
        stop_signal: StopSignal::asked("policy.stop_signal", asked.stop_signal)?,
        image: Some(asked.image).filter(|image| !image.is_empty()),
    };
    Ok(Policy { process, supervision: supervision(asked.supervision.unwrap_or_default())? })
}

fn limits(asked: v1::Limits) -> Limits {
    let v1::Limits { memory_bytes, open_files, processes, file_bytes, cpu_seconds, cpu_millis } = asked;
    Limits { memory_bytes, open_files, processes, file_bytes, cpu_seconds, cpu_millis }
}

fn user(asked: v1::User) -> Result<User> {
    User::new(asked.uid, asked.gid).ok_or_else(|| Error::field("policy.user", "has an id that nobody has"))
}

fn supervision(asked: v1::Supervision) -> Result<SupervisionPolicy> {
    let time = |name: &str, asked: Option<prost_types::Duration>| {
        asked.map(|asked| convert::duration(&format!("policy.supervision.{name}"), asked)).transpose()
    };
    Ok(SupervisionPolicy {
        prepare: time("prepare_timeout", asked.prepare_timeout)?,
        connect: time("connect_timeout", asked.connect_timeout)?,
        reconnect: time("reconnect_timeout", asked.reconnect_timeout)?,
        ping_interval: time("ping_interval", asked.ping_interval)?,
        ping: time("ping_timeout", asked.ping_timeout)?,
        stable: time("stable_after", asked.stable_after)?,
        grace: time("grace", asked.grace)?,
        kill: time("kill_timeout", asked.kill_timeout)?,
        backoff: time("backoff", asked.backoff)?,
        max_backoff: time("max_backoff", asked.max_backoff)?,
        stable_backoff: time("stable_crash_backoff", asked.stable_crash_backoff)?,
        max_restarts: asked.restarts.and_then(restarts),
    })
}

fn restarts(asked: Restarts) -> Option<MaxRestarts> {
    match asked {
        Restarts::MaxRestarts(most) => Some(MaxRestarts::Times(most)),
        Restarts::UnlimitedRestarts(is_unlimited) => is_unlimited.then_some(MaxRestarts::Unlimited),
    }
}

fn shown(policy: &Policy) -> v1::Policy {
    let process = &policy.process;
    v1::Policy {
        sandbox: process.sandbox.map(v1::SandboxLevel::from).unwrap_or_default().into(),
        read_paths: process.read.clone(),
        write_paths: process.write.clone(),
        tcp_ports: process.tcp_ports.iter().copied().map(u32::from).collect(),
        limits: (process.limits != Limits::default()).then(|| shown_limits(process.limits)),
        environment: process
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
        user: process.user.map(|User { uid, gid }| v1::User { uid, gid }),
        stop_signal: process.stop_signal.map(v1::StopSignal::from).unwrap_or_default().into(),
        supervision: (policy.supervision != SupervisionPolicy::default())
            .then(|| shown_supervision(&policy.supervision)),
        image: process.image.clone().unwrap_or_default(),
    }
}

fn shown_limits(limits: Limits) -> v1::Limits {
    let Limits { memory_bytes, open_files, processes, file_bytes, cpu_seconds, cpu_millis } = limits;
    v1::Limits { memory_bytes, open_files, processes, file_bytes, cpu_seconds, cpu_millis }
}

fn shown_supervision(policy: &SupervisionPolicy) -> v1::Supervision {
    // None that came in such a message is too long for one.
    let time = |time: Option<Duration>| time.and_then(|time| time.try_into().ok());
    v1::Supervision {
        prepare_timeout: time(policy.prepare),
        connect_timeout: time(policy.connect),
        reconnect_timeout: time(policy.reconnect),
        ping_interval: time(policy.ping_interval),
        ping_timeout: time(policy.ping),
        stable_after: time(policy.stable),
        grace: time(policy.grace),
        kill_timeout: time(policy.kill),
        backoff: time(policy.backoff),
        max_backoff: time(policy.max_backoff),
        stable_crash_backoff: time(policy.stable_backoff),
        restarts: policy.max_restarts.map(|most| match most {
            MaxRestarts::Times(most) => Restarts::MaxRestarts(most),
            MaxRestarts::Unlimited => Restarts::UnlimitedRestarts(true),
        }),
    }
}
