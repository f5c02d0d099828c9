//! The surroundings of a connection under a schedule.

use crate::exchange::{Event, Exchanges, Id};

/// Slots of one connection.
#[derive(Default)]
pub(super) struct Rooms {
    pub(super) arena: Vec<u8>,
    pub(super) events: Vec<Event>,
    pub(super) opened: u32,
    pub(super) open: Option<Id>,
}

impl Exchanges for Rooms {
    fn open(&mut self) -> Option<Id> {
        assert_eq!(self.open, None, "two exchanges on one connection");
        self.opened += 1;
        // The slots are full now and then.
        self.open = (!self.opened.is_multiple_of(13)).then(|| Id::new(7, self.opened, 0));
        self.open
    }

    fn close(&mut self, id: Id) {
        assert_eq!(self.open.take(), Some(id));
    }

    fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn recycle(&mut self, _: Vec<u8>) {}
}
