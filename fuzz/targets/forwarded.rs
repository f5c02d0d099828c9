//! The forwarding fields of proxies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gneiss_core::fuzz::forwarded(data));
