//! Connections by key, and what both drivers share: who has work, who is late, who may come in.
//!
//! A driver owns sockets and the clock. It feeds bytes in, takes bytes out and does what `wish`
//! says; the table never calls back. No step of it can end more than the connection it works on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::config::ServerConfig;
use crate::counters::Counters;
use crate::deadline::Wheel;
use crate::exchange::{AbortReason, BodyOutcome, ChunkOutcome, Event, Exchanges, Id, ServerKey};
use crate::http1::date::HttpDate;
use crate::http1::{AnswerFault, Connection, Reply, TakenBody, Turn, Wish};
use crate::lane::{Doorbell, Lane};
use crate::shutdown::Shutdown;
use crate::slot::Slots;

/// All connections of one driver.
pub struct Table {
    entries: Vec<Entry>,
    free: Vec<u32>,
    rooms: Rooms,
    wheel: Wheel,
    /// Connections touched since they were last settled.
    dirty: Vec<u32>,
    servers: Vec<Option<Server>>,
    clock: HttpDate,
    date: [u8; 29],
    now: u64,
}

#[derive(Debug, Default)]
struct Entry {
    connection: Option<Connection>,
    is_dirty: bool,
}

/// One server of the table.
#[derive(Debug)]
struct Server {
    config: Arc<ServerConfig>,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

/// Slots, events and spare buffers: what a connection sees of its surroundings.
struct Rooms {
    slots: Slots,
    lane: Lane,
    spare: Vec<Vec<u8>>,
    /// The connection that is being worked on.
    current: u32,
}

impl Exchanges for Rooms {
    fn open(&mut self) -> Option<Id> {
        self.slots.open(self.current)
    }

    fn close(&mut self, id: Id) {
        self.slots.close(id);
    }

    fn push(&mut self, event: Event) {
        self.lane.push(event);
    }

    fn arena(&mut self) -> &mut Vec<u8> {
        self.lane.arena()
    }

    fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE))
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity >= BUFFER_SIZE && capacity <= BUFFER_KEPT && self.spare.len() < BUFFERS_KEPT {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

impl Table {
    /// An empty table. `owner` is written into every id; `bell` is rung when events wait.
    #[must_use]
    pub fn new(owner: u8, bell: Box<dyn Doorbell>, now: u64) -> Self {
        let mut clock = HttpDate::new(0);
        let date = *clock.at(0);
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            rooms: Rooms { slots: Slots::new(owner), lane: Lane::new(bell), spare: Vec::new(), current: 0 },
            wheel: Wheel::new(now),
            dirty: Vec::new(),
            servers: Vec::new(),
            clock,
            date,
            now,
        }
    }

    /// Tells the time: monotonic milliseconds, and seconds since the epoch for the `date` field.
    pub fn set_time(&mut self, now: u64, unix_seconds: u64) {
        self.now = self.now.max(now);
        self.date = *self.clock.at(unix_seconds);
    }

    /// Adds a server.
    pub fn add_server(&mut self, config: Arc<ServerConfig>, counters: Arc<Counters>) -> ServerKey {
        let server = Some(Server { config, counters, shutdown: Shutdown::Serving });
        let free = self.servers.iter_mut().enumerate().find(|(_, place)| place.is_none());
        let index = if let Some((index, place)) = free {
            *place = server;
            index
        } else {
            self.servers.push(server);
            self.servers.len().saturating_sub(1)
        };
        ServerKey(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Forgets a server that is drained; its key may be given to another.
    pub fn remove_server(&mut self, server: ServerKey) {
        if self.is_drained(server)
            && let Some(place) = self.servers.get_mut(usize::from(server.0))
        {
            *place = None;
        }
    }

    /// The counters of a server.
    #[must_use]
    pub fn counters(&self, server: ServerKey) -> Option<Arc<Counters>> {
        self.server(server).map(|server| Arc::clone(&server.counters))
    }

    /// Whether there is no server.
    #[must_use]
    pub fn has_no_server(&self) -> bool {
        self.servers.iter().all(Option::is_none)
    }

    /// Whether the server takes another connection.
    #[must_use]
    pub fn may_accept(&self, server: ServerKey) -> bool {
        self.server(server).is_some_and(|server| {
            server.shutdown.is_serving()
                && server.counters.connections.get() < server.config.worker_connections as u64
        })
    }

    /// Takes in an accepted connection. `pseudo` is what each of its heads begins with.
    pub fn accept(&mut self, server: ServerKey, pseudo: Box<[u8]>) -> Option<u32> {
        let owner = self.server(server)?;
        owner.counters.connections.add(1);
        owner.counters.connections_total.add(1);
        owner.counters.file_descriptors.add(1);
        let (config, counters) = (Arc::clone(&owner.config), Arc::clone(&owner.counters));
        let connection = Connection::new(server, config, counters, pseudo, self.now);
        let key = self.free.pop().or_else(|| {
            self.entries.push(Entry::default());
            u32::try_from(self.entries.len().saturating_sub(1)).ok()
        })?;
        self.entries.get_mut(key as usize)?.connection = Some(connection);
        self.touch(key);
        Some(key)
    }

    /// Bytes were read.
    pub fn on_bytes(&mut self, key: u32, bytes: &[u8]) {
        self.touch(key);
        self.step(key, |connection, turn| connection.on_bytes(turn, bytes));
    }

    /// The peer closed its sending side.
    pub fn on_end(&mut self, key: u32) {
        self.touch(key);
        self.step(key, |connection, turn| connection.on_end(turn));
    }

    /// The socket broke.
    pub fn on_error(&mut self, key: u32) {
        self.touch(key);
        self.step(key, |connection, turn| connection.on_error(turn));
    }

    /// Nothing is left to read of what the kernel held when the server began to drain.
    pub fn on_drained(&mut self, key: u32) {
        if self.server_of(key).is_some_and(|server| !server.shutdown.is_serving()) {
            self.touch(key);
            self.step(key, |connection, turn| connection.drain(turn.now));
        }
    }

    /// What waits to be written.
    #[must_use]
    pub fn output(&self, key: u32) -> &[u8] {
        self.connection(key).map_or(&[], Connection::output)
    }

    /// The kernel took `count` bytes.
    pub fn wrote(&mut self, key: u32, count: usize) {
        self.step(key, |connection, turn| connection.wrote(turn, count));
    }

    /// FIN was sent.
    pub fn linger(&mut self, key: u32) {
        self.step(key, |connection, turn| connection.linger(turn.now));
    }

    /// What the driver should do for a connection; none when there is no such connection.
    #[must_use]
    pub fn wish(&self, key: u32) -> Option<Wish> {
        self.connection(key).map(Connection::wish)
    }

    /// Goes on with input that waited. True when a request came of it: its answer may join what
    /// waits to be written.
    pub fn advance(&mut self, key: u32) -> bool {
        if !self.connection(key).is_some_and(|connection| connection.has_waiting_input()) {
            return false;
        }
        let before = self.rooms.lane.len();
        self.step(key, |connection, turn| connection.advance(turn));
        self.rooms.lane.len() > before && self.output(key).len() < CORK_MOST
    }

    /// The socket of a connection was closed. Its exchange, if any, is aborted.
    pub fn remove(&mut self, key: u32) {
        self.step(key, |connection, turn| connection.cut(turn, AbortReason::PeerGone));
        self.wheel.disarm(key);
        let Some(entry) = self.entries.get_mut(key as usize) else { return };
        let Some(connection) = entry.connection.take() else { return };
        self.free.push(key);
        if let Some(server) = self.server(connection.server()) {
            server.counters.connections.subtract(1);
            server.counters.file_descriptors.subtract(1);
        }
    }

    /// The connections that were touched since the last call, each once, appended to `keys`.
    pub fn take_dirty(&mut self, keys: &mut Vec<u32>) {
        for &key in &self.dirty {
            if let Some(entry) = self.entries.get_mut(key as usize) {
                entry.is_dirty = false;
            }
        }
        keys.append(&mut self.dirty);
    }

    /// Whether a connection waits to be settled.
    #[must_use]
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Puts a connection back among the dirty ones.
    pub fn touch(&mut self, key: u32) {
        if let Some(entry) = self.entries.get_mut(key as usize)
            && !entry.is_dirty
        {
            entry.is_dirty = true;
            self.dirty.push(key);
        }
    }

    /// Enters the connection's deadline into the wheel. Called when it was settled.
    pub fn arm(&mut self, key: u32) {
        if let Some(connection) = self.connection(key) {
            let deadline = connection.deadline();
            if deadline != u64::MAX {
                self.wheel.arm(key, deadline);
            }
        }
    }

    /// Connections whose deadline may have passed, appended to `keys`; ask `is_late` and `on_deadline`.
    pub fn due(&mut self, keys: &mut Vec<u32>) {
        self.wheel.advance(self.now, keys);
    }

    /// Whether the deadline of a connection has passed, and whether it waits for the peer.
    #[must_use]
    pub fn lateness(&self, key: u32) -> Option<Lateness> {
        let connection = self.connection(key)?;
        (connection.deadline() <= self.now)
            .then(|| if connection.waits_for_peer() { Lateness::Peer } else { Lateness::Application })
    }

    /// Does what the passed deadline of a connection asks for; nothing if it has not passed.
    pub fn on_deadline(&mut self, key: u32) {
        self.touch(key);
        self.step(key, |connection, turn| connection.on_deadline(turn));
    }

    /// When to look again, in monotonic milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let closing = self.servers.iter().flatten().filter_map(|server| server.shutdown.deadline()).min();
        match (self.wheel.next(), closing) {
            (Some(wheel), Some(closing)) => Some(wheel.min(closing)),
            (wheel, closing) => wheel.or(closing),
        }
    }

    /// Entries in the deadline wheel.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Stops accepting and drains. The driver reads each of the server's connections once more and
    /// then calls `on_drained`; at `timeout` milliseconds from now the rest is cut.
    pub fn begin_close(&mut self, server: ServerKey, timeout: u64) {
        let until = self.now.saturating_add(timeout);
        if let Some(server) = self.servers.get_mut(usize::from(server.0)).and_then(Option::as_mut) {
            server.shutdown.begin(until);
        }
    }

    /// Cuts what is left of servers whose closing deadline has passed.
    pub fn expire_servers(&mut self) {
        let now = self.now;
        for index in 0..self.servers.len() {
            let server = self.servers.get_mut(index).and_then(Option::as_mut);
            if !server.is_some_and(|server| server.shutdown.expires(now)) {
                continue;
            }
            for key in self.keys_of(ServerKey(u16::try_from(index).unwrap_or(u16::MAX))) {
                self.touch(key);
        self.step(key, |connection, turn| connection.cut(turn, AbortReason::ServerClosed));
            }
        }
    }

    /// Keys of a server's connections.
    #[must_use]
    pub fn keys_of(&self, server: ServerKey) -> Vec<u32> {
        let is_of = |entry: &Entry| entry.connection.as_ref().is_some_and(|connection| connection.server() == server);
        let keys = self.entries.iter().enumerate().filter(|(_, entry)| is_of(entry));
        keys.filter_map(|(index, _)| u32::try_from(index).ok()).collect()
    }

    /// Whether a server that is being closed has no connection left.
    #[must_use]
    pub fn is_drained(&self, server: ServerKey) -> bool {
        self.server(server).is_some_and(|server| {
            !server.shutdown.is_serving() && server.counters.connections.get() == 0
        })
    }

    /// Reports that nothing is left of a server.
    pub fn report_closed(&mut self, server: ServerKey) {
        self.rooms.lane.push(Event::Closed { server });
    }

    /// The lane: events that wait, and their text.
    #[must_use]
    pub fn lane(&self) -> &Lane {
        &self.rooms.lane
    }

    /// The lane, to drain it.
    pub fn lane_mut(&mut self) -> &mut Lane {
        &mut self.rooms.lane
    }

    /// Open exchanges.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.rooms.slots.len()
    }

    /// Whether an id names an open exchange.
    #[must_use]
    pub fn is_open(&self, id: Id) -> bool {
        self.rooms.slots.connection(id).is_some()
    }

    /// The whole answer at once.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    pub fn respond(&mut self, id: Id, head: &Reply<'_>, body: &[u8], wants_done: bool) -> Result<(), AnswerFault> {
        self.answer(id, |connection, turn| connection.respond(turn, head, body, wants_done))
            .unwrap_or(Err(AnswerFault::Gone))
    }

    /// The head of a streamed answer.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    pub fn start(&mut self, id: Id, head: &Reply<'_>) -> Result<(), AnswerFault> {
        self.answer(id, |connection, turn| connection.start(turn, head)).unwrap_or(Err(AnswerFault::Gone))
    }

    /// A piece of a streamed answer.
    ///
    /// # Errors
    /// More bytes than content-length promised.
    pub fn chunk(&mut self, id: Id, data: &[u8], is_last: bool, wants_done: bool) -> Result<ChunkOutcome, AnswerFault> {
        self.answer(id, |connection, turn| connection.chunk(turn, data, is_last, wants_done))
            .unwrap_or(Ok(ChunkOutcome::Gone))
    }

    /// The end of a streamed answer; false for a stale id.
    pub fn end(&mut self, id: Id, wants_done: bool) -> bool {
        self.answer(id, |connection, turn| connection.end(turn, wants_done)).unwrap_or(false)
    }

    /// Cuts an exchange; false for a stale id.
    pub fn reset(&mut self, id: Id) -> bool {
        self.answer(id, Connection::reset).unwrap_or(false)
    }

    /// Body bytes of an exchange.
    pub fn take_body(&mut self, id: Id) -> TakenBody {
        self.answer(id, Connection::take_body).unwrap_or(TakenBody::None(BodyOutcome::Gone))
    }

    /// Gives a body's buffer back.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.rooms.recycle(buffer);
    }

    /// Ends an exchange with 500, or cuts it after its head, for a fault of our own.
    pub fn fail(&mut self, id: Id) {
        self.answer(id, |connection, turn| connection.fail(turn));
    }

    /// More time for the application; false for a stale id.
    pub fn extend(&mut self, id: Id, milliseconds: u64) -> bool {
        self.answer(id, |connection, turn| connection.extend(turn.now, milliseconds)).unwrap_or(false)
    }

    fn connection(&self, key: u32) -> Option<&Connection> {
        self.entries.get(key as usize)?.connection.as_ref()
    }

    fn server_of(&self, key: u32) -> Option<&Server> {
        self.server(self.connection(key)?.server())
    }

    fn server(&self, key: ServerKey) -> Option<&Server> {
        self.servers.get(usize::from(key.0))?.as_ref()
    }

    fn answer<R>(&mut self, id: Id, call: impl FnOnce(&mut Connection, &mut Turn<'_, Rooms>) -> R) -> Option<R> {
        let key = self.rooms.slots.connection(id)?;
        self.touch(key);
        self.step(key, call)
    }

    /// Works on one connection. A panic in it ends that connection and its exchange, and is counted.
    fn step<R>(&mut self, key: u32, call: impl FnOnce(&mut Connection, &mut Turn<'_, Rooms>) -> R) -> Option<R> {
        let entry = self.entries.get_mut(key as usize)?;
        let connection = entry.connection.as_mut()?;
        self.rooms.current = key;
        let mut turn = Turn { exchanges: &mut self.rooms, now: self.now, date: &self.date };
        // Unwind safety: what a panic may leave half done is thrown away with the connection.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(|| call(connection, &mut turn))) {
            return Some(result);
        }
        connection.counters().panics_total.add(1);
        connection.cut(&mut turn, AbortReason::Internal);
        while let Some(id) = self.rooms.slots.opened_by(key) {
            self.rooms.slots.close(id);
            self.rooms.lane.push(Event::Abort { id, reason: AbortReason::Internal });
        }
        None
    }
}

/// Whose lateness a deadline shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// The application's: nothing that may still arrive changes it.
    Application,
    /// The peer's: read once more before it expires.
    Peer,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Table")
            .field("servers", &self.servers)
            .field("open_exchanges", &self.open_exchanges())
            .finish_non_exhaustive()
    }
}

/// A buffer begins this large, which holds a small answer.
const BUFFER_SIZE: usize = 2 * 1024;
/// A larger one is given back to the allocator.
const BUFFER_KEPT: usize = 64 * 1024;
/// Spare buffers that are kept.
const BUFFERS_KEPT: usize = 256;
/// Above this, answers leave although another request of the same connection is being answered.
const CORK_MOST: usize = 64 * 1024;
