//! Code that the compiler has to refuse in the engine: see the file of the same name in the border's crate.

#![allow(dead_code, reason = "nobody calls what must not even compile")]

#[cfg(gneiss_must_not_compile = "engine_names_javascript")]
fn case(value: napi_sys::napi_value) {
    drop(value);
}

#[cfg(gneiss_must_not_compile = "engine_has_unsafe_code")]
fn case(byte: *const u8) -> u8 {
    unsafe { byte.read() }
}
