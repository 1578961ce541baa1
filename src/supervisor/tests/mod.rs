//! The supervisor with a store, a runtime and plugins that live in memory, under paused time.

mod calls;
mod configuration;
mod endings;
mod external;
mod library;
mod toggles;
mod watching;
pub(crate) mod world;
