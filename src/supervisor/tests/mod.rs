//! The supervisor with a store, a runtime and plugins that live in memory, under paused time.

mod boot;
mod calls;
mod configuration;
mod connections;
mod endings;
mod external;
mod library;
mod toggles;
mod uncertain;
mod watching;
pub(crate) mod world;
