//! Node-API with reasons: safe methods on a scope token.
//!
//! With `uv.rs` the only hand-written `unsafe`. A [`Scope`] exists only inside a call from Node on
//! the thread of its isolate; every value is tied to one, so no value can outlive its handle scope
//! or reach another thread. Debug builds check the thread in every call and abort with a message,
//! because Node itself checks nothing.

mod bell;
mod cells;
mod hand;
mod hot;
mod isolate;
mod kept;
#[cfg(gneiss_probe)]
pub(crate) mod probe;
pub(crate) mod process;

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;

use crate::env::EnvState;
use gneiss_core::fail;
use napi_sys as raw;

pub(crate) use bell::{BellHandle, ExitHook};
pub(crate) use cells::{CellMemory, is_alive, monotonic};
pub(crate) use hand::{borrowed, receive_descriptors, send_descriptors};
pub(crate) use hot::{ARGUMENTS, HotCall};
pub(crate) use isolate::{CleanupHook, adopt_descriptor, event_loop, install, pin_image, state_of};
pub(crate) use kept::{AsyncContext, Reference};

/// Proof of being called by Node on the right thread. Neither `Send` nor `Sync`.
pub(crate) struct Scope<'s> {
    env: raw::napi_env,
    state: &'s EnvState,
    not_send: PhantomData<*mut ()>,
}

/// A JavaScript value, alive as long as its scope.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Value<'s>(raw::napi_value, PhantomData<&'s ()>);

/// A call threw. `Stopped`: the isolate is being torn down and runs no more JavaScript.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thrown {
    Exception,
    Stopped,
}

impl<'s> Scope<'s> {
    /// A scope for a call that Node makes on `state`'s thread.
    pub(crate) fn new(state: &'s EnvState) -> Self {
        state.check_thread();
        Self {
            env: state.raw_env(),
            state,
            not_send: PhantomData,
        }
    }

    /// Runs `body` in a handle scope of its own. `None` if Node refuses one.
    pub(crate) fn with_handles<R>(
        state: &EnvState,
        body: impl FnOnce(&Scope<'_>) -> R,
    ) -> Option<R> {
        let scope = Scope::new(state);
        (!fail::strikes("handles")).then_some(())?;
        let mut handles = null_mut();
        // SAFETY: the environment is alive and this is its thread, as `Scope::new` established.
        let status = unsafe { raw::napi_open_handle_scope(scope.env, &raw mut handles) };
        if status != raw::Status::napi_ok {
            return None;
        }
        let result = body(&scope);
        // SAFETY: closes the scope opened above; `body` could not leak a value out of its lifetime.
        unsafe { raw::napi_close_handle_scope(scope.env, handles) };
        Some(result)
    }

    /// Runs `body` in a callback scope: microtasks and ticks run when it closes. False if Node
    /// refuses one, which it does while the isolate is being torn down.
    pub(crate) fn with_callback(&self, context: &AsyncContext, body: impl FnOnce(&Self)) -> bool {
        let Some(resource) = self.deref(context.resource()) else {
            return false;
        };
        if fail::strikes("callback") {
            return false;
        }
        let mut opened = null_mut();
        // SAFETY: `context` was made for this environment, `resource` is an object of this scope.
        let status = unsafe {
            raw::napi_open_callback_scope(self.env, resource.0, context.raw(), &raw mut opened)
        };
        if status != raw::Status::napi_ok {
            return false;
        }
        body(self);
        // SAFETY: closes the scope opened above, in order.
        unsafe { raw::napi_close_callback_scope(self.env, opened) };
        true
    }

    /// A number.
    pub(crate) fn number(&self, number: f64) -> Value<'s> {
        let mut value = null_mut();
        // SAFETY: plain creation in an open handle scope.
        unsafe { raw::napi_create_double(self.env, number, &raw mut value) };
        Value(value, PhantomData)
    }

