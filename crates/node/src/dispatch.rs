//! Events to JavaScript: one callback scope a batch, positional arguments, nothing borrowed meanwhile.

use std::time::{Duration, Instant};

use gneiss_core::{Delivery, Id, ServerKey, fail};

use crate::driver::Driver;
use crate::env::EnvState;
use crate::sys::{Reference, Scope, Thrown, Value};
use crate::threads::{THREADED, Threads};

/// What a server calls in JavaScript.
pub(crate) struct ServerFunctions {
    /// Called once per request.
    pub(crate) dispatch: Reference,
    /// Called for every other event.
    pub(crate) notify: Reference,
}

impl ServerFunctions {
    /// Nothing calls them any more.
    pub(crate) fn release(self, scope: &Scope<'_>) {
        scope.release(self.dispatch);
        scope.release(self.notify);
    }
}

/// An event made ready to be called.
struct Call<'s> {
    function: Option<Value<'s>>,
    arguments: [Value<'s>; 4],
    count: usize,
    /// The exchange of a request, to be failed if its dispatch throws.
    request: Option<Id>,
    /// The server that the event reports as closed.
    closed: Option<ServerKey>,
}

/// Delivers a batch: at most 16 exchanges, or what fits into the turn. Microtasks run at its end.
pub(crate) fn deliver(state: &EnvState, started: Instant) {
    if state.is_ending()
        || state.with_driver(|driver| driver.table.lane().is_empty()) != Some(false)
    {
        return;
    }
    let Some(context) = state.async_context() else {
        return;
    };
    Scope::with_handles(state, |scope| {
        scope.with_callback(&context, |scope| deliver_batch(scope, state, started))
    });
    state.with_driver(|driver| driver.table.lane_mut().recycle());
}

/// Lets go of the driver when its last server is closed.
pub(crate) fn leave_when_empty(state: &EnvState) {
    let is_empty =
        state.with_driver(|driver| driver.table.has_no_server() && driver.table.lane().is_empty());
    if is_empty == Some(true) {
        let driver = state.driver().borrow_mut().take();
        drop(driver);
    }
}

/// Delivers what the I/O threads have told, in the callback scope that Node has opened.
pub(crate) fn deliver_remote(scope: &Scope<'_>, state: &EnvState, started: Instant) {
    deliver_calls(scope, state, started, || {
        state.with_threads(|threads| next_remote(scope, threads))?
    });
}

fn deliver_batch(scope: &Scope<'_>, state: &EnvState, started: Instant) {
    deliver_calls(scope, state, started, || {
        state.with_driver(|driver| next_local(scope, driver))?
    });
}

/// Calls JavaScript for what `next` gives: 16 requests at most, or what fits into the turn.
fn deliver_calls<'s>(
    scope: &Scope<'s>,
    state: &EnvState,
    started: Instant,
    mut next: impl FnMut() -> Option<Call<'s>>,
) {
    let mut requests: usize = 0;
    while let Some(call) = next() {
        let outcome = match call.function {
            Some(_) if call.request.is_some() && fail::strikes("call") => Err(Thrown::Exception),
            Some(function) => scope.call(
                function,
                call.arguments.get(..call.count).unwrap_or_default(),
            ),
            None => Ok(()),
        };
        if let (Err(_), Some(id)) = (outcome, call.request) {
            state.with_answers(id, |answers| answers.fail(id));
        }
        if let Some(server) = call.closed {
            forget_server(scope, state, server);
        }
        if outcome == Err(Thrown::Stopped) {
            return;
        }
        requests = requests.saturating_add(usize::from(call.request.is_some()));
        if requests >= BATCH || started.elapsed() >= TURN {
            return;
        }
    }
}

/// The next event of the loop driver.
fn next_local<'s>(scope: &Scope<'s>, driver: &mut Driver) -> Option<Call<'s>> {
    let Driver { table, servers, .. } = driver;
    let find = |server: Option<ServerKey>| match server {
        Some(server) => servers.get(usize::from(server.0))?.as_ref(),
        None => servers.iter().flatten().next(),
    };
    Some(call_of(scope, table.deliver()?, find))
}

/// The next event of the threaded driver.
fn next_remote<'s>(scope: &Scope<'s>, threads: &mut Threads) -> Option<Call<'s>> {
    let (remote, servers) = threads.parts();
    let find = |server: Option<ServerKey>| servers.functions(server);
    let mut call = call_of(scope, remote.deliver()?, find);
    call.closed = call.closed.map(|server| ServerKey(server.0 | THREADED));
    Some(call)
}

/// Makes the arguments of an event. The text is copied by Node; no JavaScript runs. `find` gives what a
/// server calls: events of exchanges find their object by id, so any server's function will do for them.
fn call_of<'s, 'f>(
    scope: &Scope<'s>,
    delivery: Delivery<'_>,
    find: impl Fn(Option<ServerKey>) -> Option<&'f ServerFunctions>,
) -> Call<'s> {
    let notification = |server, subject: f64, kind: u32, detail: u32| {
        let detail = scope.uint32(detail);
        Call {
            function: find(server).and_then(|found| scope.deref(&found.notify)),
            arguments: [scope.number(subject), scope.uint32(kind), detail, detail],
            count: 3,
            request: None,
            closed: None,
        }
    };
    match delivery {
        Delivery::Request {
            id,
            server,
            meta,
            target,
            head,
        } => Call {
            function: find(Some(server)).and_then(|found| scope.deref(&found.dispatch)),
            arguments: [
                scope.number(id.to_f64()),
                scope.uint32(meta.0),
                scope.latin1(target),
                scope.latin1(head),
            ],
            count: 4,
            request: Some(id),
            closed: None,
        },
        Delivery::Refused { server } => notification(Some(server), f64::from(server.0), REFUSED, 0),
        Delivery::Notice { id, kind, detail } => {
            notification(None, id.to_f64(), kind as u32, detail)
        }
        Delivery::Closed { server } => Call {
            closed: Some(server),
            ..notification(Some(server), f64::from(server.0), CLOSED, 0)
        },
    }
}

/// Forgets a server and releases what it called.
pub(crate) fn forget_server(scope: &Scope<'_>, state: &EnvState, server: ServerKey) {
    let functions = match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.forget(server)),
        None => state.with_driver(|driver| {
            driver.table.remove_server(server);
            driver
                .servers
                .get_mut(usize::from(server.0))
                .and_then(Option::take)
        }),
    };
    if let Some(Some(functions)) = functions {
        functions.release(scope);
    }
}

/// The key of a server among those with threads; none for one of the loop driver.
pub(crate) fn threaded(server: ServerKey) -> Option<ServerKey> {
    (server.0 & THREADED != 0).then_some(ServerKey(server.0 & !THREADED))
}

/// `closed` of `EventKind` in `native.ts`; the other kinds are those of `Notice`.
const CLOSED: u32 = 5;
/// `refused` of `EventKind`.
const REFUSED: u32 = 6;
/// Exchanges that are dispatched in one callback scope.
pub(crate) const BATCH: usize = 16;
/// Our own share of a loop iteration; the rest belongs to timers and other I/O.
pub(crate) const TURN: Duration = Duration::from_millis(1);
