//! The words that travel between the engine and whoever answers: ids, events, reasons.

use crate::access::Recorder;
use crate::overload::{Rejection, Shed};

/// Names an open exchange: 24 bits of slot, 24 bits of generation, 5 bits of owner.
///
/// It fits a double below 2^53. An id outlives its exchange harmlessly: every call with a stale id
/// is a no-op that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(u64);

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 24;
const OWNER_BITS: u32 = 5;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

impl Id {
    /// One more than the largest slot index.
    pub const SLOTS: u32 = 1 << SLOT_BITS;
    /// The largest owner.
    pub const OWNERS: u8 = (1 << OWNER_BITS) - 1;
    /// Generations wrap here.
    pub const GENERATIONS: u32 = 1 << GENERATION_BITS;

    /// Packs an id; bits beyond each field's width are dropped.
    #[must_use]
    pub fn new(slot: u32, generation: u32, owner: u8) -> Self {
        let owner = u64::from(owner) & ((1 << OWNER_BITS) - 1);
        Self(
            (u64::from(slot) & SLOT_MASK)
                | ((u64::from(generation) & GENERATION_MASK) << SLOT_BITS)
                | (owner << (SLOT_BITS + GENERATION_BITS)),
        )
    }

    /// Index of the slot.
    #[must_use]
    pub fn slot(self) -> u32 {
        u32::try_from(self.0 & SLOT_MASK).unwrap_or(0)
    }

    /// Generation of the slot when the exchange was opened.
    #[must_use]
    pub fn generation(self) -> u32 {
        u32::try_from((self.0 >> SLOT_BITS) & GENERATION_MASK).unwrap_or(0)
    }

    /// Who owns the connection of the exchange: 0 for the isolate itself, else an I/O thread.
    #[must_use]
    pub fn owner(self) -> u8 {
        u8::try_from(self.0 >> (SLOT_BITS + GENERATION_BITS)).unwrap_or(u8::MAX)
    }

    /// The id as a number that a double holds exactly.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "an id has 53 bits by construction"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64
    }

    /// The id in a double; anything that is not an id of ours becomes one that is stale.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float casts saturate, and a saturated value names no open slot"
    )]
    pub fn from_f64(number: f64) -> Self {
        Self(number as u64)
    }
}

/// Packed facts of a request, read by JavaScript as one integer. The layout is mirrored in `native.ts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta(pub u32);

impl Meta {
    /// Bit position of the HTTP version (0: 1.0, 1: 1.1, 2: 2).
    pub const VERSION_SHIFT: u32 = 6;
    /// The scheme is https.
    pub const SECURE: u32 = 0x100;
    /// There is a body, possibly empty when chunked.
    pub const HAS_BODY: u32 = 0x200;
    /// The whole body has arrived.
    pub const BODY_COMPLETE: u32 = 0x400;
    /// The connection may serve another request.
    pub const KEEP_ALIVE: u32 = 0x800;
    /// The peer asks for an upgrade.
    pub const UPGRADE: u32 = 0x1000;
    /// The peer waits for 100 (Continue).
    pub const EXPECT: u32 = 0x2000;
    /// Bits of the method's position in `METHODS`.
    pub const METHOD_MASK: u32 = 0x3f;
    /// Bits of the version behind its position.
    pub const VERSION_MASK: u32 = 0x3;
}

/// Why an exchange ended without an answer of the application. Mirrored in `native.ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AbortReason {
    /// The peer closed or reset the connection.
    PeerGone = 1,
    /// No response head in time; 504 was sent.
    RequestTimeout = 2,
    /// The request body came too slowly.
    BodyTimeout = 3,
    /// The request body is too large.
    BodyTooLarge = 4,
    /// The request body is not well framed.
    BodyMalformed = 5,
    /// The response was open and the application silent.
    ResponseIdle = 6,
    /// The peer did not read.
    WriteStalled = 7,
    /// The server was closed and its deadline passed.
    ServerClosed = 8,
    /// A fault of our own.
    Internal = 9,
    /// It has waited for the application too long; 503 was sent.
    Overloaded = 10,
}

/// Names a server of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerKey(pub u16);

/// What the engine tells JavaScript. Plain data: text lies in the lane's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The exchange is over without an answer of the application.
    Abort {
        /// The exchange; its slot is free already.
        id: Id,
        /// Why.
        reason: AbortReason,
    },
    /// Body bytes or the body's end can be taken; sent once after `take_body` said pending.
    Chunk {
        /// The exchange.
        id: Id,
    },
    /// Nothing is left of a server.
    Closed {
        /// The server.
        server: ServerKey,
    },
    /// The answer was handed to the kernel; sent only where it was asked for.
    Done {
        /// The exchange; its slot is free already.
        id: Id,
    },
    /// The response buffer has room again.
    Drain {
        /// The exchange.
        id: Id,
    },
    /// Lines about refused requests wait in the counters of a server.
    Refused {
        /// The server.
        server: ServerKey,
    },
    /// A complete, valid request head.
    Request {
        /// The exchange.
        id: Id,
        /// The server it came to.
        server: ServerKey,
        /// Its number among the requests that its owner has handed over for the server.
        ticket: u64,
        /// Packed facts.
        meta: Meta,
        /// Where its text begins in the arena: the target, then the head.
        offset: usize,
        /// Length of the target.
        target_len: usize,
        /// Length of the head behind it.
        head_len: usize,
    },
}

