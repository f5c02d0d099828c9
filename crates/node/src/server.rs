//! The cold functions: a server's start, its end, what it says about itself.

#![allow(
    clippy::needless_pass_by_value,
    reason = "napi converts every argument into a value of its own"
)]
#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::sync::Arc;

use gneiss_core::{
    AccessLog, Counters, Format, FormatFault, Gate, Listener, METHODS, ServerConfig, ServerKey,
    Target, access,
};
use napi::bindgen_prelude::{FnArgs, Function, Object};
use napi::{Env, JsValue};
use napi_derive::napi;

use crate::dispatch::{ServerFunctions, forget_server, leave_when_empty, threaded};
use crate::driver::Driver;
use crate::env::EnvState;
use crate::error::{Code, Failure, native_failure};
use crate::options::{About, NativeAddress, NativeConfig, NativeLine, number, whole};
use crate::stats::Stats;
use crate::sys::{self, Scope};
use crate::threads::{self, THREADED, Threads};
use crate::{binding, calls, output, uv, workers};

/// Asks for a turn: `() => setImmediate(giveTurn)`.
type Later<'s> = Function<'s, (), ()>;

/// `Dispatch` of `native.ts`.
type Dispatch<'s> = Function<'s, FnArgs<(f64, u32, String, String)>, ()>;
/// `Notify` of `native.ts`.
type Notify<'s> = Function<'s, FnArgs<(f64, u32, u32)>, ()>;

/// Sets the isolate up: its state, the pinned image, the hot calls.
#[napi(module_exports)]
pub fn init(exports: Object, env: Env) -> napi::Result<()> {
    sys::pin_image();
    if !sys::install(env.raw(), Box::new(EnvState::new(env.raw()))) {
        return Err(napi::Error::from_reason(
            "the environment refuses instance data",
        ));
    }
    let Some(state) = sys::state_of(env.raw()) else {
        return Err(napi::Error::from_reason(
            "the environment lost its instance data",
        ));
    };
    let scope = Scope::new(state);
    calls::export(&scope, scope.adopt(exports.raw()));
    Ok(())
}

/// What this addon is.
#[napi]
pub fn about() -> About {
    About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        methods: METHODS.iter().map(|&name| name.to_owned()).collect(),
        debug: cfg!(debug_assertions),
        has_loop: uv::is_available(),
    }
}

/// The engine's defaults, with no address and no backlog: a spec compares the documented ones with them.
#[napi]
pub fn defaults() -> NativeConfig {
    NativeConfig::defaults()
}

/// Binds and starts a server. Throws `ERR_BIND` or `ERR_OPTION`. Returns the server's number.
/// `later` has JavaScript call `giveTurn` behind timers and I/O.
#[napi]
pub fn listen(
    env: Env,
    config: NativeConfig,
    dispatch: Dispatch<'_>,
    notify: Notify<'_>,
    later: Later<'_>,
) -> Result<u32, Failure> {
    let state = state_of(env)?;
    let is_threaded = is_threaded(&config, state)?;
    let log = open_log(&config)?;
    let listeners = config
        .bind
        .iter()
        .map(|bind| binding::open_for(&config, bind))
        .collect::<Result<Vec<Listener>, Failure>>()?;
    let gate = config.gate.as_ref().map(workers::gate_of).transpose()?;
    let scope = Scope::new(state);
    let is_ready = if is_threaded {
        threads::ensure(&scope, state, scope.reference(scope.adopt(later.raw())))
    } else {
        state.ensure_context(&scope) && ensure_driver(state)
    };
    if !is_ready {
        return Err(native_failure("the runtime refuses a handle"));
    }
    let dispatch = scope.reference(scope.adopt(dispatch.raw()));
    let notify = scope.reference(scope.adopt(notify.raw()));
    let functions = match (dispatch, notify) {
        (Some(dispatch), Some(notify)) => ServerFunctions { dispatch, notify },
        (dispatch, notify) => {
            for reference in [dispatch, notify].into_iter().flatten() {
                scope.release(reference);
            }
            return Err(native_failure("the runtime refuses a reference"));
        }
    };
    let sources = Sources { listeners, gate };
    let core = Arc::new(config.to_core(log));
    if is_threaded {
        return start_threads(&scope, state, (&config, &core), sources, functions);
    }
    let server = state.with_driver(|driver| start(driver, state, core, sources, functions));
    let (server, is_listening) = server.ok_or_else(|| native_failure("the driver is gone"))?;
    if is_listening {
        return Ok(u32::from(server.0));
    }
    forget_server(&scope, state, server);
    leave_when_empty(state);
    Err(native_failure("the runtime refuses to watch a listener"))
}

