//! What the table offers to a driver whose application lives on another thread.

use super::Table;
use crate::counters::Held;
use crate::exchange::Id;
use crate::http1::Connection;

impl Table {
    /// The connection of an open exchange.
    #[must_use]
    pub fn key_of(&self, id: Id) -> Option<u32> {
        self.rooms.slots.connection(id)
    }

    /// There is no memory to tell the application of a request: its client gets 503.
    pub fn starve(&mut self, id: Id) {
        self.answer(id, Connection::turn_down);
    }

    /// What a connection holds.
    #[must_use]
    pub fn held(&self, key: u32) -> Held {
        self.connection(key)
            .map_or_else(Held::default, Connection::held)
    }

    /// The exchange that the end of a connection's peer would abort now.
    #[must_use]
    pub fn aborted_by_end(&self, key: u32, is_ahead: bool) -> Option<Id> {
        self.connection(key)?.aborted_by_end(is_ahead)
    }

    /// Body bytes that have arrived, and whether they are the last; give the buffer back with `recycle`.
    pub fn take_arrived(&mut self, id: Id) -> Option<(Vec<u8>, bool)> {
        self.answer(id, Connection::take_arrived).flatten()
    }

    /// The application waits for body bytes.
    pub fn ask_for_body(&mut self, id: Id) {
        self.answer(id, Connection::ask_for_body);
    }

    /// The application waits for room. True if a `Drain` event will follow.
    pub fn wait_for_room(&mut self, id: Id) -> bool {
        self.answer(id, |connection, _| connection.wait_for_room())
            .unwrap_or(false)
    }
}
