//! Servers and names for the tests of whoever asks others.

pub(crate) mod world;
