//! What a connection sees of its surroundings.

use crate::exchange::{Event, Exchanges, Id};
use crate::lane::Lane;
use crate::slot::Slots;

/// Slots, events and spare buffers: what a connection sees of its surroundings.
pub(super) struct Rooms {
    pub(super) slots: Slots,
    pub(super) lane: Lane,
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    /// The connection that is being worked on.
    pub(super) current: u32,
}

impl Rooms {
    /// No exchange, no event, no spare buffer.
    pub(super) fn new(slots: Slots, lane: Lane) -> Self {
        Self {
            slots,
            lane,
            spare: Vec::new(),
            spare_bytes: 0,
            current: 0,
        }
    }
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
        let buffer = self.spare.pop();
        let buffer = buffer.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE));
        self.spare_bytes = self.spare_bytes.saturating_sub(buffer.capacity());
        buffer
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let spare_bytes = self.spare_bytes.saturating_add(capacity);
        if (BUFFER_SIZE..=BUFFER_KEPT).contains(&capacity) && spare_bytes <= SPARE_BYTES {
            self.spare_bytes = spare_bytes;
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// A buffer begins this large, which holds a small answer.
const BUFFER_SIZE: usize = 2 * 1024;
/// A larger one is given back to the allocator.
const BUFFER_KEPT: usize = 64 * 1024;
/// Bytes of spare buffers that are kept.
const SPARE_BYTES: usize = 4 * 1024 * 1024;
