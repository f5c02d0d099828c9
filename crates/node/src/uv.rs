//! libuv: symbols found at run time, handles whose memory outlives their closing.
//!
//! The rules kept here: a handle is stopped and closed before its descriptor is (another process
//! may hold the same open file, and a stale epoll entry would report for it for ever); its memory
//! is freed in the close callback and nowhere else; sizes come from libuv itself, because they
//! differ between versions.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::OnceLock;

use gneiss_core::fail;

use crate::driver;
use crate::env::EnvState;

type Plain = unsafe extern "C" fn(*mut c_void);
type Polled = unsafe extern "C" fn(*mut c_void, c_int, c_int);
type Init = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Start = unsafe extern "C" fn(*mut c_void, Plain) -> c_int;
type Stop = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The functions of libuv that the loop driver calls.
struct Symbols {
    poll_init: unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(*mut c_void, c_int, Polled) -> c_int,
    poll_stop: Stop,
    prepare_init: Init,
    prepare_start: Start,
    check_init: Init,
    check_start: Start,
    idle_init: Init,
    idle_start: Start,
    idle_stop: Stop,
    timer_init: Init,
    timer_start: unsafe extern "C" fn(*mut c_void, Plain, u64, u64) -> c_int,
    handle_ref: Plain,
    handle_unref: Plain,
    close: unsafe extern "C" fn(*mut c_void, Plain),
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    set_data: unsafe extern "C" fn(*mut c_void, *mut c_void),
    get_data: unsafe extern "C" fn(*const c_void) -> *mut c_void,
}

/// The descriptor may be read.
pub(crate) const READABLE: c_int = 1;
/// The descriptor may be written.
pub(crate) const WRITABLE: c_int = 2;
/// The peer has closed; watched alone while nothing is read, or a reset would go unseen.
pub(crate) const DISCONNECT: c_int = 4;

/// Kinds of handles, with the numbers that `uv_handle_size` knows them by.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Check = 2,
    Idle = 6,
    Poll = 8,
    Prepare = 9,
    Timer = 13,
}

/// A libuv handle. Closed by `close`, or when dropped.
pub(crate) struct Handle {
    /// The libuv structure; in front of it lies a `Context`.
    memory: NonNull<c_void>,
}

/// What a callback finds behind its handle.
#[repr(C, align(16))]
struct Context {
    state: *const EnvState,
    key: u32,
    layout: Layout,
}

/// Whether this process has the libuv functions that the loop driver needs.
pub(crate) fn is_available() -> bool {
    symbols().is_some()
}

impl Handle {
    /// Watches a socket. `key` comes back with every event.
    pub(crate) fn poll(state: &EnvState, descriptor: i32, key: u32) -> Option<Self> {
        if fail::strikes("watch") {
            return None;
        }
        let uv = symbols()?;
        let handle = Self::allocate(uv, state, Kind::Poll, key)?;
        // SAFETY: fresh memory of the size libuv asked for, the isolate's own loop, an open descriptor.
        let status = unsafe { (uv.poll_init)(state.event_loop(), handle, descriptor) };
        Self::finish(uv, state, handle, status)
    }

    /// A prepare, check, idle or timer handle, not started.
    pub(crate) fn new(state: &EnvState, kind: Kind) -> Option<Self> {
        if fail::strikes("handle") {
            return None;
        }
        let uv = symbols()?;
        let init = match kind {
            Kind::Check => uv.check_init,
            Kind::Idle => uv.idle_init,
            Kind::Prepare => uv.prepare_init,
            Kind::Timer => uv.timer_init,
            Kind::Poll => return None,
        };
        let handle = Self::allocate(uv, state, kind, 0)?;
        // SAFETY: fresh memory of the size libuv asked for, and the isolate's own loop.
        let status = unsafe { init(state.event_loop(), handle) };
        Self::finish(uv, state, handle, status)
    }

