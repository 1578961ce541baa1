//! Scaffold.

pub mod warden;
