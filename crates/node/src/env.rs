//! Per-isolate state: lives in the environment's instance data, never leaves its thread.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::rc::Rc;
use std::thread::{self, ThreadId};

use gneiss_core::{Answers, Id};
use napi_sys::napi_env;
use static_assertions::assert_not_impl_any;

use crate::driver::Driver;
use crate::sys::{self, AsyncContext, CleanupHook, Reference, Scope, Value};
use crate::threads::Threads;
use crate::uv::Handle;

/// Everything the border keeps for one isolate. `!Send` and `!Sync` by what it holds.
///
/// Calls reach it as a shared reference, because JavaScript may call in while a turn is under way;
/// what changes lies in cells, and no borrow of a cell is alive while JavaScript runs.
pub(crate) struct EnvState {
    env: napi_env,
    event_loop: *mut c_void,
    thread: ThreadId,
    driver: RefCell<Option<Driver>>,
    /// Made with the first server that has threads, and kept.
    threads: RefCell<Option<Threads>>,
    /// Present while a driver exists: Node then waits for us before the environment ends.
    hook: RefCell<Option<CleanupHook>>,
    /// What callback scopes are opened in; made with the first server and kept.
    context: RefCell<Option<Rc<AsyncContext>>>,
    /// libuv handles whose close callback has not run.
    handles: Cell<usize>,
    /// No JavaScript may be called any more.
    is_ending: Cell<bool>,
    panics: Cell<u64>,
    /// Strings of the present call are read into these, so that no call allocates.
    pub(crate) scratch: RefCell<Scratch>,
}

assert_not_impl_any!(EnvState: Send, Sync);
assert_not_impl_any!(Scope<'static>: Send, Sync);
assert_not_impl_any!(Value<'static>: Send, Sync);
assert_not_impl_any!(Reference: Send, Sync);
assert_not_impl_any!(Handle: Send, Sync);

/// Buffers of the hot calls.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Header text.
    pub(crate) fields: Vec<u8>,
    /// String bodies.
    pub(crate) body: Vec<u8>,
}

impl EnvState {
    /// State for an environment; installed by `sys::install`.
    pub(crate) fn new(env: napi_env) -> Self {
        Self {
            env,
            event_loop: sys::event_loop(env),
            thread: thread::current().id(),
            driver: RefCell::new(None),
            threads: RefCell::new(None),
            hook: RefCell::new(None),
            context: RefCell::new(None),
            handles: Cell::new(0),
            is_ending: Cell::new(false),
            panics: Cell::new(0),
            scratch: RefCell::new(Scratch::default()),
        }
    }

    /// The environment, for `sys` only.
    pub(crate) fn raw_env(&self) -> napi_env {
        self.env
    }

    /// The isolate's libuv loop; null where there is none.
    pub(crate) fn event_loop(&self) -> *mut c_void {
        self.event_loop
    }

    /// Aborts with a message when called on a wrong thread. Debug builds only: Node checks nothing.
    pub(crate) fn check_thread(&self) {
        if cfg!(debug_assertions) && thread::current().id() != self.thread {
            eprintln!(
                "gneiss: a call was made on a thread that does not own its isolate; this is a bug in gneiss"
            );
            std::process::abort();
        }
    }

    /// The driver, while a server is open.
    pub(crate) fn driver(&self) -> &RefCell<Option<Driver>> {
        &self.driver
    }

    /// Runs `work` on the driver; `None` when no server is open.
    pub(crate) fn with_driver<R>(&self, work: impl FnOnce(&mut Driver) -> R) -> Option<R> {
        self.driver.borrow_mut().as_mut().map(work)
    }

    /// The threaded driver, once a server has asked for it.
    pub(crate) fn threads(&self) -> &RefCell<Option<Threads>> {
        &self.threads
    }

    /// Runs `work` on the threaded driver; `None` when no server ever asked for it.
    pub(crate) fn with_threads<R>(&self, work: impl FnOnce(&mut Threads) -> R) -> Option<R> {
        self.threads.borrow_mut().as_mut().map(work)
    }

    /// Runs `work` on whatever owns an exchange; `None` when that is gone.
    pub(crate) fn with_answers<R>(
        &self,
        id: Id,
        work: impl FnOnce(&mut dyn Answers) -> R,
    ) -> Option<R> {
        if id.owner() == 0 {
            self.with_driver(|driver| work(driver.table()))
        } else {
            self.with_threads(|threads| work(&mut threads.remote))
        }
    }

    /// No JavaScript may be called from now on.
    pub(crate) fn begin_ending(&self) {
        self.is_ending.set(true);
    }

    /// A panic was caught at an edge of ours.
    pub(crate) fn count_panic(&self) {
        self.panics.set(self.panics.get().saturating_add(1));
    }

    /// Panics caught at the edges of this isolate.
    pub(crate) fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Whether the environment is ending and no JavaScript may be called.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.get()
    }

    /// The async context of our callbacks.
    pub(crate) fn async_context(&self) -> Option<Rc<AsyncContext>> {
        self.context.borrow().clone()
    }

    /// Makes the async context, once.
    pub(crate) fn ensure_context(&self, scope: &Scope<'_>) -> bool {
        if self.context.borrow().is_none() {
            let context = scope.async_context("GNEISS").map(Rc::new);
            *self.context.borrow_mut() = context;
        }
        self.context.borrow().is_some()
    }

    /// Registers the cleanup hook, once while handles are open.
    pub(crate) fn ensure_hook(&self) -> bool {
        if self.hook.borrow().is_some() {
            return true;
        }
        let hook = CleanupHook::register(self);
        let is_registered = hook.is_some();
        *self.hook.borrow_mut() = hook;
        is_registered
    }

    /// A libuv handle was initialised.
    pub(crate) fn handle_opened(&self) {
        self.handles.set(self.handles.get().saturating_add(1));
    }

    /// A libuv handle's close callback ran.
    pub(crate) fn handle_closed(&self) {
        self.handles.set(self.handles.get().saturating_sub(1));
        self.release_hook_when_idle();
    }

    /// Node is ending the environment: every handle is closed, and the last close callback lets go.
    pub(crate) fn on_teardown(&self) {
        self.is_ending.set(true);
        self.end_driver();
        self.release_hook_when_idle();
    }

    /// Gives back everything that Node keeps for us, for the finalizer of this state: nothing calls
    /// JavaScript after it.
    pub(crate) fn give_back(&self) {
        let scope = Scope::new(self);
        self.end_driver();
        let threads = self.threads.borrow_mut().take();
        if let Some(threads) = threads {
            threads.end(&scope);
        }
        let context = self.context.borrow_mut().take();
        if let Some(context) = context.and_then(Rc::into_inner) {
            scope.end_context(context);
        }
    }

    fn end_driver(&self) {
        let Some(mut driver) = self.driver.borrow_mut().take() else {
            return;
        };
        let scope = Scope::new(self);
        for functions in std::mem::take(&mut driver.servers).into_iter().flatten() {
            functions.release(&scope);
        }
        // Closing its handles may find that nothing else is left, which looks at the driver again.
        drop(driver);
    }

    fn release_hook_when_idle(&self) {
        let is_idle = self.handles.get() == 0
            && self
                .driver
                .try_borrow()
                .is_ok_and(|driver| driver.is_none());
        if is_idle && let Some(hook) = self.hook.borrow_mut().take() {
            hook.remove();
        }
    }
}