/// An event on its way to whoever answers: as it is told, with its text at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// Nothing is left of a server.
    Closed {
        /// The server.
        server: ServerKey,
    },
    /// Lines about refused requests of a server wait.
    Refused {
        /// The server.
        server: ServerKey,
    },
    /// Something happened to an open exchange.
    Notice {
        /// The exchange.
        id: Id,
        /// What.
        kind: Notice,
        /// The reason of an abort, else 0.
        detail: u32,
    },
    /// A request to be answered.
    Request {
        /// The exchange.
        id: Id,
        /// The server it came to.
        server: ServerKey,
        /// Packed facts.
        meta: Meta,
        /// The target, Latin-1.
        target: &'a [u8],
        /// The head in the application's form, Latin-1.
        head: &'a [u8],
    },
}

/// What happened to an exchange. Mirrored in `native.ts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Notice {
    /// Body bytes or the body's end can be taken.
    Chunk = 1,
    /// The response buffer has room again.
    Drain = 2,
    /// The answer was handed to the kernel.
    Done = 3,
    /// It is over without an answer of the application.
    Abort = 4,
}

impl<'a> Delivery<'a> {
    /// An event with its text, which lies in `arena`.
    #[must_use]
    pub fn of(event: Event, arena: &'a [u8]) -> Self {
        let notice = |id, kind, detail| Self::Notice { id, kind, detail };
        match event {
            Event::Abort { id, reason } => notice(id, Notice::Abort, reason as u32),
            Event::Chunk { id } => notice(id, Notice::Chunk, 0),
            Event::Closed { server } => Self::Closed { server },
            Event::Done { id } => notice(id, Notice::Done, 0),
            Event::Drain { id } => notice(id, Notice::Drain, 0),
            Event::Refused { server } => Self::Refused { server },
            Event::Request {
                id,
                server,
                meta,
                offset,
                target_len,
                head_len,
                ..
            } => {
                let text = arena.get(offset..).unwrap_or_default();
                let (target, rest) = text.split_at_checked(target_len).unwrap_or_default();
                Self::Request {
                    id,
                    server,
                    meta,
                    target,
                    head: rest.get(..head_len).unwrap_or_default(),
                }
            }
        }
    }
}

/// What `chunk` and `end` answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkOutcome {
    /// There is room for more.
    Room = 0,
    /// The peer is slower than the application: a `Drain` event follows.
    Full = 1,
    /// The exchange is over.
    Gone = 2,
    /// The body ended before its content-length: the connection is cut, and so is the exchange.
    Short = 3,
}

/// What `take_body` answers when it has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BodyOutcome {
    /// Nothing now: a `Chunk` event follows.
    Pending = 0,
    /// Everything was taken.
    End = 1,
    /// The exchange is over.
    Gone = 2,
}

/// What a connection needs from its surroundings to open exchanges and to report on them.
///
/// This is the seam that keeps the codec ignorant of lanes, sockets and threads.
pub trait Exchanges {
    /// Opens an exchange on the connection that is being worked on; none when every slot is taken, or there is
    /// no memory for what has to be told of one more.
    fn open(&mut self) -> Option<Id>;
    /// Whether a request of a server is turned away because the application has no time for it.
    fn verdict(&mut self, _server: ServerKey) -> Option<Rejection> {
        None
    }
    /// What is answered to a request that was taken and has waited too long.
    fn reject(&mut self, _server: ServerKey) -> Rejection {
        Rejection {
            shed: Shed::QueueWait,
            retry_after: 1,
        }
    }
    /// A request that was handed over is over before the application heard of it.
    fn unread(&mut self, _server: ServerKey, _ticket: u64) {}
    /// For how many milliseconds the bytes that are worked on have been waiting to be read, at most.
    fn waited(&self) -> u64 {
        0
    }
    /// Where requests of a server are noted, and the arena; none where they are not.
    fn recorder(&mut self, _server: ServerKey) -> Option<(&mut Recorder, &[u8])> {
        None
    }
    /// Frees the slot of an exchange.
    fn close(&mut self, id: Id);
    /// Whether the request of an exchange was reported and waits to be told.
    fn is_untold(&self, _id: Id) -> bool {
        false
    }
    /// Queues an event.
    fn push(&mut self, event: Event);
    /// Where the text of requests is collected.
    fn arena(&mut self) -> &mut Vec<u8>;
    /// An empty buffer, so that idle connections own none.
    fn buffer(&mut self) -> Vec<u8>;
    /// Takes a buffer back.
    fn recycle(&mut self, buffer: Vec<u8>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_trip_through_a_double() {
        for (slot, generation, owner) in [
            (0, 0, 0),
            (Id::SLOTS - 1, Id::GENERATIONS - 1, 31),
            (77, 1_000_000, 3),
        ] {
            let id = Id::new(slot, generation, owner);
            assert_eq!(Id::from_f64(id.to_f64()), id);
            assert_eq!((id.slot(), id.generation()), (slot, generation));
            assert!(id.to_f64() < 9_007_199_254_740_992.0);
        }
    }

    #[test]
    fn a_double_that_is_no_id_does_not_panic() {
        for number in [f64::NAN, f64::INFINITY, -1.0, 1e300, 0.5] {
            let _ = Id::from_f64(number).slot();
        }
    }
}