    /// Sets what a poll handle watches for; nothing stops it.
    pub(crate) fn watch(&self, events: c_int) {
        let Some(uv) = symbols() else { return };
        if events == 0 {
            // SAFETY: an initialised poll handle that was not closed.
            unsafe { (uv.poll_stop)(self.memory.as_ptr()) };
        } else {
            // SAFETY: as above; the callback finds the context that `allocate` stored.
            unsafe { (uv.poll_start)(self.memory.as_ptr(), events, on_poll) };
        }
    }

    /// Starts a prepare, check or idle handle.
    pub(crate) fn start(&self, kind: Kind) {
        let Some(uv) = symbols() else { return };
        let (start, callback): (Start, Plain) = match kind {
            Kind::Prepare => (uv.prepare_start, on_prepare),
            Kind::Check => (uv.check_start, on_check),
            Kind::Idle => (uv.idle_start, on_idle),
            Kind::Poll | Kind::Timer => return,
        };
        // SAFETY: an initialised handle of that kind that was not closed.
        unsafe { start(self.memory.as_ptr(), callback) };
    }

    /// Stops an idle handle.
    pub(crate) fn stop_idle(&self) {
        let Some(uv) = symbols() else { return };
        // SAFETY: an initialised idle handle that was not closed.
        unsafe { (uv.idle_stop)(self.memory.as_ptr()) };
    }

    /// Starts a timer, once, in so many milliseconds.
    pub(crate) fn start_timer(&self, milliseconds: u64) {
        let Some(uv) = symbols() else { return };
        // SAFETY: an initialised timer handle that was not closed.
        unsafe { (uv.timer_start)(self.memory.as_ptr(), on_timer, milliseconds, 0) };
    }

    /// Whether the handle keeps the process alive.
    pub(crate) fn set_ref(&self, keeps_alive: bool) {
        let Some(uv) = symbols() else { return };
        let set = if keeps_alive {
            uv.handle_ref
        } else {
            uv.handle_unref
        };
        // SAFETY: an initialised handle that was not closed.
        unsafe { set(self.memory.as_ptr()) };
    }

    fn allocate(uv: &Symbols, state: &EnvState, kind: Kind, key: u32) -> Option<*mut c_void> {
        // SAFETY: a pure function of the kind.
        let size = unsafe { (uv.handle_size)(kind as c_int) };
        let layout = Layout::new::<Context>();
        let (layout, _) = layout
            .extend(Layout::from_size_align(size, 16).ok()?)
            .ok()?;
        let layout = layout.pad_to_align();
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        let context = NonNull::new(memory)?.cast::<Context>();
        // SAFETY: fresh memory, large enough and aligned for a context.
        unsafe { context.write(Context { state, key, layout }) };
        // A context is 16-byte aligned and sized, so what follows it is aligned too.
        Some(memory.wrapping_add(size_of::<Context>()).cast())
    }

    fn finish(uv: &Symbols, state: &EnvState, handle: *mut c_void, status: c_int) -> Option<Self> {
        let context = handle.cast::<Context>().wrapping_sub(1);
        if status != 0 {
            // SAFETY: libuv refused the handle and does not know it; read for its own layout.
            let layout = unsafe { (*context).layout };
            // SAFETY: allocated with this layout in `allocate`, and given up here.
            unsafe { dealloc(context.cast(), layout) };
            return None;
        }
        // SAFETY: an initialised handle; its data field is ours.
        unsafe { (uv.set_data)(handle, context.cast()) };
        state.handle_opened();
        NonNull::new(handle).map(|memory| Self { memory })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(uv) = symbols() else { return };
        // SAFETY: closed once, because dropping is; libuv stops the handle first and takes it off
        // the poll set, so the descriptor may be closed right after. `on_close` frees the memory.
        unsafe { (uv.close)(self.memory.as_ptr(), on_close) };
    }
}

fn symbols() -> Option<&'static Symbols> {
    static SYMBOLS: OnceLock<Option<Symbols>> = OnceLock::new();
    SYMBOLS.get_or_init(load).as_ref()
}

