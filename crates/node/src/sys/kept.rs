//! What Node keeps for us until we say so: references to JavaScript values, and async contexts.
//!
//! Node frees neither when an environment ends. So neither has a way to be dropped that would be right:
//! each is given back through a scope, by whoever owns it, at the latest in the finalizer of the state.

use std::marker::PhantomData;
use std::ptr::null_mut;

use gneiss_core::fail;
use napi_sys as raw;

use super::{Scope, Value};

/// A persistent reference to a JavaScript value. Only ids and bytes cross per request; the few
/// references there are belong to servers and are released through a scope, on their own thread.
pub(crate) struct Reference(raw::napi_ref);

/// The async context that callback scopes are opened in.
pub(crate) struct AsyncContext {
    context: raw::napi_async_context,
    resource: Reference,
}

impl AsyncContext {
    /// For `napi_open_callback_scope`.
    pub(super) fn raw(&self) -> raw::napi_async_context {
        self.context
    }

    /// What its scopes are opened for.
    pub(super) fn resource(&self) -> &Reference {
        &self.resource
    }
}

impl<'s> Scope<'s> {
    /// An async context named `name`.
    pub(crate) fn async_context(&self, name: &str) -> Option<AsyncContext> {
        let mut resource = null_mut();
        // SAFETY: plain creation in an open handle scope.
        unsafe { raw::napi_create_object(self.env, &raw mut resource) };
        let kept = self.reference(Value(resource, PhantomData))?;
        let name = self.latin1(name.as_bytes());
        let mut context = null_mut();
        // SAFETY: both values were made above in this scope.
        let status = unsafe { raw::napi_async_init(self.env, resource, name.0, &raw mut context) };
        if status != raw::Status::napi_ok {
            self.release(kept);
            return None;
        }
        Some(AsyncContext {
            context,
            resource: kept,
        })
    }

    /// Ends an async context, on its own thread.
    pub(crate) fn end_context(&self, AsyncContext { context, resource }: AsyncContext) {
        // SAFETY: consumed here, so it is destroyed once; no callback scope is open in it.
        unsafe { raw::napi_async_destroy(self.env, context) };
        self.release(resource);
    }

    /// A persistent reference.
    pub(crate) fn reference(&self, value: Value<'s>) -> Option<Reference> {
        (!fail::strikes("reference")).then_some(())?;
        let mut reference = null_mut();
        // SAFETY: `value` belongs to this scope.
        let status =
            unsafe { raw::napi_create_reference(self.env, value.0, 1, &raw mut reference) };
        (status == raw::Status::napi_ok).then_some(Reference(reference))
    }

    /// The value behind a reference.
    pub(crate) fn deref(&self, reference: &Reference) -> Option<Value<'s>> {
        let mut value = null_mut();
        // SAFETY: a `Reference` is alive until `release` consumes it.
        let status =
            unsafe { raw::napi_get_reference_value(self.env, reference.0, &raw mut value) };
        (status == raw::Status::napi_ok && !value.is_null()).then_some(Value(value, PhantomData))
    }

    /// Releases a reference, on its own thread.
    pub(crate) fn release(&self, Reference(reference): Reference) {
        // SAFETY: consumed here, so it is deleted once.
        unsafe { raw::napi_delete_reference(self.env, reference) };
    }
}
