//! The body of a REST call.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| plugd::fuzzing::rest_body(body));
