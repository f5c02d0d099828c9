//! Requests on their way to the application: who waits, who is not worth waiting for.

use super::Table;
use crate::exchange::{Delivery, Event, ServerKey};
use crate::overload::Overload;

impl Table {
    /// Looks at the queues of all servers, once a turn and before anything is read in it. `unread` sockets
    /// are readable and were not read.
    pub fn observe(&mut self, unread: usize) {
        for overload in self.rooms.overloads.iter_mut().flatten() {
            overload.observe(self.now, unread);
        }
    }

    /// Remembers when requests were handed over: for a thread that does not see them being delivered.
    pub fn mark(&mut self) {
        for overload in self.rooms.overloads.iter_mut().flatten() {
            overload.mark(self.now);
        }
    }

    /// How many sockets may be left unread at least, whatever their server.
    #[must_use]
    pub fn least_room(&self) -> usize {
        let overloads = self.rooms.overloads.iter().flatten();
        overloads.map(Overload::room).min().unwrap_or(usize::MAX)
    }

    /// How many sockets may be left unread before one of this connection.
    #[must_use]
    pub fn room_of(&self, key: u32) -> usize {
        let server = self.server_key_of(key).unwrap_or(ServerKey(u16::MAX));
        let overload = self.rooms.overloads.get(usize::from(server.0));
        overload
            .and_then(Option::as_ref)
            .map_or(usize::MAX, Overload::room)
    }

    /// What is read from now on has been readable for so many milliseconds. `is_beyond`: behind as many as there may be.
    pub fn set_waited(&mut self, milliseconds: u64, is_beyond: bool) {
        self.rooms.waited = milliseconds;
        self.rooms.is_beyond = is_beyond;
    }

    /// The next event as it is told to the application. A request whose client has left, or whose time is
    /// over, is dropped unread.
    pub fn deliver(&mut self) -> Option<Delivery<'_>> {
        let event = loop {
            let event = self.rooms.lane.pop()?;
            match event {
                Event::Request {
                    id, server, ticket, ..
                } => {
                    self.note_delivered(server, ticket);
                    let Some(key) = self.rooms.slots.connection(id) else {
                        self.unheard.push(id);
                        continue;
                    };
                    let wait = self
                        .connection(key)
                        .map_or(0, |connection| connection.waiting_for(self.now));
                    let now = self.now;
                    if let Some(overload) = self.rooms.overload(server) {
                        overload.note_wait(now, wait);
                    }
                }
                // Nobody has heard of what this one ends.
                Event::Abort { id, .. } if self.unheard.contains(&id) => {
                    self.unheard.retain(|unheard| *unheard != id);
                    continue;
                }
                _ => {}
            }
            break event;
        };
        Some(self.rooms.lane.told(event))
    }

    fn note_delivered(&self, server: ServerKey, ticket: u64) {
        if let Some(server) = self.server(server) {
            server.counters.delivered_total.set(ticket);
        }
    }
}
