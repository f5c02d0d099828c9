//! Connections of the loop driver: reading, writing, closing.

use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use gneiss_core::{Fate, Seat, Wish, grow_to, socket};
use socket2::Socket;

use crate::driver::Driver;
use crate::env::EnvState;
use crate::ready::Note;
use crate::uv::{DISCONNECT, Handle, READABLE, WRITABLE};

/// One accepted connection. The handle comes first: it is closed before its descriptor is.
pub(crate) struct Peer {
    handle: Handle,
    socket: Socket,
    /// What the handle watches for.
    pub(crate) watched: i32,
    /// The kernel took less than was offered: wait until it has room.
    pub(crate) is_blocked: bool,
    keeps_alive: bool,
    pub(crate) note: Note,
    /// Held for its drop only, which gives it back.
    _seat: Option<Seat>,
}

impl Driver {
    /// Reads a connection once.
    pub(crate) fn read(&mut self, key: u32) {
        let Some(wish) = self.table.wish(key) else {
            return;
        };
        let Some(Some(peer)) = self.peers.get(key as usize) else {
            return;
        };
        let budget = wish.read.min(self.buffer.len());
        let Some(buffer) = self
            .buffer
            .get_mut(..budget)
            .filter(|buffer| !buffer.is_empty())
        else {
            return;
        };
        loop {
            match (&peer.socket).read(buffer) {
                Ok(0) => self.table.on_end(key),
                Ok(count) => self
                    .table
                    .on_bytes(key, buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.table.on_error(key),
            }
            return;
        }
    }

    /// Does what each touched connection needs. Unless `is_last`, an answer may wait for the one of
    /// the next pipelined request and leave together with it.
    pub(crate) fn settle_dirty(&mut self, is_last: bool) {
        let mut keys = std::mem::take(&mut self.settling);
        self.table.take_dirty(&mut keys);
        for &key in &keys {
            self.settle(key, is_last);
        }
        keys.clear();
        self.settling = keys;
    }

    /// For the end of the process: listeners go, and what waits is offered to the kernel once.
    pub(crate) fn flush_at_exit(&mut self) {
        self.listeners.clear();
        let keys: Vec<u32> = (0..self.peers.len())
            .filter_map(|key| u32::try_from(key).ok())
            .collect();
        for key in keys {
            self.write(key);
        }
        self.table.flush_records();
    }

    /// Begins to watch an accepted connection.
    pub(crate) fn open_peer(
        &mut self,
        state: &EnvState,
        key: u32,
        socket: Socket,
        seat: Option<Seat>,
    ) {
        let index = key as usize;
        let places = index.saturating_add(1);
        if !grow_to(&mut self.peers, places) {
            self.table.remove(key);
            return;
        }
        // libuv makes the descriptor non-blocking.
        let Some(handle) = Handle::poll(state, socket.as_raw_fd(), key) else {
            self.table.remove(key);
            return;
        };
        handle.watch(READABLE);
        handle.set_ref(false);
        if index >= self.peers.len() {
            self.peers.resize_with(places, || None);
        }
        if let Some(slot) = self.peers.get_mut(index) {
            *slot = Some(Peer {
                handle,
                socket,
                watched: READABLE,
                is_blocked: false,
                keeps_alive: false,
                note: Note::default(),
                _seat: seat,
            });
        }
    }

    fn settle(&mut self, key: u32, is_last: bool) {
        if self.table.advance(key) && !is_last {
            self.table.touch(key);
            return;
        }
        self.write(key);
        // What was behind a full buffer can be parsed now.
        self.table.advance(key);
        let Some(wish) = self.table.wish(key) else {
            return;
        };
        match wish.fate {
            Fate::Stay => self.watch(key, wish),
            Fate::Shutdown => self.shutdown(key),
            Fate::Close => self.close(key, false),
            Fate::Reset => self.close(key, true),
        }
        self.table.arm(key);
    }

    /// Offers what waits to the kernel once more, whatever it said before.
    pub(crate) fn offer(&mut self, key: u32) {
        if let Some(Some(peer)) = self.peers.get_mut(key as usize) {
            peer.is_blocked = false;
            self.write(key);
        }
    }

    fn write(&mut self, key: u32) {
        let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
            return;
        };
        socket::send(&mut self.table, key, &peer.socket, &mut peer.is_blocked);
    }

    fn watch(&mut self, key: u32, wish: Wish) {
        let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
            return;
        };
        let read = if wish.read > 0 {
            READABLE
        } else if wish.watch {
            DISCONNECT
        } else {
            0
        };
        let events = if wish.write { read | WRITABLE } else { read };
        if events != peer.watched {
            peer.watched = events;
            peer.handle.watch(events);
        }
        if wish.busy != peer.keeps_alive {
            peer.keeps_alive = wish.busy;
            peer.handle.set_ref(wish.busy);
        }
    }

    fn shutdown(&mut self, key: u32) {
        let Some(Some(peer)) = self.peers.get(key as usize) else {
            return;
        };
        if !socket::finish(&mut self.table, key, &peer.socket) {
            self.close(key, true);
            return;
        }
        if let Some(wish) = self.table.wish(key) {
            self.watch(key, wish);
        }
    }

    fn close(&mut self, key: u32, is_reset: bool) {
        let Some(peer) = self.peers.get_mut(key as usize).and_then(Option::take) else {
            return;
        };
        if is_reset {
            socket::reset_on_close(&peer.socket);
        }
        drop(peer);
        self.table.remove(key);
    }
}
