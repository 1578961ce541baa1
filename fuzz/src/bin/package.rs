//! A package, as a client uploads it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugd::fuzzing::package(bytes));
