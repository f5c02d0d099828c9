//! A whole connection under a schedule of bytes, commands and time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gneiss_core::fuzz::connection(data));
