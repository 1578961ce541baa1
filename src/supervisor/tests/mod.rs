//! The supervisor with a store, a runtime and plugins that live in memory, under paused time.

mod calls;
mod connections;
mod endings;
mod toggles;
mod uncertain;
mod watching;
mod world;
