//! Node-API with reasons: safe methods on a scope token.
//!
//! With `uv.rs` the only hand-written `unsafe`. A [`Scope`] exists only inside a call from Node on
//! the thread of its isolate; every value is tied to one, so no value can outlive its handle scope
//! or reach another thread. Debug builds check the thread in every call and abort with a message,
//! because Node itself checks nothing.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use napi_sys as raw;

use crate::env::EnvState;

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

/// A persistent reference to a JavaScript value. Only ids and bytes cross per request; the few
/// references there are belong to servers and are released through a scope, on their own thread.
pub(crate) struct Reference(raw::napi_ref);

/// The async context that callback scopes are opened in.
pub(crate) struct AsyncContext {
    context: raw::napi_async_context,
    resource: Reference,
}

/// A call threw. `Stopped`: the isolate is being torn down and runs no more JavaScript.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thrown {
    Exception,
    Stopped,
}

/// A function of the hot path, exported as a raw Node-API callback.
pub(crate) trait HotCall {
    /// Name on the exports object, with its NUL.
    const NAME: &'static CStr;
    /// Does the call. `None` is `undefined`; a thrown exception is left pending.
    fn call<'s>(scope: &Scope<'s>, arguments: &[Value<'s>; ARGUMENTS], state: &EnvState) -> Option<Value<'s>>;
}

/// The most arguments a hot call takes.
pub(crate) const ARGUMENTS: usize = 6;

impl<'s> Scope<'s> {
    /// A scope for a call that Node makes on `state`'s thread.
    pub(crate) fn new(state: &'s EnvState) -> Self {
        state.check_thread();
        Self { env: state.raw_env(), state, not_send: PhantomData }
    }

    /// Runs `body` in a handle scope of its own. `None` if Node refuses one.
    pub(crate) fn with_handles<R>(state: &EnvState, body: impl FnOnce(&Scope<'_>) -> R) -> Option<R> {
        let scope = Scope::new(state);
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
        let Some(resource) = self.deref(&context.resource) else { return false };
        let mut opened = null_mut();
        // SAFETY: `context` was made for this environment, `resource` is an object of this scope.
        let status =
            unsafe { raw::napi_open_callback_scope(self.env, resource.0, context.context, &raw mut opened) };
        if status != raw::Status::napi_ok {
            return false;
        }
        body(self);
        // SAFETY: closes the scope opened above, in order.
        unsafe { raw::napi_close_callback_scope(self.env, opened) };
        true
    }

    /// An async context named `name`.
    pub(crate) fn async_context(&self, name: &str) -> Option<AsyncContext> {
        let mut resource = null_mut();
        // SAFETY: plain creation in an open handle scope.
        unsafe { raw::napi_create_object(self.env, &raw mut resource) };
        let name = self.latin1(name.as_bytes());
        let mut context = null_mut();
        // SAFETY: both values were made above in this scope.
        let status = unsafe { raw::napi_async_init(self.env, resource, name.0, &raw mut context) };
        let resource = self.reference(Value(resource, PhantomData))?;
        (status == raw::Status::napi_ok).then_some(AsyncContext { context, resource })
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
        unsafe { raw::napi_create_string_latin1(self.env, text.as_ptr().cast(), length, &raw mut value) };
        Value(value, PhantomData)
    }

    /// A fresh `Uint8Array` with a copy of `bytes`; `None` if the isolate cannot allocate it.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Option<Value<'s>> {
        let mut memory: *mut c_void = null_mut();
        let mut buffer = null_mut();
        // SAFETY: both out pointers are live; the memory belongs to the new buffer.
        let status =
            unsafe { raw::napi_create_arraybuffer(self.env, bytes.len(), &raw mut memory, &raw mut buffer) };
        if status != raw::Status::napi_ok || memory.is_null() {
            return None;
        }
        // SAFETY: Node just allocated `bytes.len()` bytes there, and nothing else knows them yet.
        unsafe { memory.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        let mut array = null_mut();
        let kind = raw::TypedarrayType::uint8_array;
        // SAFETY: `buffer` is the buffer made above and the range is all of it.
        let status =
            unsafe { raw::napi_create_typedarray(self.env, kind, bytes.len(), buffer, 0, &raw mut array) };
        (status == raw::Status::napi_ok).then_some(Value(array, PhantomData))
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
            raw::napi_get_value_string_utf8(self.env, value.0, text.as_mut_ptr().wrapping_add(start).cast(), room, &raw mut length)
        };
        if status != raw::Status::napi_ok {
            return false;
        }
        // A character is four bytes at most: with less room than that left it may have been cut.
        if length.saturating_add(5) > room {
            // SAFETY: a null buffer asks for the length only.
            unsafe { raw::napi_get_value_string_utf8(self.env, value.0, null_mut(), 0, &raw mut length) };
            text.reserve(length.saturating_add(1));
            let room = text.capacity().saturating_sub(start);
            // SAFETY: as above, with room for the whole string and its NUL.
            unsafe {
                raw::napi_get_value_string_utf8(self.env, value.0, text.as_mut_ptr().wrapping_add(start).cast(), room, &raw mut length)
            };
        }
        // SAFETY: Node initialised `length` bytes behind `start`, within the capacity.
        unsafe { text.set_len(start.saturating_add(length)) };
        true
    }

