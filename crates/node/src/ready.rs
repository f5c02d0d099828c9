//! What is ready: noted while libuv polls, looked at in the check phase, one read a socket.

use std::ffi::c_int;

use crate::dispatch::BATCH;
use crate::driver::{Driver, LISTENER};
use crate::env::EnvState;
use crate::uv::{DISCONNECT, READABLE, WRITABLE};

/// What poll callbacks noted of a socket since it was last looked at.
///
/// It lies with the socket, so that one that waits for its turn is queued once however often libuv
/// reports it, and a key that was given to another connection meanwhile means nothing to that one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Note {
    /// The key of the socket is in `ready`.
    pub(crate) is_queued: bool,
    /// Negative when the socket broke: libuv has stopped its handle then.
    pub(crate) status: c_int,
    /// What the socket is ready for.
    pub(crate) events: c_int,
}

impl Driver {
    /// Notes what a socket is ready for, until its turn comes.
    pub(crate) fn note(&mut self, key: u32, status: c_int, events: c_int) {
        let index = (key & !LISTENER) as usize;
        let note = if key & LISTENER == 0 {
            let peer = self.peers.get_mut(index).and_then(Option::as_mut);
            peer.map(|peer| &mut peer.note)
        } else {
            let place = self.listeners.get_mut(index).and_then(Option::as_mut);
            place.map(|place| &mut place.note)
        };
        let Some(note) = note else { return };
        note.status = note.status.min(status);
        note.events |= events;
        if !std::mem::replace(&mut note.is_queued, true) {
            self.ready.push(key);
        }
    }

    /// Reads what is ready, until a batch of requests waits.
    pub(crate) fn read_ready(&mut self, state: &EnvState) {
        let has_rest = !self.table.lane().is_empty();
        let mut done: usize = 0;
        let mut later = Vec::new();
        while let Some(ready) = self.ready.get(done).copied() {
            if self.table.lane().len() >= BATCH {
                break;
            }
            done = done.saturating_add(1);
            if ready & LISTENER != 0 {
                self.accept(state, ready & !LISTENER);
            } else if has_rest && self.table.is_undelivered(ready) {
                // Behind its request may be the peer's end, which must not overtake a synchronous answer.
                later.push(ready);
            } else {
                self.serve_ready(ready);
            }
        }
        self.ready.drain(..done);
        self.ready.append(&mut later);
    }

    fn serve_ready(&mut self, key: u32) {
        let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
            return;
        };
        let note = std::mem::take(&mut peer.note);
        if note.status < 0 {
            // A reset arrives as a status.
            // libuv has stopped the handle.
            peer.watched = 0;
            self.table.on_error(key);
            return;
        }
        if note.events & WRITABLE != 0 {
            peer.is_blocked = false;
            self.table.touch(key);
        }
        let is_readable = note.events & READABLE != 0;
        if note.events & DISCONNECT != 0 && !is_readable {
            self.table.on_hang_up(key);
        } else if is_readable {
            self.read(key);
            self.table.on_drained(key);
        }
    }
}
