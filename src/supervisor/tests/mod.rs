//! The supervisor with a store, a runtime and plugins that live in memory, under paused time.

mod calls;
mod configuration;
mod connections;
mod endings;
mod external;
mod library;
mod shelf;
mod shop;
mod toggles;
mod uncertain;
mod watching;
pub(crate) mod world;
