//! Functions for the tests of the tests, in builds with `--cfg gneiss_probe` only: they do what must never
//! happen, to show that it would be noticed.

#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

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

/// Has the leak sanitizer look now: for processes that end in a way in which nothing can be asked of them.
#[napi]
pub fn probe_check_leaks() {
    sign(&check());
}

/// The process begins, as far as we know of it. Whoever has a leak sanitizer is checked at its end, and
/// signs for both: a process that was never checked is then known.
pub(crate) fn at_begin() {
    sign("begun");
}

/// The process ends.
pub(crate) fn at_end() {
    sign(&check());
}

fn check() -> String {
    match sys::probe::check_leaks() {
        Some(true) => "checked, with leaks".to_owned(),
        Some(false) => "checked".to_owned(),
        None => "not checked".to_owned(),
    }
}

/// Adds a line to the list of this process, beside its reports: what happened, and its command line.
fn sign(what: &str) {
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    let Some(path) = options
        .split(':')
        .find_map(|option| option.strip_prefix("log_path="))
    else {
        return;
    };
    let command = fs::read("/proc/self/cmdline").unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace(['\0', '\n'], " ");
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(format!("{path}.{}.list", std::process::id()));
    if let Ok(mut file) = file {
        // Who has given up root meanwhile signs the same list at its end.
        let _ = file.set_permissions(fs::Permissions::from_mode(0o666));
        let _ = writeln!(file, "{what}\t{command}");
    }
}

/// How often the failpoint that the environment names was passed.
#[napi]
pub fn probe_passes() -> f64 {
    fail::passes() as f64
}
