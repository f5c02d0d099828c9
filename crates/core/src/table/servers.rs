//! The servers of a table: who may come in, how each is closed.

use std::sync::Arc;

use super::{Entry, Table};
use crate::access::{AccessLog, Recorder};
use crate::config::ServerConfig;
use crate::counters::{Counters, Held};
use crate::exchange::{AbortReason, Event, ServerKey};
use crate::growth::grow;
use crate::overload::Overload;
use crate::shutdown::Shutdown;

/// One server of the table.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Arc<ServerConfig>,
    pub(super) counters: Arc<Counters>,
    pub(super) shutdown: Shutdown,
}

impl Table {
    /// Adds a server.
    pub fn add_server(&mut self, config: Arc<ServerConfig>, counters: Arc<Counters>) -> ServerKey {
        self.add_share(config, counters, Vec::new())
    }

    /// Adds a thread's share of a server; `siblings` count what the others have.
    pub fn add_share(
        &mut self,
        config: Arc<ServerConfig>,
        counters: Arc<Counters>,
        siblings: Vec<Arc<Counters>>,
    ) -> ServerKey {
        let recorder = config.access_log.clone().map(Recorder::new);
        let overload = Overload::new(Arc::clone(&config), Arc::clone(&counters), siblings);
        let server = Some(Server {
            config,
            counters,
            shutdown: Shutdown::Serving,
        });
        let free = self
            .servers
            .iter_mut()
            .enumerate()
            .find(|(_, place)| place.is_none());
        let index = if let Some((index, place)) = free {
            *place = server;
            index
        } else {
            self.servers.push(server);
            self.servers.len().saturating_sub(1)
        };
        if index >= self.rooms.overloads.len() {
            let count = index.saturating_add(1);
            self.rooms.overloads.resize_with(count, || None);
            self.rooms.recorders.resize_with(count, || None);
        }
        if let Some(place) = self.rooms.recorders.get_mut(index) {
            *place = recorder;
        }
        if let Some(place) = self.rooms.overloads.get_mut(index) {
            *place = Some(overload);
        }
        ServerKey(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Forgets a server that is drained; its key may be given to another.
    pub fn remove_server(&mut self, server: ServerKey) {
        if self.is_drained(server)
            && let Some(place) = self.servers.get_mut(usize::from(server.0))
        {
            *place = None;
            let index = usize::from(server.0);
            for overload in self.rooms.overloads.iter_mut().skip(index).take(1) {
                *overload = None;
            }
            for recorder in self.rooms.recorders.iter_mut().skip(index).take(1) {
                *recorder = None;
            }
        }
    }

    /// Hands over what was noted for access logs.
    pub fn flush_records(&mut self) {
        for recorder in self.rooms.recorders.iter_mut().flatten() {
            recorder.flush();
        }
    }

    /// Has a line written to the log about a connection that could not be accepted.
    pub fn warn_of_accept(&mut self, server: ServerKey, error: &std::io::Error) {
        let Some(owner) = self.server(server) else {
            return;
        };
        let fault = format!(
            "cannot accept a connection: {error}; it is tried again every 100 ms, and what is open goes on"
        );
        if owner.counters.refusals.warn(self.now, &fault) {
            self.rooms.lane.push(Event::Refused { server });
        }
    }

    /// The access log of a server.
    #[must_use]
    pub fn access_log(&self, server: ServerKey) -> Option<&Arc<AccessLog>> {
        self.server(server)?.config.access_log.as_ref()
    }

    /// The counters of a server.
    #[must_use]
    pub fn counters(&self, server: ServerKey) -> Option<Arc<Counters>> {
        self.server(server)
            .map(|server| Arc::clone(&server.counters))
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

    /// Makes room for one connection more, also where those are noted that have gone. False if there is no memory.
    #[must_use]
    pub(super) fn make_room(&mut self) -> bool {
        let count = self.entries.len().saturating_add(1);
        grow(&mut self.entries, 1) && grow(&mut self.free, count) && self.wheel.make_room(count)
    }

    /// Stops accepting and drains. The driver reads each of the server's connections once more and
    /// then calls `on_drained`; at `timeout` milliseconds from now the rest is cut.
    pub fn begin_close(&mut self, server: ServerKey, timeout: u64) {
        let until = self.now.saturating_add(timeout);
        if let Some(server) = self
            .servers
            .get_mut(usize::from(server.0))
            .and_then(Option::as_mut)
        {
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
                self.step(key, |connection, turn| {
                    connection.cut(turn, AbortReason::ServerClosed);
                });
            }
        }
    }

    /// Keys of a server's connections.
    #[must_use]
    pub fn keys_of(&self, server: ServerKey) -> Vec<u32> {
        let is_of = |entry: &Entry| {
            entry
                .connection
                .as_ref()
                .is_some_and(|connection| connection.server() == server)
        };
        let keys = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| is_of(entry));
        keys.filter_map(|(index, _)| u32::try_from(index).ok())
            .collect()
    }

    /// Entries in the deadline wheel.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.wheel.len()
    }

