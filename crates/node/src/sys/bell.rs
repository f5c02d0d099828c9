//! The thread-safe function of an isolate: a bell that any thread may ring, and nothing else.
//!
//! It carries no payload. Who rings it stands behind a `Door` of the engine, which the isolate shuts
//! before the function dies.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use gneiss_core::{Bell, fail};
use napi_sys as raw;

use super::{Scope, state_of};
use crate::env::EnvState;
use crate::threads;

/// The isolate's handle: only its own thread refs and unrefs it.
#[derive(Clone, Copy)]
pub(crate) struct BellHandle(raw::napi_threadsafe_function);

/// What other threads hold, behind a door.
struct Ringer(raw::napi_threadsafe_function);

// SAFETY: Node-API lets any thread call a thread-safe function while it lives, and nothing else is done
// with this one; the door it stands behind is shut before the environment ends.
unsafe impl Send for Ringer {}

impl Bell for Ringer {
    fn ring(&self) {
        let mode = raw::ThreadsafeFunctionCallMode::nonblocking;
        // SAFETY: the door is open, so the function lives. Its queue has no limit, so this never blocks.
        unsafe { raw::napi_call_threadsafe_function(self.0, null_mut(), mode) };
    }
}

impl Scope<'_> {
    /// Makes the isolate's bell; `None` if Node refuses one. It keeps the process alive until `set_ref` says otherwise.
    pub(crate) fn bell(&self) -> Option<(BellHandle, Box<dyn Bell>)> {
        if fail::strikes("bell") {
            return None;
        }
        let name = self.latin1(b"GNEISS_BELL");
        let mut function = null_mut();
        // SAFETY: without a JavaScript function the callback does everything; it has no finalizer and no context.
        let status = unsafe {
            raw::napi_create_threadsafe_function(
                self.env,
                null_mut(),
                null_mut(),
                name.0,
                0,
                1,
                null_mut(),
                None,
                null_mut(),
                Some(on_ring),
                &raw mut function,
            )
        };
        let is_there = status == raw::Status::napi_ok && !function.is_null();
        is_there.then(|| {
            let ringer: Box<dyn Bell> = Box::new(Ringer(function));
            (BellHandle(function), ringer)
        })
    }
}

impl BellHandle {
    /// Whether the bell keeps the process alive.
    pub(crate) fn set_ref(self, state: &EnvState, keeps_alive: bool) {
        state.check_thread();
        if keeps_alive {
            // SAFETY: the function lives as long as its environment, whose thread this is.
            unsafe { raw::napi_ref_threadsafe_function(state.raw_env(), self.0) };
        } else {
            // SAFETY: the function lives as long as its environment, whose thread this is.
            unsafe { raw::napi_unref_threadsafe_function(state.raw_env(), self.0) };
        }
    }
}

/// The bell was rung: Node calls on the isolate's thread, in a callback scope. Without an environment
/// the isolate has gone, and nothing is called.
unsafe extern "C" fn on_ring(
    env: raw::napi_env,
    _function: raw::napi_value,
    _context: *mut c_void,
    _data: *mut c_void,
) {
    if env.is_null() {
        return;
    }
    let Some(state) = state_of(env) else { return };
    if catch_unwind(AssertUnwindSafe(|| threads::on_ring(state))).is_err() {
        state.count_panic();
    }
}

/// A hook that runs when the environment begins to end, before what was made earlier than it is taken down.
pub(crate) struct ExitHook(());

impl ExitHook {
    /// Registers; `threads::on_exit` is called once.
    pub(crate) fn register(state: &EnvState) -> Option<Self> {
        state.check_thread();
        if fail::strikes("hook") {
            return None;
        }
        let data: *const EnvState = state;
        // SAFETY: the state is instance data, which outlives every cleanup hook.
        let status = unsafe {
            raw::napi_add_env_cleanup_hook(state.raw_env(), Some(on_exit), data.cast_mut().cast())
        };
        (status == raw::Status::napi_ok).then_some(Self(()))
    }
}

unsafe extern "C" fn on_exit(data: *mut c_void) {
    // SAFETY: `register` passed the state, which outlives every cleanup hook.
    let state = unsafe { &*data.cast::<EnvState>() };
    if catch_unwind(AssertUnwindSafe(|| threads::on_exit(state))).is_err() {
        state.count_panic();
    }
}
