//! Functions of the hot path: raw Node-API callbacks behind a safe trait.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

use napi_sys as raw;

use super::{Scope, Value};
use crate::env::EnvState;

/// A function of the hot path, exported as a raw Node-API callback.
pub(crate) trait HotCall {
    /// Name on the exports object, with its NUL.
    const NAME: &'static CStr;
    /// Does the call. `None` is `undefined`; a thrown exception is left pending.
    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &[Value<'s>; ARGUMENTS],
        state: &EnvState,
    ) -> Option<Value<'s>>;
}

/// The most arguments a hot call takes.
pub(crate) const ARGUMENTS: usize = 6;

impl<'s> Scope<'s> {
    /// Exports a hot call.
    pub(crate) fn export<C: HotCall>(&self, exports: Value<'s>) {
        let mut function = null_mut();
        let state: *const EnvState = self.state;
        let name = C::NAME.as_ptr();
        // SAFETY: the state is the environment's instance data, so it outlives every function of it.
        unsafe {
            raw::napi_create_function(
                self.env,
                name,
                -1,
                Some(trampoline::<C>),
                state.cast_mut().cast(),
                &raw mut function,
            )
        };
        // SAFETY: both values belong to this scope.
        unsafe { raw::napi_set_named_property(self.env, exports.0, name, function) };
    }
}

/// What Node calls for a hot call: checks the thread, catches panics, hides the raw pointers.
unsafe extern "C" fn trampoline<C: HotCall>(
    env: raw::napi_env,
    info: raw::napi_callback_info,
) -> raw::napi_value {
    let mut count = ARGUMENTS;
    let mut arguments = [Value(null_mut(), PhantomData); ARGUMENTS];
    let mut data = null_mut();
    // SAFETY: `Value` is transparent over a handle; Node fills `ARGUMENTS` of them, with undefined where absent.
    unsafe {
        raw::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            arguments.as_mut_ptr().cast(),
            null_mut(),
            &raw mut data,
        )
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