    /// Open exchanges.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.rooms.slots.len()
    }

    /// Slots that a server's exchanges hold, counted by walking them: for what is asked now and then.
    #[must_use]
    pub fn slots_of(&self, server: ServerKey) -> usize {
        let is_of = |key: &u32| {
            self.server_key_of(*key)
                .is_some_and(|owner| owner == server)
        };
        self.rooms.slots.connections().filter(is_of).count()
    }

    /// A server's connections that are in the deadline wheel.
    #[must_use]
    pub fn timers_of(&self, server: ServerKey) -> usize {
        let keys = self.keys_of(server);
        keys.into_iter()
            .filter(|&key| self.wheel.is_armed(key))
            .count()
    }

    /// Bytes that a server's connections hold.
    #[must_use]
    pub fn held_by(&self, server: ServerKey) -> Held {
        let keys = self.keys_of(server);
        keys.into_iter()
            .filter_map(|key| self.connection(key))
            .map(crate::http1::Connection::held)
            .sum()
    }

    /// Whether a server that is being closed has no connection left.
    #[must_use]
    pub fn is_drained(&self, server: ServerKey) -> bool {
        self.server(server).is_some_and(|server| {
            !server.shutdown.is_serving() && server.counters.connections.get() == 0
        })
    }

    /// Whether the closing deadline of a server has passed.
    #[must_use]
    pub fn is_cut(&self, server: ServerKey) -> bool {
        self.server(server)
            .is_some_and(|server| server.shutdown == Shutdown::Cut)
    }

    /// Reports that nothing is left of a server.
    pub fn report_closed(&mut self, server: ServerKey) {
        self.rooms.lane.push(Event::Closed { server });
    }

    /// A connection whose deadline would pass unnoticed: it is not in the wheel, or later than it should be.
    #[cfg(test)]
    pub(crate) fn unguarded(&self) -> Option<String> {
        let entries = self.entries.iter().enumerate();
        let mut connections = entries.filter_map(|(key, entry)| {
            let connection = entry.connection.as_ref()?;
            Some((u32::try_from(key).ok()?, connection))
        });
        connections.find_map(|(key, connection)| {
            let (state, deadline) = (connection.state(), connection.deadline());
            let is_right = if deadline == u64::MAX {
                state.may_last()
            } else {
                self.wheel.is_armed(key) && self.wheel.rings_by(key, deadline)
            };
            (!is_right).then(|| format!("{key}: {state:?}, {deadline}"))
        })
    }

    pub(super) fn server_key_of(&self, key: u32) -> Option<ServerKey> {
        self.connection(key).map(crate::http1::Connection::server)
    }

    pub(super) fn server_of(&self, key: u32) -> Option<&Server> {
        self.server(self.connection(key)?.server())
    }

    pub(super) fn server(&self, key: ServerKey) -> Option<&Server> {
        self.servers.get(usize::from(key.0))?.as_ref()
    }
}
