//! The supervisor with a store, a runtime and plugins that live in memory, under paused time.

mod calls;
mod endings;
mod toggles;
mod watching;
mod world;
