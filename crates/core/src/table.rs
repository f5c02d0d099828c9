//! Connections by key, and what both drivers share: who has work, who is late, who may come in.
//!
//! A driver owns sockets and the clock. It feeds bytes in, takes bytes out and does what `wish`
//! says; the table never calls back. No step of it can end more than the connection it works on.

mod afar;
mod answers;
mod rooms;
#[cfg(test)]
mod scarce_tests;
mod servers;
mod waiting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::rooms::Rooms;
use self::servers::Server;
use crate::deadline::Wheel;
use crate::exchange::{AbortReason, Event, Id, ServerKey};
use crate::http1::date::HttpDate;
use crate::http1::{Connection, Turn, Wish};
use crate::lane::{Doorbell, Lane};
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
    /// Exchanges that were over before the application heard of them.
    unheard: Vec<Id>,
    clock: HttpDate,
    date: [u8; 29],
    now: u64,
}

#[derive(Debug, Default)]
struct Entry {
    connection: Option<Connection>,
    is_dirty: bool,
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
            rooms: Rooms::new(Slots::new(owner), Lane::new(bell)),
            wheel: Wheel::new(now),
            dirty: Vec::new(),
            servers: Vec::new(),
            unheard: Vec::new(),
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

    /// Takes in an accepted connection; none where there is no memory for one more. `pseudo` is what each of its
    /// heads begins with.
    pub fn accept(&mut self, server: ServerKey, pseudo: Box<[u8]>) -> Option<u32> {
        if self.free.is_empty() && !self.make_room() {
            return None;
        }
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
        self.step(key, Connection::on_end);
    }

    /// The peer closed its sending side, noticed while nothing was read.
    pub fn on_hang_up(&mut self, key: u32) {
        self.touch(key);
        self.step(key, Connection::on_hang_up);
    }

    /// The socket broke.
    pub fn on_error(&mut self, key: u32) {
        self.touch(key);
        self.step(key, Connection::on_error);
    }

    /// Nothing is left to read of what the kernel held when the server began to drain.
    pub fn on_drained(&mut self, key: u32) {
        if self
            .server_of(key)
            .is_some_and(|server| !server.shutdown.is_serving())
        {
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
        if !self
            .connection(key)
            .is_some_and(Connection::has_waiting_input)
        {
            return false;
        }
        let before = self.rooms.lane.len();
        self.step(key, Connection::advance);
        self.rooms.lane.len() > before && self.output(key).len() < CORK_MOST
    }

    /// The socket of a connection was closed. Its exchange, if any, is aborted.
    pub fn remove(&mut self, key: u32) {
        self.step(key, |connection, turn| {
            connection.cut(turn, AbortReason::PeerGone);
        });
        self.wheel.disarm(key);
        let Some(entry) = self.entries.get_mut(key as usize) else {
            return;
        };
        let Some(connection) = entry.connection.take() else {
            return;
        };
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
        (connection.deadline() <= self.now).then(|| {
            if connection.waits_for_peer() {
                Lateness::Peer
            } else {
                Lateness::Application
            }
        })
    }

    /// Does what the passed deadline of a connection asks for; nothing if it has not passed.
    pub fn on_deadline(&mut self, key: u32) {
        self.touch(key);
        self.step(key, Connection::on_deadline);
    }

    /// When to look again, in monotonic milliseconds.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let closing = self
            .servers
            .iter()
            .flatten()
            .filter_map(|server| server.shutdown.deadline())
            .min();
        match (self.wheel.next(), closing) {
            (Some(wheel), Some(closing)) => Some(wheel.min(closing)),
            (wheel, closing) => wheel.or(closing),
        }
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

    /// Whether a connection's request still waits in the lane.
    #[must_use]
    pub fn is_undelivered(&self, key: u32) -> bool {
        let open = self.connection(key).and_then(Connection::exchange);
        open.is_some_and(|id| self.rooms.lane.has_request(id))
    }

    /// Whether an id names an open exchange.
    #[must_use]
    pub fn is_open(&self, id: Id) -> bool {
        self.rooms.slots.connection(id).is_some()
    }

    fn connection(&self, key: u32) -> Option<&Connection> {
        self.entries.get(key as usize)?.connection.as_ref()
    }

    fn answer<R>(
        &mut self,
        id: Id,
        call: impl FnOnce(&mut Connection, &mut Turn<'_, Rooms>) -> R,
    ) -> Option<R> {
        let key = self.rooms.slots.connection(id)?;
        self.touch(key);
        self.step(key, call)
    }

    /// Works on one connection. A panic in it ends that connection and its exchange, and is counted.
    fn step<R>(
        &mut self,
        key: u32,
        call: impl FnOnce(&mut Connection, &mut Turn<'_, Rooms>) -> R,
    ) -> Option<R> {
        let entry = self.entries.get_mut(key as usize)?;
        let connection = entry.connection.as_mut()?;
        self.rooms.current = key;
        let mut turn = Turn {
            exchanges: &mut self.rooms,
            now: self.now,
            date: &self.date,
        };
        // Unwind safety: what a panic may leave half done is thrown away with the connection.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(|| call(connection, &mut turn))) {
            return Some(result);
        }
        connection.counters().panics_total.add(1);
        connection.cut(&mut turn, AbortReason::Internal);
        while let Some(id) = self.rooms.slots.opened_by(key) {
            self.rooms.slots.close(id);
            self.rooms.lane.push(Event::Abort {
                id,
                reason: AbortReason::Internal,
            });
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

/// Above this, answers leave although another request of the same connection is being answered.
const CORK_MOST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::ServerConfig;
    use crate::counters::Counters;

    struct Silent;

    impl Doorbell for Silent {
        fn ring(&self) {}
    }

    #[test]
    fn a_panic_ends_its_connection_and_no_other() {
        let mut table = Table::new(0, Box::new(Silent), 0);
        let counters = Arc::new(Counters::default());
        let server = table.add_server(Arc::new(ServerConfig::default()), Arc::clone(&counters));
        let keys = [(); 2].map(|()| table.accept(server, Box::default()).unwrap());
        for key in keys {
            table.on_bytes(key, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        let requests = [(); 2].map(|()| match table.lane_mut().pop() {
            Some(Event::Request { id, .. }) => id,
            other => panic!("a request was expected, not {other:?}"),
        });
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result = table.answer(requests[0], |connection, _| {
            // Worse than any real one: the exchange is out of the connection when it panics.
            let _lost = connection.exchange();
            panic!("a bug");
        });
        std::panic::set_hook(hook);
        assert_eq!(result, None::<()>);
        assert_eq!(
            table.lane_mut().pop(),
            Some(Event::Abort {
                id: requests[0],
                reason: AbortReason::Internal
            })
        );
        assert_eq!(table.wish(keys[0]).unwrap().fate, crate::http1::Fate::Reset);
        assert_eq!(table.wish(keys[1]).unwrap().fate, crate::http1::Fate::Stay);
        assert!(!table.is_open(requests[0]) && table.is_open(requests[1]));
        assert_eq!(counters.panics_total.get(), 1);
    }
}
