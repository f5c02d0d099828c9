//! What a connection sees of its surroundings.

use crate::exchange::{Event, Exchanges, Id};
use crate::lane::Lane;
use crate::slot::Slots;

/// Slots, events and spare buffers: what a connection sees of its surroundings.
pub(super) struct Rooms {
    pub(super) slots: Slots,
    pub(super) lane: Lane,
    pub(super) spare: Vec<Vec<u8>>,
    /// The connection that is being worked on.
    pub(super) current: u32,
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
        self.spare
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE))
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if (BUFFER_SIZE..=BUFFER_KEPT).contains(&capacity) && self.spare.len() < BUFFERS_KEPT {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// A buffer begins this large, which holds a small answer.
const BUFFER_SIZE: usize = 2 * 1024;
/// A larger one is given back to the allocator.
const BUFFER_KEPT: usize = 64 * 1024;
/// Spare buffers that are kept.
const BUFFERS_KEPT: usize = 256;
