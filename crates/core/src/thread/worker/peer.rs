//! One connection of an I/O thread.

use std::io;
use std::os::fd::AsRawFd;
use std::task::Waker;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::counters::Held;
use crate::exchange::Id;
use crate::fail;
use crate::gate::Seat;

/// Has the runtime watch a socket, which it owns from now on.
#[expect(
    deprecated,
    reason = "the new spelling is unsafe, which the engine forbids; what makes this one unsound, a descriptor \
              that changes or is closed while it is watched, is ruled out here: the sockets own theirs"
)]
pub(super) fn watch<T: AsRawFd>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    if fail::strikes("watch") {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    AsyncFd::with_interest(socket, interest)
}

/// A socket, and what its task waits for.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact of one socket"
)]
pub(super) struct Peer {
    pub(super) socket: AsyncFd<Socket>,
    /// Tells it from others that have had its key.
    pub(super) serial: u64,
    waker: Option<Waker>,
    /// The task waits for bytes.
    pub(super) awaits_bytes: bool,
    /// The task waits for room.
    pub(super) awaits_room: bool,
    /// The kernel took less than was offered: wait until it has room.
    pub(super) is_blocked: bool,
    /// Bytes wait in the kernel, for which nobody is told any more: they came while nothing was read.
    pub(super) has_unread: bool,
    /// The peer has closed its sending side, and the isolate is being told so for this exchange.
    pub(super) ended: Option<Id>,
    pub(super) stream: Stream,
    /// What it held when it was last counted.
    pub(super) held: Held,
    /// Held for its drop only, which gives it back.
    _seat: Option<Seat>,
}

/// How much of a streamed answer has left.
pub(super) struct Stream {
    pub(super) id: Id,
    /// Bytes that the application has handed over.
    pub(super) given: u64,
    /// Bytes that it knows to have left.
    pub(super) reported: u64,
}

impl Peer {
    /// A connection that was just accepted.
    pub(super) fn new(socket: AsyncFd<Socket>, serial: u64, seat: Option<Seat>) -> Self {
        Self {
            socket,
            serial,
            waker: None,
            awaits_bytes: false,
            awaits_room: false,
            is_blocked: false,
            has_unread: false,
            ended: None,
            stream: Stream {
                // No id of a thread's table: owners begin at 1.
                id: Id::new(0, 0, 0),
                given: 0,
                reported: 0,
            },
            held: Held::default(),
            _seat: seat,
        }
    }

    /// Remembers the task that serves it.
    pub(super) fn remember(&mut self, waker: &Waker) {
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            self.waker = Some(waker.clone());
        }
        self.awaits_bytes = false;
        self.awaits_room = false;
    }

    /// Has the task look again.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Stream {
    /// Counts bytes of an answer.
    pub(super) fn give(&mut self, id: Id, bytes: usize) {
        if self.id != id {
            *self = Self {
                id,
                given: 0,
                reported: 0,
            };
        }
        self.given = self.given.saturating_add(bytes as u64);
    }

    /// Bytes that have left and were not reported, when `pending` bytes wait on the connection.
    pub(super) fn unreported(&self, pending: usize) -> u64 {
        let left = self.given.saturating_sub(pending as u64);
        left.saturating_sub(self.reported)
    }
}