    /// An unsigned integer.
    pub(crate) fn uint32(&self, number: u32) -> Value<'s> {
        let mut value = null_mut();
        // SAFETY: plain creation in an open handle scope.
        unsafe { raw::napi_create_uint32(self.env, number, &raw mut value) };
        Value(value, PhantomData)
    }

    /// A boolean.
    pub(crate) fn boolean(&self, truth: bool) -> Value<'s> {
        let mut value = null_mut();
        // SAFETY: plain creation in an open handle scope.
        unsafe { raw::napi_get_boolean(self.env, truth, &raw mut value) };
        Value(value, PhantomData)
    }

    /// A string from Latin-1 bytes.
    pub(crate) fn latin1(&self, text: &[u8]) -> Value<'s> {
        let mut value = null_mut();
        let length = text.len().cast_signed();
        // SAFETY: pointer and length are those of a live slice; Node copies it.
        unsafe {
            raw::napi_create_string_latin1(self.env, text.as_ptr().cast(), length, &raw mut value)
        };
        Value(value, PhantomData)
    }

    /// A fresh `Uint8Array` with a copy of `bytes`; `None` if the isolate cannot allocate it.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Option<Value<'s>> {
        (!fail::strikes("array")).then_some(())?;
        let (memory, buffer) = if bytes.len() < UNZEROED {
            self.zeroed(bytes.len())?
        } else {
            self.unzeroed(bytes.len())?
        };
        // SAFETY: Node just allocated `bytes.len()` bytes there, and nothing else knows them yet.
        unsafe {
            memory
                .cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        };
        let mut array = null_mut();
        let kind = raw::TypedarrayType::uint8_array;
        // SAFETY: `buffer` is the buffer made above and the range is all of it.
        let status = unsafe {
            raw::napi_create_typedarray(self.env, kind, bytes.len(), buffer, 0, &raw mut array)
        };
        (status == raw::Status::napi_ok).then_some(Value(array, PhantomData))
    }

    /// A new `ArrayBuffer` and its memory.
    fn zeroed(&self, length: usize) -> Option<(*mut c_void, raw::napi_value)> {
        let mut memory: *mut c_void = null_mut();
        let mut buffer = null_mut();
        // SAFETY: both out pointers are live; the memory belongs to the new buffer.
        let status = unsafe {
            raw::napi_create_arraybuffer(self.env, length, &raw mut memory, &raw mut buffer)
        };
        let is_there = status == raw::Status::napi_ok && !memory.is_null();
        is_there.then_some((memory, buffer))
    }

    /// The same by way of a Node `Buffer`, whose memory is not cleared first: dearer for few bytes.
    fn unzeroed(&self, length: usize) -> Option<(*mut c_void, raw::napi_value)> {
        let mut memory: *mut c_void = null_mut();
        let mut node_buffer = null_mut();
        // SAFETY: both out pointers are live; the memory belongs to the new buffer.
        let status = unsafe {
            raw::napi_create_buffer(self.env, length, &raw mut memory, &raw mut node_buffer)
        };
        if status != raw::Status::napi_ok || memory.is_null() {
            return None;
        }
        let mut buffer = null_mut();
        let mut offset: usize = 0;
        // SAFETY: `node_buffer` is a typed array of this scope; unwanted results are null.
        let status = unsafe {
            raw::napi_get_typedarray_info(
                self.env,
                node_buffer,
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut buffer,
                &raw mut offset,
            )
        };
        // A buffer out of Node's pool would share its memory with others.
        let is_own = status == raw::Status::napi_ok && offset == 0;
        if is_own {
            Some((memory, buffer))
        } else {
            self.zeroed(length)
        }
    }

    /// The number in `value`; NaN for anything else.
    pub(crate) fn read_f64(&self, value: Value<'s>) -> f64 {
        let mut number = f64::NAN;
        // SAFETY: `value` belongs to this scope; on a wrong type Node leaves `number` alone.
        unsafe { raw::napi_get_value_double(self.env, value.0, &raw mut number) };
        number
    }

    /// Reads a string as UTF-8 into `text` (appended). False if `value` is no string.
    pub(crate) fn read_utf8(&self, value: Value<'s>, text: &mut Vec<u8>) -> bool {
        let start = text.len();
        text.reserve(GUESS);
        let room = text.capacity().saturating_sub(start);
        let mut length: usize = 0;
        // SAFETY: the spare capacity of `text` is `room` bytes; Node writes at most that, NUL included.
        let status = unsafe {
            raw::napi_get_value_string_utf8(
                self.env,
                value.0,
                text.as_mut_ptr().wrapping_add(start).cast(),
                room,
                &raw mut length,
            )
        };
        if status != raw::Status::napi_ok {
            return false;
        }
        // A character is four bytes at most: with less room than that left it may have been cut.
        if length.saturating_add(5) > room {
            // SAFETY: a null buffer asks for the length only.
            unsafe {
                raw::napi_get_value_string_utf8(self.env, value.0, null_mut(), 0, &raw mut length)
            };
            text.reserve(length.saturating_add(1));
            let room = text.capacity().saturating_sub(start);
            // SAFETY: as above, with room for the whole string and its NUL.
            unsafe {
                raw::napi_get_value_string_utf8(
                    self.env,
                    value.0,
                    text.as_mut_ptr().wrapping_add(start).cast(),
                    room,
                    &raw mut length,
                )
            };
        }
        // SAFETY: Node initialised `length` bytes behind `start`, within the capacity.
        unsafe { text.set_len(start.saturating_add(length)) };
        true
    }

    /// Lends the bytes of a `Uint8Array` (a `Buffer` is one). Gives `read` back for anything else.
    ///
    /// `read` must not call back into JavaScript, which could detach the memory; it has no scope to do so.
    pub(crate) fn read_bytes<R, F: FnOnce(&[u8]) -> R>(
        &self,
        value: Value<'s>,
        read: F,
    ) -> Result<R, F> {
        let (mut kind, mut length, mut memory) = (0, 0_usize, null_mut());
        // SAFETY: `value` belongs to this scope; Node refuses what is no typed array; unwanted results are null.
        let status = unsafe {
            raw::napi_get_typedarray_info(
                self.env,
                value.0,
                &raw mut kind,
                &raw mut length,
                &raw mut memory,
                null_mut(),
                null_mut(),
            )
        };
        if status != raw::Status::napi_ok || kind != raw::TypedarrayType::uint8_array {
            return Err(read);
        }
        if memory.is_null() || length == 0 {
            return Ok(read(&[]));
        }
        // SAFETY: Node reports `length` live bytes, and no JavaScript runs while they are borrowed.
        let bytes = unsafe { std::slice::from_raw_parts(memory.cast::<u8>().cast_const(), length) };
        Ok(read(bytes))
    }

    /// Whether `value` is `undefined` or `null`.
    pub(crate) fn is_nothing(&self, value: Value<'s>) -> bool {
        let mut kind = raw::ValueType::napi_undefined;
        // SAFETY: `value` belongs to this scope.
        unsafe { raw::napi_typeof(self.env, value.0, &raw mut kind) };
        kind == raw::ValueType::napi_undefined || kind == raw::ValueType::napi_null
    }

    /// Leaves a `TypeError` with a code pending.
    pub(crate) fn throw_type_error(&self, code: &CStr, message: &CStr) {
        // SAFETY: both are NUL-terminated strings; Node copies them.
        unsafe { raw::napi_throw_type_error(self.env, code.as_ptr(), message.as_ptr()) };
    }

    /// Calls `function` without a receiver.
    pub(crate) fn call(&self, function: Value<'s>, arguments: &[Value<'s>]) -> Result<(), Thrown> {
        let mut receiver = null_mut();
        // SAFETY: plain read in an open handle scope.
        unsafe { raw::napi_get_undefined(self.env, &raw mut receiver) };
        let mut result = null_mut();
        // SAFETY: `Value` is a transparent pair of a handle and nothing, so the slice is one of handles;
        // all of them belong to this scope, and no borrow of our state is alive (callers' rule).
        let status = unsafe {
            raw::napi_call_function(
                self.env,
                receiver,
                function.0,
                arguments.len(),
                arguments.as_ptr().cast(),
                &raw mut result,
            )
        };
        if status == raw::Status::napi_ok {
            return Ok(());
        }
        let mut exception = null_mut();
        // SAFETY: plain read; leaves nothing pending.
        let cleared =
            unsafe { raw::napi_get_and_clear_last_exception(self.env, &raw mut exception) };
        if status != raw::Status::napi_pending_exception || cleared != raw::Status::napi_ok {
            return Err(Thrown::Stopped);
        }
        // SAFETY: the exception was just taken from this environment; as an uncaught one it is seen.
        unsafe { raw::napi_fatal_exception(self.env, exception) };
        Err(Thrown::Exception)
    }

    /// A raw value that napi's generated code handed to us in this very call.
    pub(crate) fn adopt(&self, value: raw::napi_value) -> Value<'s> {
        self.state.check_thread();
        Value(value, PhantomData)
    }
}

/// Reading a string begins with this much room, so that most need one call.
const GUESS: usize = 1024;

/// From this size on, clearing memory costs more than the detour that avoids it.
const UNZEROED: usize = 16 * 1024;
