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
    /// Since when it may have been, in the driver's milliseconds.
    pub(crate) since: u64,
}

impl Driver {
    /// Notes what a socket is ready for, until its turn comes.
    pub(crate) fn note(&mut self, key: u32, status: c_int, events: c_int) {
        let since = self.noted_since();
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
        let is_broken = status < 0 && key & LISTENER == 0;
        if !std::mem::replace(&mut note.is_queued, true) {
            note.since = since;
            if key & LISTENER == 0 {
                self.ready.push(key);
            } else {
                self.calling.push(key & !LISTENER);
            }
        }
        if is_broken {
            self.broken.push(key);
        }
    }

    /// Reads what is ready, until a batch of requests waits.
    pub(crate) fn read_ready(&mut self, state: &EnvState) {
        let has_rest = !self.table.lane().is_empty();
        for index in std::mem::take(&mut self.calling) {
            self.accept(state, index);
        }
        self.drop_broken();
        self.turn_away(has_rest);
        let mut done: usize = 0;
        let mut later = Vec::new();
        while let Some(ready) = self.ready.get(done).copied() {
            if self.table.lane().len() >= BATCH {
                break;
            }
            done = done.saturating_add(1);
            if has_rest && self.table.is_undelivered(ready) {
                // Behind its request may be the peer's end, which must not overtake a synchronous answer.
                later.push(ready);
            } else {
                self.serve_ready(ready, false);
            }
        }
        self.ready.drain(..done);
        self.ready.append(&mut later);
    }

    /// Sockets that broke come first: nobody reads what would be answered to their requests.
    fn drop_broken(&mut self) {
        for key in std::mem::take(&mut self.broken) {
            let place = self.peers.get(key as usize).and_then(Option::as_ref);
            // The key stays in `ready`, where an empty note means nothing.
            if place.is_some_and(|peer| peer.note.status < 0) {
                self.serve_ready(key, false);
            }
        }
    }

    /// Reads what waits behind as many as may, so that it is answered 503 now and not when its turn has come.
    fn turn_away(&mut self, has_rest: bool) {
        let least = self.table.least_room();
        if self.ready.len() <= least {
            return;
        }
        let beyond = self.ready.split_off(least);
        let mut done: usize = 0;
        for (index, key) in beyond.into_iter().enumerate() {
            let may_stay = done >= TURNED_AWAY
                || least.saturating_add(index) < self.table.room_of(key)
                || has_rest && self.table.is_undelivered(key);
            if may_stay {
                self.ready.push(key);
            } else {
                done = done.saturating_add(1);
                self.serve_ready(key, true);
            }
        }
    }

    fn serve_ready(&mut self, key: u32, is_beyond: bool) {
        let now = self.now();
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
            let waited = now.saturating_sub(note.since);
            self.table.set_waited(waited, is_beyond);
            self.read(key);
            self.table.set_waited(0, false);
            self.table.on_drained(key);
        }
    }
}

/// When the loop has polled: what is readable may have been so since it last did.
#[derive(Default)]
pub(crate) struct Poll {
    /// Present while it polls: when it began.
    began: Option<u64>,
    /// When it last ended.
    ended: u64,
    /// Of what the present one reports.
    since: Option<u64>,
}

impl Poll {
    /// The loop begins to poll.
    pub(crate) fn begin(&mut self, now: u64) {
        self.began = Some(now);
        self.since = None;
    }

    /// The loop has polled.
    pub(crate) fn end(&mut self, now: u64) {
        self.began = None;
        self.ended = now;
    }

    /// Whether `since` takes a look at the clock.
    pub(crate) fn needs_time(&self) -> bool {
        self.began.is_some() && self.since.is_none()
    }

    /// Since when what is reported now may have been waiting. A poll that has slept for a while found nothing at first.
    pub(crate) fn since(&mut self, now: u64) -> u64 {
        let Some(began) = self.began else { return now };
        let ended = self.ended;
        *self.since.get_or_insert_with(|| {
            let has_slept = now.saturating_sub(began) > 1;
            if has_slept { now } else { ended }
        })
    }
}

/// Sockets that are turned away in one turn; JavaScript gets its turn in between.
const TURNED_AWAY: usize = 512;