    /// Lends the bytes of a `Uint8Array` (a `Buffer` is one). `None` for anything else.
    ///
    /// `read` must not call back into JavaScript, which could detach the memory; it has no scope to do so.
    pub(crate) fn read_bytes<R>(&self, value: Value<'s>, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut is_typed = false;
        // SAFETY: `value` belongs to this scope.
        unsafe { raw::napi_is_typedarray(self.env, value.0, &raw mut is_typed) };
        if !is_typed {
            return None;
        }
        let (mut kind, mut length, mut memory) = (0, 0_usize, null_mut());
        // SAFETY: `value` is a typed array of this scope; unwanted results are null.
        let status = unsafe {
            raw::napi_get_typedarray_info(self.env, value.0, &raw mut kind, &raw mut length, &raw mut memory, null_mut(), null_mut())
        };
        if status != raw::Status::napi_ok || kind != raw::TypedarrayType::uint8_array {
            return None;
        }
        if memory.is_null() || length == 0 {
            return Some(read(&[]));
        }
        // SAFETY: Node reports `length` live bytes, and no JavaScript runs while they are borrowed.
        let bytes = unsafe { std::slice::from_raw_parts(memory.cast::<u8>().cast_const(), length) };
        Some(read(bytes))
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
            raw::napi_call_function(self.env, receiver, function.0, arguments.len(), arguments.as_ptr().cast(), &raw mut result)
        };
        if status == raw::Status::napi_ok {
            return Ok(());
        }
        let mut exception = null_mut();
        // SAFETY: plain read; leaves nothing pending.
        let cleared = unsafe { raw::napi_get_and_clear_last_exception(self.env, &raw mut exception) };
        if status != raw::Status::napi_pending_exception || cleared != raw::Status::napi_ok {
            return Err(Thrown::Stopped);
        }
        // SAFETY: the exception was just taken from this environment; as an uncaught one it is seen.
        unsafe { raw::napi_fatal_exception(self.env, exception) };
        Err(Thrown::Exception)
    }

    /// A persistent reference.
    pub(crate) fn reference(&self, value: Value<'s>) -> Option<Reference> {
        let mut reference = null_mut();
        // SAFETY: `value` belongs to this scope.
        let status = unsafe { raw::napi_create_reference(self.env, value.0, 1, &raw mut reference) };
        (status == raw::Status::napi_ok).then_some(Reference(reference))
    }

