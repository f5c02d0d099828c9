//! What a connection sees of its surroundings.

use crate::access::Recorder;
use crate::exchange::{Event, Exchanges, Id, ServerKey};
use crate::lane::Lane;
use crate::overload::{Overload, Rejection, Shed};
use crate::slot::Slots;

/// Slots, events and spare buffers: what a connection sees of its surroundings.
pub(super) struct Rooms {
    pub(super) slots: Slots,
    pub(super) lane: Lane,
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    /// The connection that is being worked on.
    pub(super) current: u32,
    /// By the keys of the servers.
    pub(super) overloads: Vec<Option<Overload>>,
    pub(super) recorders: Vec<Option<Recorder>>,
    /// Milliseconds that what is read now has been waiting.
    pub(super) waited: u64,
    /// What is read now waits behind as many as there may be.
    pub(super) is_beyond: bool,
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
            overloads: Vec::new(),
            recorders: Vec::new(),
            waited: 0,
            is_beyond: false,
        }
    }

    pub(super) fn overload(&mut self, server: ServerKey) -> Option<&mut Overload> {
        self.overloads.get_mut(usize::from(server.0))?.as_mut()
    }
}

impl Exchanges for Rooms {
    fn open(&mut self) -> Option<Id> {
        if !self.lane.admits(self.slots.len().saturating_add(1)) {
            return None;
        }
        self.slots.open(self.current)
    }

    fn verdict(&mut self, server: ServerKey) -> Option<Rejection> {
        let (waited, is_beyond) = (self.waited, self.is_beyond);
        self.overload(server)?.verdict(waited, is_beyond)
    }

    fn reject(&mut self, server: ServerKey) -> Rejection {
        let shed = Shed::QueueWait;
        let unknown = Rejection {
            shed,
            retry_after: 1,
        };
        self.overload(server)
            .map_or(unknown, |overload| overload.reject(shed))
    }

    fn unread(&mut self, server: ServerKey, ticket: u64) {
        if let Some(overload) = self.overload(server) {
            overload.note_unread(ticket);
        }
    }

    fn recorder(&mut self, server: ServerKey) -> Option<(&mut Recorder, &[u8])> {
        let recorder = self.recorders.get_mut(usize::from(server.0))?.as_mut()?;
        Some((recorder, self.lane.texts()))
    }

    fn waited(&self) -> u64 {
        self.waited
    }

    fn close(&mut self, id: Id) {
        self.slots.close(id);
    }

    fn is_untold(&self, id: Id) -> bool {
        self.lane.has_request(id)
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
