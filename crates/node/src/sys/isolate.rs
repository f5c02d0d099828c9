//! What an isolate is to us: its state, its loop, its end; and the process around it.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use gneiss_core::fail;
use napi_sys as raw;

use crate::env::EnvState;

/// Stores the state as the environment's instance data and hands out where it lives.
pub(crate) fn install(env: raw::napi_env, state: Box<EnvState>) -> bool {
    #[cfg(gneiss_probe)]
    super::probe::watch_process();
    let state = Box::into_raw(state);
    // SAFETY: ownership passes to Node, which calls `drop_state` once when the environment ends.
    let status =
        unsafe { raw::napi_set_instance_data(env, state.cast(), Some(drop_state), null_mut()) };
    status == raw::Status::napi_ok
}

unsafe extern "C" fn drop_state(_env: raw::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `install`, and Node finalizes instance data once. Every handle that points
    // here is closed: the async cleanup hook keeps the environment until then.
    let state = unsafe { Box::from_raw(data.cast::<EnvState>()) };
    // A panic must not leave a finalizer.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        state.give_back();
        drop(state);
    }));
}

/// The state of an environment, in a call that Node makes on it.
pub(crate) fn state_of<'s>(env: raw::napi_env) -> Option<&'s EnvState> {
    let mut data = null_mut();
    // SAFETY: `env` was handed to us by Node in the present call.
    let status = unsafe { raw::napi_get_instance_data(env, &raw mut data) };
    if status != raw::Status::napi_ok || data.is_null() {
        return None;
    }
    // SAFETY: only `install` sets instance data of this module.
    Some(unsafe { &*data.cast::<EnvState>() })
}

/// The libuv loop of the environment; null where the runtime has none.
pub(crate) fn event_loop(env: raw::napi_env) -> *mut c_void {
    let mut found = null_mut();
    // SAFETY: `env` is the environment of the present call.
    let status = unsafe { raw::napi_get_uv_event_loop(env, &raw mut found) };
    if status == raw::Status::napi_ok {
        found.cast()
    } else {
        null_mut()
    }
}

/// A registered async cleanup hook: Node waits for `remove` before the environment ends.
pub(crate) struct CleanupHook(raw::napi_async_cleanup_hook_handle);

impl CleanupHook {
    /// Registers; `EnvState::on_teardown` is called when the environment begins to end.
    pub(crate) fn register(state: &EnvState) -> Option<Self> {
        state.check_thread();
        if fail::strikes("hook") {
            return None;
        }
        let data: *const EnvState = state;
        let mut handle = null_mut();
        // SAFETY: the hook keeps the environment, and with it the state, alive until it is removed.
        let status = unsafe {
            raw::napi_add_async_cleanup_hook(
                state.raw_env(),
                Some(on_cleanup),
                data.cast_mut().cast(),
                &raw mut handle,
            )
        };
        (status == raw::Status::napi_ok).then_some(Self(handle))
    }

    /// Lets the environment end.
    pub(crate) fn remove(self) {
        // SAFETY: registered once, and consumed here.
        unsafe { raw::napi_remove_async_cleanup_hook(self.0) };
    }
}

unsafe extern "C" fn on_cleanup(_handle: raw::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: `register` passed the state, which the hook keeps alive.
    let state = unsafe { &*data.cast::<EnvState>() };
    if catch_unwind(AssertUnwindSafe(|| state.on_teardown())).is_err() {
        state.count_panic();
    }
}

/// Keeps the addon's image loaded for ever: threads and handles may outlive the last environment.
pub(crate) fn pin_image() {
    // SAFETY: an all-zero Dl_info is a valid value to be filled in.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let address: *const c_void = pin_image as *const c_void;
    // SAFETY: any address may be asked about; `info` is live.
    let found = unsafe { libc::dladdr(address, &raw mut info) };
    if found != 0 && !info.dli_fname.is_null() {
        // SAFETY: the name is the image's own path; NOLOAD only adds the flag to what is loaded.
        unsafe {
            libc::dlopen(
                info.dli_fname,
                libc::RTLD_NOW | libc::RTLD_NODELETE | libc::RTLD_NOLOAD,
            )
        };
    }
}

/// A socket from a descriptor that a parent process handed down.
pub(crate) fn adopt_descriptor(descriptor: i32) -> Option<socket2::Socket> {
    use std::os::fd::FromRawFd;
    // SAFETY: F_GETFD on any number is harmless and tells whether it is open.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    if descriptor < 3 || flags < 0 {
        return None;
    }
    // SAFETY: the descriptor is open and the user named it as ours to own.
    Some(unsafe { socket2::Socket::from_raw_fd(descriptor) })
}
