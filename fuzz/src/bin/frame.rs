//! A text frame of a connected plugin.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| plugd::fuzzing::frame(text));
