//! What is remembered of the calls that change something: who made them, from where, about what, and how they ended.

use std::net::IpAddr;

use jiff::Timestamp;

use super::{
    HookId, PluginId, TokenId,
    access::{AccessToken, Role},
};

/// The code of a call that did what it was to do.
pub const OK: &str = "OK";

/// One call that changed something, or was to. There is never a secret in it: no token, no configuration, no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its place among all events, from 1; 0 until it is stored.
    pub id: u64,
    /// When the call was answered, or its caller went away.
    pub time: Timestamp,
    pub principal: Principal,
    /// Where the caller's connection came from, if that is known.
    pub address: Option<IpAddr>,
    /// `plugd.v1.PluginService/SetActiveState`.
    pub method: String,
    /// The plugin that it was about.
    pub plugin: Option<PluginId>,
    /// The access token that it was about.
    pub token: Option<TokenId>,
    /// The webhook that it was about.
    pub hook: Option<HookId>,
    /// The name of the gRPC code of the answer.
    pub code: String,
    /// Why it was refused or failed.
    pub reason: Option<String>,
    pub trace_id: String,
}

/// Who made a call: the token, and what it was called at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub token: TokenId,
    pub name: String,
    pub role: Role,
}

/// Which events are asked for: those that have all of this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// About this plugin.
    pub plugin: Option<PluginId>,
    /// Made with this token.
    pub principal: Option<TokenId>,
    pub method: Option<String>,
}

impl AuditEvent {
    /// Whether the call did what it was to do.
    pub fn is_done(&self) -> bool {
        self.code == OK
    }
}

impl From<&AccessToken> for Principal {
    fn from(token: &AccessToken) -> Self {
        Self { token: token.id, name: token.name.clone(), role: token.role }
    }
}
