#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowloom::plugin::fuzzing::manifest(data));
