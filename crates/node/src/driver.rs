//! The loop driver: HTTP/1 on the JS thread itself, sockets polled by libuv.
//!
//! Poll callbacks only note what is ready. The work is done in the check phase, in turns: read,
//! parse, dispatch at most 16 exchanges, let microtasks run, write once per connection; again until
//! nothing is ready or a millisecond is used up. Late answers are written in the prepare phase,
//! before the loop sleeps. No JavaScript is ever called from inside the engine, so nothing in it
//! can be re-entered.

use std::cell::Cell;
use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gneiss_core::{Clock, Doorbell, Gate, ServerKey, Table};

use crate::dispatch::{self, ServerFunctions, TURN};
use crate::env::EnvState;
use crate::listeners::{ListenerPlace, has_listener};
use crate::options::number;
use crate::peer::Peer;
use crate::phases::Phases;
use crate::ready::Poll;
use crate::stats::Stats;
use crate::uv::READABLE;

/// Sockets, handles and the clock of one isolate's connections.
pub(crate) struct Driver {
    pub(crate) table: Table,
    pub(crate) peers: Vec<Option<Peer>>,
    pub(crate) listeners: Vec<Option<ListenerPlace>>,
    /// Of servers that share their listeners with other workers.
    pub(crate) gates: Vec<(ServerKey, Arc<dyn Gate>)>,
    pub(crate) servers: Vec<Option<ServerFunctions>>,
    /// Servers that are being closed and were not reported as closed.
    closing: Vec<Closing>,
    /// Keys of connections that have a note; each once.
    pub(crate) ready: Vec<u32>,
    /// The same of listeners. Whoever waits to be let in waits to be read after that, so they come first.
    pub(crate) calling: Vec<u32>,
    /// Those of them that broke: what they still asked is not worth reading.
    pub(crate) broken: Vec<u32>,
    pub(crate) poll: Poll,
    /// Connections that are settled now; kept to be reused.
    pub(crate) settling: Vec<u32>,
    /// One read at a time, for all connections.
    pub(crate) buffer: Box<[u8]>,
    phases: Phases,
    clock: Clock,
    bell: Rc<Cell<bool>>,
    /// The timer has fired.
    is_late: bool,
    in_turn: bool,
}

/// A server on its way out.
struct Closing {
    server: ServerKey,
    /// An earlier turn has found no connection left.
    was_drained: bool,
}

/// Set in the key of a listener.
pub(crate) const LISTENER: u32 = 1 << 31;

/// The doorbell of a lane on the same thread: a flag that keeps the loop from sleeping.
struct Flag(Rc<Cell<bool>>);

impl Doorbell for Flag {
    fn ring(&self) {
        self.0.set(true);
    }
}

impl Driver {
    /// A driver without servers; `None` if libuv refuses a handle.
    pub(crate) fn new(state: &EnvState) -> Option<Self> {
        let bell = Rc::new(Cell::new(false));
        Some(Self {
            table: Table::new(0, Box::new(Flag(Rc::clone(&bell))), 0),
            peers: Vec::new(),
            listeners: Vec::new(),
            gates: Vec::new(),
            servers: Vec::new(),
            closing: Vec::new(),
            ready: Vec::new(),
            calling: Vec::new(),
            broken: Vec::new(),
            poll: Poll::default(),
            settling: Vec::new(),
            buffer: vec![0; READ_MOST].into_boxed_slice(),
            phases: Phases::new(state)?,
            clock: Clock::new(),
            bell,
            is_late: false,
            in_turn: false,
        })
    }

    /// The table, for a call from JavaScript: outside of a turn the clock is read first.
    pub(crate) fn table(&mut self) -> &mut Table {
        if !self.in_turn {
            self.read_clock();
        }
        &mut self.table
    }

    /// Reads the clock, also in a turn: for a call whose whole meaning is a time.
    pub(crate) fn be_on_time(&mut self) {
        self.read_clock();
    }

    /// Accepts what waits in the queue and then no more for a server, drains it, cuts what is left
    /// after `timeout` milliseconds.
    pub(crate) fn close_server(&mut self, state: &EnvState, server: ServerKey, timeout: u64) {
        if self
            .servers
            .get(usize::from(server.0))
            .is_none_or(Option::is_none)
        {
            return;
        }
        self.table().begin_close(server, timeout);
        self.empty_listeners(state, server);
        if self.closing.iter().all(|closing| closing.server != server) {
            self.closing.push(Closing {
                server,
                was_drained: false,
            });
        }
        // Each connection is read once more: a request that the kernel holds already is answered.
        for key in self.table.keys_of(server) {
            self.note(key, 0, READABLE);
        }
        self.after_work();
    }

    /// What a server holds and has done.
    pub(crate) fn stats(&self, server: ServerKey) -> Option<Stats> {
        let table = &self.table;
        let mut found = Stats::of("loop", &[table.counters(server)?]);
        let held = table.held_by(server);
        found.body_bytes = number(held.body as u64);
        found.response_bytes = number(held.response as u64);
        found.slots = number(table.slots_of(server) as u64);
        found.timers = number(table.timers_of(server) as u64);
        found.queued_messages = number(table.lane().len() as u64);
        found.note_log(table.access_log(server));
        Some(found)
    }

