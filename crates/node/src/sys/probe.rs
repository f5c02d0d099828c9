//! The faults of `probe.rs` that take `unsafe`.

use std::hint::black_box;

use super::Scope;
use crate::env::EnvState;

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
