//! What leaves: one write a connection, and how each goes on.

use super::super::batch::Word;
use super::Worker;
use crate::counters::Held;
use crate::exchange::Id;
use crate::http1::{Fate, Wish};
use crate::socket;

impl Worker {
    /// Does what each touched connection needs.
    pub(super) fn settle_dirty(&mut self) {
        while self.table.has_dirty() {
            let mut keys = std::mem::take(&mut self.settling);
            self.table.take_dirty(&mut keys);
            for &key in &keys {
                self.settle(key);
            }
            keys.clear();
            self.settling = keys;
        }
    }

    fn settle(&mut self, key: u32) {
        self.table.advance(key);
        self.write(key);
        // What was behind a full buffer can be parsed now.
        self.table.advance(key);
        self.end_later(key);
        let Some(wish) = self.table.wish(key) else {
            return;
        };
        match wish.fate {
            Fate::Stay => self.nudge(key, wish),
            Fate::Shutdown => self.shutdown(key),
            Fate::Close => self.close(key, false),
            Fate::Reset => self.close(key, true),
        }
        self.table.arm(key);
        self.count(key);
    }

    /// A peer whose end was kept from its exchange: when that is over, the end counts.
    fn end_later(&mut self, key: u32) {
        let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
            return;
        };
        if peer.ended.is_some_and(|id| !self.table.is_open(id)) {
            peer.ended = None;
            self.end(key, false);
        }
    }

    /// Has the task look again if it does not wait for what there is to do. What the engine itself has answered to
    /// a request behind the bytes that have just left is to leave as well.
    fn nudge(&mut self, key: u32, wish: Wish) {
        let Some(Some(peer)) = self.peers.get(key as usize) else {
            return;
        };
        if wish.write && !peer.is_blocked {
            self.table.touch(key);
            return;
        }
        let must_read = wish.read > 0 && !peer.awaits_bytes && peer.ended.is_none();
        let must_write = peer.is_blocked && !peer.awaits_room;
        if must_read || must_write {
            peer.wake();
        }
    }

    /// Offers what waits to the kernel once more, whatever it said before.
    pub(super) fn offer(&mut self, key: u32) {
        if let Some(Some(peer)) = self.peers.get_mut(key as usize) {
            peer.is_blocked = false;
            self.write(key);
        }
    }

    fn write(&mut self, key: u32) {
        let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
            return;
        };
        if socket::send(
            &mut self.table,
            key,
            peer.socket.get_ref(),
            &mut peer.is_blocked,
        ) {
            self.report_if_much(key);
        }
    }

    fn shutdown(&mut self, key: u32) {
        let Some(Some(peer)) = self.peers.get(key as usize) else {
            return;
        };
        if !socket::finish(&mut self.table, key, peer.socket.get_ref()) {
            self.close(key, true);
            return;
        }
        if let Some(wish) = self.table.wish(key) {
            self.nudge(key, wish);
        }
    }

    /// Closes a connection; its task ends when it looks again.
    pub(super) fn close(&mut self, key: u32, is_reset: bool) {
        let Some(peer) = self.peers.get_mut(key as usize).and_then(Option::take) else {
            return;
        };
        if is_reset {
            socket::reset_on_close(peer.socket.get_ref());
        }
        self.hold(peer.held, Held::default());
        peer.wake();
        drop(peer);
        self.table.remove(key);
        self.crowd.leave(self.place);
        self.room.notify_waiters();
    }

    /// The application waits for room: it has it as soon as half of its buffer is free.
    pub(super) fn wait_for_room(&mut self, id: Id) {
        if !self.table.wait_for_room(id) {
            self.report_room(id);
        }
    }

    /// Reports what has left of an answer.
    pub(super) fn report_room(&mut self, id: Id) {
        if let Some(key) = self.table.key_of(id) {
            self.report(key, 1);
        }
    }

    /// Reports early, so that an application whose peer reads as fast as it writes is never told to wait.
    fn report_if_much(&mut self, key: u32) {
        self.report(key, (self.stream_buffer / 2).max(1) as u64);
    }

    fn report(&mut self, key: u32, least: u64) {
        let pending = self.table.output(key).len();
        let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
            return;
        };
        let bytes = peer.stream.unreported(pending);
        let id = peer.stream.id;
        if bytes >= least && self.table.is_open(id) {
            peer.stream.reported = peer.stream.reported.saturating_add(bytes);
            self.later.push(Word::Room { id, bytes });
        }
    }

    /// Counts what a connection holds.
    fn count(&mut self, key: u32) {
        let held = self.table.held(key);
        if let Some(Some(peer)) = self.peers.get_mut(key as usize)
            && peer.held != held
        {
            let before = std::mem::replace(&mut peer.held, held);
            self.hold(before, held);
        }
    }

    fn hold(&self, before: Held, now: Held) {
        let counters = &self.counters;
        counters.body_bytes.subtract(before.body as u64);
        counters.body_bytes.add(now.body as u64);
        counters.response_bytes.subtract(before.response as u64);
        counters.response_bytes.add(now.response as u64);
    }
}