    /// Whether anything waits for the check phase.
    fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.calling.is_empty()
            || !self.table.lane().is_empty()
            || self.is_late
    }

    fn begin_turn(&mut self) -> bool {
        self.clock.read();
        self.poll.end(self.clock.now());
        for (_, gate) in &self.gates {
            gate.busy();
        }
        if !(self.has_work() || self.table.has_dirty() || !self.closing.is_empty()) {
            return false;
        }
        self.in_turn = true;
        self.tell_time();
        self.table.observe(self.ready.len());
        self.expire();
        true
    }

    fn end_turn(&mut self) {
        self.flush();
        self.report_closed();
        self.in_turn = false;
        self.after_work();
    }

    /// Writes what waits, on every connection that was touched.
    fn flush(&mut self) {
        while self.table.has_dirty() {
            self.settle_dirty(true);
        }
        self.table.flush_records();
    }

    /// Keeps the loop awake while work waits, and the timer at the next deadline.
    pub(crate) fn after_work(&mut self) {
        self.resume_listeners();
        let keep_awake = self.has_work()
            || self
                .closing
                .iter()
                .any(|closing| is_drained(&self.table, &self.listeners, closing.server));
        self.bell.set(false);
        self.phases.keep_awake(keep_awake);
        // Whoever waits for the end of a server gets to hear of it, and a listener that is paused
        // is still one, although a stopped handle does not count for libuv.
        let keep_alive =
            !self.closing.is_empty() || !self.table.lane().is_empty() || self.has_paused_listener();
        self.phases.keep_alive(keep_alive);
        self.arm_timer();
    }

    fn arm_timer(&mut self) {
        let deadlines = [self.table.next_deadline(), self.next_resume()];
        if let Some(next) = deadlines.into_iter().flatten().min() {
            self.phases.wake_at(next, self.clock.now());
        }
    }

    /// Deadlines that have passed. One that waits for the peer expires only after one more read:
    /// libuv runs timers before it polls, so its bytes may already lie in the kernel.
    fn expire(&mut self) {
        if !std::mem::take(&mut self.is_late) {
            return;
        }
        let mut due = Vec::new();
        self.table.due(&mut due);
        for key in due {
            match self.table.lateness(key) {
                None => self.table.arm(key),
                Some(lateness) => {
                    // A peer that has made room meanwhile is not stalled.
                    self.offer(key);
                    if lateness == gneiss_core::Lateness::Peer {
                        self.read(key);
                    }
                    self.table.on_deadline(key);
                }
            }
        }
        self.table.expire_servers();
        let closing: Vec<ServerKey> = self.closing.iter().map(|closing| closing.server).collect();
        for server in closing {
            if self.table.is_cut(server) {
                self.close_listeners(server);
            }
        }
    }

    /// Servers of which nothing is left: no connection, no listener, and no handle that is still
    /// closing, because libuv has closed since what was closed in an earlier turn.
    fn report_closed(&mut self) {
        let mut gone = Vec::new();
        self.closing.retain_mut(|closing| {
            if !is_drained(&self.table, &self.listeners, closing.server) {
                return true;
            }
            if std::mem::replace(&mut closing.was_drained, true) {
                gone.push(closing.server);
                return false;
            }
            true
        });
        for server in gone {
            self.table.report_closed(server);
            self.gates.retain(|(owner, _)| *owner != server);
        }
    }

    fn read_clock(&mut self) {
        self.clock.read();
        self.tell_time();
    }

    fn tell_time(&mut self) {
        self.table
            .set_time(self.clock.now(), self.clock.unix_seconds());
    }

    /// Since when what is noted now may have been waiting.
    pub(crate) fn noted_since(&mut self) -> u64 {
        if self.poll.needs_time() {
            self.clock.read();
        }
        self.poll.since(self.clock.now())
    }

    /// Monotonic milliseconds of the last look at the clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }
}

/// Whether nothing is left of a server that closes: no connection and no listener.
fn is_drained(table: &Table, listeners: &[Option<ListenerPlace>], server: ServerKey) -> bool {
    table.is_drained(server) && !has_listener(listeners, server)
}

/// A poll callback: notes what is ready, nothing else.
pub(crate) fn on_poll(state: &EnvState, key: u32, status: c_int, events: c_int) {
    state.with_driver(|driver| {
        driver.note(key, status, events);
    });
}

/// The check phase: turns of read, dispatch and write.
pub(crate) fn on_check(state: &EnvState) {
    if state.with_driver(Driver::begin_turn) != Some(true) {
        return;
    }
    let started = Instant::now();
    loop {
        state.with_driver(|driver| driver.read_ready(state));
        dispatch::deliver(state, started);
        let goes_on = state.with_driver(|driver| {
            // Handlers may have taken long: what is written now is written now.
            driver.read_clock();
            driver.settle_dirty(false);
            driver.has_work()
        });
        if goes_on != Some(true) || started.elapsed() >= TURN {
            break;
        }
    }
    state.with_driver(Driver::end_turn);
    dispatch::leave_when_empty(state);
}

/// The prepare phase: answers given by timers and other callbacks leave before the loop sleeps.
pub(crate) fn on_prepare(state: &EnvState) {
    state.with_driver(|driver| {
        if driver.table.has_dirty() || driver.bell.get() {
            driver.read_clock();
            driver.flush();
            driver.after_work();
        }
        driver.clock.read();
        driver.poll.begin(driver.clock.now());
        for (_, gate) in &driver.gates {
            gate.polling(driver.table.open_exchanges());
        }
    });
}

/// A deadline has come: looked at in the check phase, after the loop has polled.
pub(crate) fn on_timer(state: &EnvState) {
    state.with_driver(|driver| {
        driver.is_late = true;
        driver.phases.timer_fired();
        driver.phases.keep_awake(true);
    });
}

/// One read of a socket.
const READ_MOST: usize = 64 * 1024;