/// Begins to accept, for a server with a gate: its listeners wait until its application has started. Throws
/// `ERR_BIND` when one that was reserved cannot listen any more.
#[napi]
pub fn open_server(env: Env, server: u32) -> Result<(), Failure> {
    let state = state_of(env)?;
    let server = key(server);
    let opened = match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.open_gate(server)),
        None => state.with_driver(|driver| driver.open_gate(server)),
    };
    opened
        .unwrap_or(Ok(()))
        .map_err(|error| binding::refusal("a port that was reserved cannot be opened", &error))
}

/// Where the server listens.
#[napi]
pub fn addresses(env: Env, server: u32) -> Result<Vec<NativeAddress>, Failure> {
    let state = state_of(env)?;
    let server = key(server);
    if let Some(server) = threaded(server) {
        let read = |threads: &mut Threads| {
            let listeners = threads.listeners(server).iter();
            listeners
                .map(|listener| NativeAddress::from(listener.address()))
                .collect()
        };
        return Ok(state.with_threads(read).unwrap_or_default());
    }
    let read = |driver: &mut Driver| {
        let places = driver
            .listeners
            .iter()
            .flatten()
            .filter(|place| place.server == server);
        places
            .map(|place| NativeAddress::from(place.listener.address()))
            .collect()
    };
    Ok(state.with_driver(read).unwrap_or_default())
}

/// Keeps the process alive for the server's listeners.
#[napi]
pub fn ref_server(env: Env, server: u32) -> Result<(), Failure> {
    set_ref(state_of(env)?, key(server), true);
    Ok(())
}

/// Lets the process end although the server listens.
#[napi]
pub fn unref_server(env: Env, server: u32) -> Result<(), Failure> {
    set_ref(state_of(env)?, key(server), false);
    Ok(())
}

/// Drains a server and cuts what is left after `timeout` milliseconds; a `closed` notification follows.
#[napi]
pub fn close_server(env: Env, server: u32, timeout: f64) -> Result<(), Failure> {
    let state = state_of(env)?;
    let (server, timeout) = (key(server), whole(timeout));
    match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.close(state, server, timeout)),
        None => state.with_driver(|driver| driver.close_server(state, server, timeout)),
    };
    Ok(())
}

/// For the end of the process: closes listeners and offers what waits to the kernel once.
#[napi]
pub fn flush_at_exit(env: Env) -> Result<(), Failure> {
    let state = state_of(env)?;
    state.with_driver(Driver::flush_at_exit);
    threads::flush_at_exit(state);
    access::flush_all(LOG_MOST);
    Ok(())
}

/// Opens the log files of the process anew, for whoever has moved them away.
#[napi]
pub fn reopen_logs() {
    access::reopen_all();
}

/// Gauges and totals of a server; `undefined` when there is no such server.
#[napi]
pub fn stats(env: Env, server: u32) -> Result<Option<Stats>, Failure> {
    let state = state_of(env)?;
    let server = key(server);
    let found = match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.stats(server)),
        None => state.with_driver(|driver| driver.stats(server)),
    };
    Ok(found.flatten().map(|mut found| {
        found.panics_total += number(state.panics());
        found
    }))
}

/// Takes the lines that wait for the log of a server.
#[napi]
pub fn take_refusals(env: Env, server: u32) -> Result<Vec<NativeLine>, Failure> {
    let state = state_of(env)?;
    let server = key(server);
    let counters = match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.remote.counters(server)),
        None => state.with_driver(|driver| driver.table.counters(server).into_iter().collect()),
    };
    Ok(NativeLine::take_from(&counters.unwrap_or_default()))
}