fn load() -> Option<Symbols> {
    let process = libloading::os::unix::Library::this();
    macro_rules! symbol {
        ($name:literal) => {
            // SAFETY: the declared types are those of libuv 1.x, stable since before Node 20.
            *unsafe { process.get($name) }.ok()?
        };
    }
    Some(Symbols {
        poll_init: symbol!(b"uv_poll_init\0"),
        poll_start: symbol!(b"uv_poll_start\0"),
        poll_stop: symbol!(b"uv_poll_stop\0"),
        prepare_init: symbol!(b"uv_prepare_init\0"),
        prepare_start: symbol!(b"uv_prepare_start\0"),
        check_init: symbol!(b"uv_check_init\0"),
        check_start: symbol!(b"uv_check_start\0"),
        idle_init: symbol!(b"uv_idle_init\0"),
        idle_start: symbol!(b"uv_idle_start\0"),
        idle_stop: symbol!(b"uv_idle_stop\0"),
        timer_init: symbol!(b"uv_timer_init\0"),
        timer_start: symbol!(b"uv_timer_start\0"),
        handle_ref: symbol!(b"uv_ref\0"),
        handle_unref: symbol!(b"uv_unref\0"),
        close: symbol!(b"uv_close\0"),
        handle_size: symbol!(b"uv_handle_size\0"),
        set_data: symbol!(b"uv_handle_set_data\0"),
        get_data: symbol!(b"uv_handle_get_data\0"),
    })
}

/// Finds the state behind a handle and runs `body` on it; a panic stops here.
///
/// # Safety
/// `handle` is one that `finish` made and that was not freed.
unsafe fn enter(handle: *mut c_void, body: impl FnOnce(&EnvState, u32)) {
    let Some(uv) = symbols() else { return };
    // SAFETY: an initialised handle, by contract.
    let context = unsafe { (uv.get_data)(handle) }.cast::<Context>();
    // SAFETY: `finish` stored the context, which lives as long as the handle.
    let Context { state, key, .. } = unsafe { &*context };
    // SAFETY: the async cleanup hook keeps the state alive until the last handle is closed.
    let state = unsafe { &**state };
    state.check_thread();
    if catch_unwind(AssertUnwindSafe(|| body(state, *key))).is_err() {
        state.count_panic();
    }
}

unsafe extern "C" fn on_poll(handle: *mut c_void, status: c_int, events: c_int) {
    // SAFETY: libuv calls with a live handle of ours.
    unsafe {
        enter(handle, |state, key| {
            driver::on_poll(state, key, status, events);
        });
    }
}

unsafe extern "C" fn on_prepare(handle: *mut c_void) {
    // SAFETY: libuv calls with a live handle of ours.
    unsafe { enter(handle, |state, _| driver::on_prepare(state)) }
}

unsafe extern "C" fn on_check(handle: *mut c_void) {
    // SAFETY: libuv calls with a live handle of ours.
    unsafe { enter(handle, |state, _| driver::on_check(state)) }
}

/// An active idle handle only keeps the loop from sleeping; the work is done in the check phase.
unsafe extern "C" fn on_idle(_handle: *mut c_void) {}

unsafe extern "C" fn on_timer(handle: *mut c_void) {
    // SAFETY: libuv calls with a live handle of ours.
    unsafe { enter(handle, |state, _| driver::on_timer(state)) }
}

unsafe extern "C" fn on_close(handle: *mut c_void) {
    // SAFETY: libuv calls once, with the handle that was closed; the memory is freed below.
    unsafe { enter(handle, |state, _| state.handle_closed()) };
    let context = handle.cast::<Context>().wrapping_sub(1);
    // SAFETY: the context lies in front of the handle; read for its own layout.
    let layout = unsafe { (*context).layout };
    // SAFETY: allocated with this layout in `allocate`; libuv is done with it.
    unsafe { dealloc(context.cast(), layout) };
}
