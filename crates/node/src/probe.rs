//! Functions for the tests of the tests, in builds with `--cfg gneiss_probe` only: they do what must never
//! happen, to show that it would be noticed.

#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::hint::black_box;

use gneiss_core::fail;
use napi::Env;
use napi_derive::napi;

use crate::sys;

/// Makes a call of the border on a thread that does not own the isolate.
#[napi]
pub fn probe_foreign_call(env: Env) {
    if let Some(state) = sys::state_of(env.raw()) {
        sys::probe::call_on_a_foreign_thread(state);
    }
}

/// Reads one byte behind an allocation.
#[napi]
pub fn probe_overflow() -> u32 {
    u32::from(sys::probe::read_behind())
}

/// Loses an allocation of 4,321 bytes.
#[napi]
pub fn probe_leak() {
    let lost = black_box(vec![1_u8; 4_321]);
    std::mem::forget(lost);
}

/// How often the failpoint that the environment names was passed.
#[napi]
#[expect(clippy::cast_precision_loss, reason = "a small count")]
pub fn probe_passes() -> f64 {
    fail::passes() as f64
}
