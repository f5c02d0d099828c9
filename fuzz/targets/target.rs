//! Request targets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gneiss_core::fuzz::target(data));
