//! Code that the compiler has to refuse: each case is compiled alone, under `--cfg gneiss_must_not_compile="NAME"`,
//! by `__test__/instruments/must-not-compile.spec.ts`, which names the error that each must give.

#![allow(dead_code, reason = "nobody calls what must not even compile")]

use gneiss_core::Bell;

use crate::env::EnvState;
use crate::sys::{AsyncContext, Reference, Scope, Value};
use crate::threads::Threads;
use crate::uv::Handle;

fn to_thread<T: Send + 'static>(carried: T) {
    std::thread::spawn(move || drop(carried));
}

/// A bell with a payload, as the I/O threads would hold it.
struct Laden<T>(T);

impl<T: Send> Bell for Laden<T> {
    fn ring(&self) {}
}

#[cfg(gneiss_must_not_compile = "scope_to_thread")]
fn case(scope: Scope<'static>) {
    to_thread(scope);
}

#[cfg(gneiss_must_not_compile = "scope_shared_with_thread")]
fn case(scope: &Scope<'_>) {
    std::thread::scope(|threads| {
        threads.spawn(|| scope.number(1.0));
    });
}

#[cfg(gneiss_must_not_compile = "value_to_thread")]
fn case(value: Value<'static>) {
    to_thread(value);
}

#[cfg(gneiss_must_not_compile = "reference_to_thread")]
fn case(reference: Reference) {
    to_thread(reference);
}

#[cfg(gneiss_must_not_compile = "context_to_thread")]
fn case(context: AsyncContext) {
    to_thread(context);
}

#[cfg(gneiss_must_not_compile = "handle_to_thread")]
fn case(handle: Handle) {
    to_thread(handle);
}

#[cfg(gneiss_must_not_compile = "state_to_thread")]
fn case(state: &'static EnvState) {
    to_thread(state);
}

#[cfg(gneiss_must_not_compile = "threads_to_thread")]
fn case(threads: Threads) {
    to_thread(threads);
}

#[cfg(gneiss_must_not_compile = "value_in_bell")]
fn case(value: Value<'static>) -> Box<dyn Bell> {
    Box::new(Laden(value))
}

#[cfg(gneiss_must_not_compile = "reference_in_bell")]
fn case(reference: Reference) -> Box<dyn Bell> {
    Box::new(Laden(reference))
}

#[cfg(gneiss_must_not_compile = "value_outlives_handles")]
fn case(state: &EnvState) {
    let mut kept = None;
    Scope::with_handles(state, |scope| kept = Some(scope.number(1.0)));
    drop(kept);
}

#[cfg(gneiss_must_not_compile = "scope_outlives_call")]
fn case(scope: &Scope<'_>) {
    fn keep<T: 'static>(_: T) {}
    keep(scope.number(1.0));
}

#[cfg(gneiss_must_not_compile = "reference_released_twice")]
fn case(scope: &Scope<'_>, reference: Reference) {
    scope.release(reference);
    scope.release(reference);
}
