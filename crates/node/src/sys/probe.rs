//! The faults of `probe.rs` that take `unsafe`.

use std::ffi::{CStr, c_int};
use std::hint::black_box;
use std::sync::Once;

use super::Scope;
use crate::env::EnvState;
use crate::probe;

/// A state on its way to where it must not be.
struct Carried(*const EnvState);

// SAFETY: there is no reason that it is sound; it is the fault that the thread check has to notice.
unsafe impl Send for Carried {}

/// What `static_assertions` and the compiler forbid everywhere else.
pub(crate) fn call_on_a_foreign_thread(state: &EnvState) {
    let carried = Carried(state);
    let thread = std::thread::spawn(move || {
        let carried = carried;
        // SAFETY: the caller waits for this thread, so the state is alive; the call aborts.
        let state = unsafe { &*carried.0 };
        let scope = Scope::new(state);
        black_box(&scope.number(1.0));
    });
    let _ = thread.join();
}

/// The byte behind an allocation.
pub(crate) fn read_behind() -> u8 {
    let bytes = black_box(vec![1_u8; 16]);
    let behind = bytes.as_ptr().wrapping_add(bytes.len());
    // SAFETY: there is no reason that it is sound; it is the fault that the sanitizer has to find.
    unsafe { behind.read_volatile() }
}

/// Has `probe` take note that this process has begun, and of its end, whoever calls `exit`. Once a process.
pub(crate) fn watch_process() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        probe::at_begin();
        // SAFETY: the image is pinned, so that the function is there when the process ends.
        unsafe { libc::atexit(at_end) };
    });
}

extern "C" fn at_end() {
    // A panic must not leave a function that C calls.
    let _ = std::panic::catch_unwind(probe::at_end);
}

/// Has the leak sanitizer look and report now. `None` in a build or a process without one.
pub(crate) fn check_leaks() -> Option<bool> {
    const NAME: &CStr = c"__lsan_do_recoverable_leak_check";
    // SAFETY: a NUL-terminated name, looked up among what is loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, NAME.as_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: the sanitizer's interface declares it as `int __lsan_do_recoverable_leak_check(void)`.
    let check =
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, extern "C" fn() -> c_int>(found) };
    Some(check() != 0)
}