    /// A raw value that napi's generated code handed to us in this very call.
    pub(crate) fn adopt(&self, value: raw::napi_value) -> Value<'s> {
        self.state.check_thread();
        Value(value, PhantomData)
    }

    /// The value behind a reference.
    pub(crate) fn deref(&self, reference: &Reference) -> Option<Value<'s>> {
        let mut value = null_mut();
        // SAFETY: a `Reference` is alive until `release` consumes it.
        let status = unsafe { raw::napi_get_reference_value(self.env, reference.0, &raw mut value) };
        (status == raw::Status::napi_ok && !value.is_null()).then_some(Value(value, PhantomData))
    }

    /// Releases a reference, on its own thread.
    pub(crate) fn release(&self, reference: Reference) {
        // SAFETY: consumed here, so it is deleted once.
        unsafe { raw::napi_delete_reference(self.env, reference.0) };
    }

    /// Exports a hot call.
    pub(crate) fn export<C: HotCall>(&self, exports: Value<'s>) {
        let mut function = null_mut();
        let state: *const EnvState = self.state;
        let name = C::NAME.as_ptr();
        // SAFETY: the state is the environment's instance data, so it outlives every function of it.
        unsafe {
            raw::napi_create_function(self.env, name, -1, Some(trampoline::<C>), state.cast_mut().cast(), &raw mut function)
        };
        // SAFETY: both values belong to this scope.
        unsafe { raw::napi_set_named_property(self.env, exports.0, name, function) };
    }
}

/// What Node calls for a hot call: checks the thread, catches panics, hides the raw pointers.
unsafe extern "C" fn trampoline<C: HotCall>(env: raw::napi_env, info: raw::napi_callback_info) -> raw::napi_value {
    let mut count = ARGUMENTS;
    let mut arguments = [Value(null_mut(), PhantomData); ARGUMENTS];
    let mut data = null_mut();
    // SAFETY: `Value` is transparent over a handle; Node fills `ARGUMENTS` of them, with undefined where absent.
    unsafe {
        raw::napi_get_cb_info(env, info, &raw mut count, arguments.as_mut_ptr().cast(), null_mut(), &raw mut data)
    };
    // SAFETY: `export` stored the environment's state, which lives as long as the environment.
    let state = unsafe { &*data.cast::<EnvState>() };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let scope = Scope::new(state);
        C::call(&scope, &arguments, state).map_or(null_mut(), |value| value.0)
    }));
    outcome.unwrap_or_else(|_| {
        state.count_panic();
        let message = c"gneiss failed inside a call; the exchange was ended";
        // SAFETY: NUL-terminated strings; Node copies them.
        unsafe { raw::napi_throw_error(env, c"ERR_NATIVE".as_ptr(), message.as_ptr()) };
        null_mut()
    })
}

/// Stores the state as the environment's instance data and hands out where it lives.
pub(crate) fn install(env: raw::napi_env, state: Box<EnvState>) -> bool {
    let state = Box::into_raw(state);
    // SAFETY: ownership passes to Node, which calls `drop_state` once when the environment ends.
    let status = unsafe { raw::napi_set_instance_data(env, state.cast(), Some(drop_state), null_mut()) };
    status == raw::Status::napi_ok
}

unsafe extern "C" fn drop_state(_env: raw::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: made by `install`, and Node finalizes instance data once. Every handle that points
    // here is closed: the async cleanup hook keeps the environment until then.
    let state = unsafe { Box::from_raw(data.cast::<EnvState>()) };
    // A panic must not leave a finalizer.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
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
    if status == raw::Status::napi_ok { found.cast() } else { null_mut() }
}

/// A registered async cleanup hook: Node waits for `remove` before the environment ends.
pub(crate) struct CleanupHook(raw::napi_async_cleanup_hook_handle);

impl CleanupHook {
    /// Registers; `EnvState::on_teardown` is called when the environment begins to end.
    pub(crate) fn register(state: &EnvState) -> Option<Self> {
        state.check_thread();
        let data: *const EnvState = state;
        let mut handle = null_mut();
        // SAFETY: the hook keeps the environment, and with it the state, alive until it is removed.
        let status = unsafe {
            raw::napi_add_async_cleanup_hook(state.raw_env(), Some(on_cleanup), data.cast_mut().cast(), &raw mut handle)
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
        unsafe { libc::dlopen(info.dli_fname, libc::RTLD_NOW | libc::RTLD_NODELETE | libc::RTLD_NOLOAD) };
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

/// Reading a string begins with this much room, so that most need one call.
const GUESS: usize = 1024;

