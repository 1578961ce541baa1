//! The manifest of a plugin, as a client or a package brings it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugd::fuzzing::manifest(bytes));
