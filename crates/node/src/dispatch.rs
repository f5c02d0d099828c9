//! Events to JavaScript: one callback scope a batch, positional arguments, nothing borrowed meanwhile.

use std::time::Instant;

use gneiss_core::{Event, Id, ServerKey};

use crate::driver::{Driver, TURN};
use crate::env::EnvState;
use crate::peer::BATCH;
use crate::sys::{Reference, Scope, Thrown, Value};

/// What a server calls in JavaScript.
pub(crate) struct ServerFunctions {
    /// Called once per request.
    pub(crate) dispatch: Reference,
    /// Called for every other event.
    pub(crate) notify: Reference,
}

/// Kinds of notifications, as in `EventKind` of `native.ts`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Kind {
    Chunk = 1,
    Drain = 2,
    Done = 3,
    Abort = 4,
    Closed = 5,
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

fn deliver_batch(scope: &Scope<'_>, state: &EnvState, started: Instant) {
    let mut requests: usize = 0;
    loop {
        let call = state.with_driver(|driver| next_call(scope, driver));
        let Some(Some(call)) = call else { return };
        let outcome = match call.function {
            Some(function) => scope.call(
                function,
                call.arguments.get(..call.count).unwrap_or_default(),
            ),
            None => Ok(()),
        };
        if let (Err(_), Some(id)) = (outcome, call.request) {
            state.with_driver(|driver| driver.table.fail(id));
        }
        if let Some(server) = call.closed {
            forget_server(scope, state, server);
        }
        if outcome == Err(Thrown::Stopped) {
            return;
        }
        requests = requests.saturating_add(usize::from(call.request.is_some()));
        let waits = state.with_driver(|driver| !driver.table.lane().is_empty());
        if waits != Some(true) || requests >= BATCH || started.elapsed() >= TURN {
            return;
        }
    }
}

/// Takes the next event and makes its arguments. The text is copied by Node; no JavaScript runs.
fn next_call<'s>(scope: &Scope<'s>, driver: &mut Driver) -> Option<Call<'s>> {
    let event = driver.table.lane_mut().pop()?;
    Some(match event {
        Event::Request {
            id,
            server,
            meta,
            offset,
            target_len,
            head_len,
        } => {
            let lane = driver.table.lane();
            let target = scope.latin1(lane.text(offset, target_len));
            let head = scope.latin1(lane.text(offset.saturating_add(target_len), head_len));
            let function = functions(driver, server).and_then(|found| scope.deref(&found.dispatch));
            let arguments = [
                scope.number(id.to_f64()),
                scope.uint32(meta.0),
                target,
                head,
            ];
            Call {
                function,
                arguments,
                count: 4,
                request: Some(id),
                closed: None,
            }
        }
        Event::Chunk { id } => notification(scope, driver, id, Kind::Chunk, 0),
        Event::Drain { id } => notification(scope, driver, id, Kind::Drain, 0),
        Event::Done { id } => notification(scope, driver, id, Kind::Done, 0),
        Event::Abort { id, reason } => notification(scope, driver, id, Kind::Abort, reason as u32),
        Event::Closed { server } => {
            let function = functions(driver, server).and_then(|found| scope.deref(&found.notify));
            let arguments = arguments_of(scope, f64::from(server.0), Kind::Closed, 0);
            Call {
                function,
                arguments,
                count: 3,
                request: None,
                closed: Some(server),
            }
        }
    })
}

/// Notifications of exchanges find their object by id, so any server's function will do.
fn notification<'s>(
    scope: &Scope<'s>,
    driver: &Driver,
    id: Id,
    kind: Kind,
    detail: u32,
) -> Call<'s> {
    let function = driver
        .servers
        .iter()
        .flatten()
        .next()
        .and_then(|found| scope.deref(&found.notify));
    Call {
        function,
        arguments: arguments_of(scope, id.to_f64(), kind, detail),
        count: 3,
        request: None,
        closed: None,
    }
}

fn arguments_of<'s>(scope: &Scope<'s>, subject: f64, kind: Kind, detail: u32) -> [Value<'s>; 4] {
    let detail = scope.uint32(detail);
    [
        scope.number(subject),
        scope.uint32(kind as u32),
        detail,
        detail,
    ]
}

fn functions(driver: &Driver, server: ServerKey) -> Option<&ServerFunctions> {
    driver.servers.get(usize::from(server.0))?.as_ref()
}

/// Forgets a server and releases what it called.
pub(crate) fn forget_server(scope: &Scope<'_>, state: &EnvState, server: ServerKey) {
    let functions = state.with_driver(|driver| {
        driver.table.remove_server(server);
        driver
            .servers
            .get_mut(usize::from(server.0))
            .and_then(Option::take)
    });
    if let Some(Some(functions)) = functions {
        scope.release(functions.dispatch);
        scope.release(functions.notify);
    }
}
