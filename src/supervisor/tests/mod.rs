//! The supervisor with a store, a runtime and plugins that live in memory, under paused time.

mod boot;
mod calls;
mod configuration;
mod connections;
mod earlier;
mod endings;
mod external;
mod listing;
mod packages;
mod runtime;
mod setup;
mod toggles;
mod uncertain;
mod watching;
mod way_back;
pub(crate) mod world;