/// Whether the server gets threads of its own.
fn is_threaded(config: &NativeConfig, state: &EnvState) -> Result<bool, Failure> {
    let has_loop = uv::is_available() && !state.event_loop().is_null();
    match config.runtime_mode.as_str() {
        "auto" => Ok(!has_loop),
        "loop" if has_loop => Ok(false),
        "thread" => Ok(true),
        "loop" => Err(napi::Error::new(
            Code::Option,
            "runtimeMode loop needs a runtime with libuv, which this is not; use auto or thread"
                .to_owned(),
        )),
        other => Err(napi::Error::new(
            Code::Option,
            format!("runtimeMode must be auto, loop or thread, not {other}"),
        )),
    }
}

fn start_threads(
    scope: &Scope<'_>,
    state: &EnvState,
    (config, core): (&NativeConfig, &Arc<ServerConfig>),
    sources: Sources,
    functions: ServerFunctions,
) -> Result<u32, Failure> {
    let count = config.runtime_threads.max(1) as usize;
    let started = state
        .with_threads(|threads| threads.start(state, core, sources, count, functions))
        .ok_or_else(|| native_failure("the driver is gone"))?;
    match started {
        Ok(server) => Ok(u32::from(server.0 | THREADED)),
        Err((error, functions)) => {
            functions.release(scope);
            let reason = format!("the I/O threads cannot be started: {error}");
            Err(native_failure(reason))
        }
    }
}

fn set_ref(state: &EnvState, server: ServerKey, keeps_alive: bool) {
    match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.set_ref(state, server, keeps_alive)),
        None => state.with_driver(|driver| driver.set_listeners_ref(server, keeps_alive)),
    };
}

/// Where a server's connections come from.
pub(crate) struct Sources {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) gate: Option<Arc<dyn Gate>>,
}

fn start(
    driver: &mut Driver,
    state: &EnvState,
    config: Arc<ServerConfig>,
    sources: Sources,
    functions: ServerFunctions,
) -> (ServerKey, bool) {
    let counters = Arc::new(Counters::default());
    let server = driver.table.add_server(config, Arc::clone(&counters));
    let index = usize::from(server.0);
    if index >= driver.servers.len() {
        driver.servers.resize_with(index.saturating_add(1), || None);
    }
    if let Some(slot) = driver.servers.get_mut(index) {
        *slot = Some(functions);
    }
    let Sources { listeners, gate } = sources;
    driver.gates.extend(gate.map(|gate| (server, gate)));
    let is_listening = listeners
        .into_iter()
        .all(|listener| driver.open_listener(state, listener, server, &counters));
    if !is_listening {
        driver.close_listeners(server);
        driver.table.begin_close(server, 0);
    }
    (server, is_listening)
}

fn open_log(config: &NativeConfig) -> Result<Option<Arc<AccessLog>>, Failure> {
    let Some(path) = config.access_log.as_deref() else {
        return Ok(None);
    };
    let refusal = |what: String| napi::Error::new(Code::Option, what);
    let format = Format::parse(&config.access_log_format)
        .map_err(|FormatFault(fault)| refusal(format!("accessLogFormat: {fault}")))?;
    let target = match path {
        "-" => output::stdout().map(Target::Open),
        path => Ok(Target::File(path.into())),
    };
    let opened = target.and_then(|target| AccessLog::open(&target, format));
    let log = opened.map_err(|error| {
        refusal(format!(
            "the access log {path} cannot be opened: {error}; name a file that may be written, or - for stdout"
        ))
    })?;
    Ok(Some(Arc::new(log)))
}

fn ensure_driver(state: &EnvState) -> bool {
    if state.driver().borrow().is_some() {
        return true;
    }
    if !state.ensure_hook() {
        return false;
    }
    let driver = Driver::new(state);
    let is_there = driver.is_some();
    *state.driver().borrow_mut() = driver;
    is_there
}

pub(crate) fn state_of<'s>(env: Env) -> Result<&'s EnvState, Failure> {
    sys::state_of(env.raw()).ok_or_else(|| native_failure("the environment has no state"))
}

pub(crate) fn key(server: u32) -> ServerKey {
    ServerKey(u16::try_from(server).unwrap_or(u16::MAX))
}

/// How long the end of the process waits for its access logs.
const LOG_MOST: std::time::Duration = std::time::Duration::from_millis(200);
