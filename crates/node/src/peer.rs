//! Sockets of the loop driver: accepting, reading, writing, closing.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use gneiss_core::{Counters, Fate, Listener, ServerKey, Wish, fail};
use socket2::Socket;

use crate::driver::{Driver, LISTENER};
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
}

/// One listening socket. The handle comes first: it is closed before its descriptor is.
pub(crate) struct ListenerPlace {
    handle: Handle,
    pub(crate) listener: Listener,
    pub(crate) server: ServerKey,
    counters: Arc<Counters>,
    /// Not accepting: the server is full, or accept failed and it is not time to try again.
    is_paused: bool,
    resume_at: Option<u64>,
    keeps_alive: bool,
    pub(crate) note: Note,
}

impl Driver {
    /// Begins to accept on a bound listener.
    pub(crate) fn open_listener(
        &mut self,
        state: &EnvState,
        listener: Listener,
        server: ServerKey,
        counters: &Arc<Counters>,
    ) -> bool {
        let place = self
            .listeners
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.listeners.push(None);
                self.listeners.len().saturating_sub(1)
            });
        let Ok(index) = u32::try_from(place) else {
            return false;
        };
        let Some(handle) = Handle::poll(state, listener.socket().as_raw_fd(), index | LISTENER)
        else {
            return false;
        };
        handle.watch(READABLE);
        counters.file_descriptors.add(1);
        let counters = Arc::clone(counters);
        if let Some(slot) = self.listeners.get_mut(place) {
            *slot = Some(ListenerPlace {
                handle,
                listener,
                server,
                counters,
                is_paused: false,
                resume_at: None,
                keeps_alive: true,
                note: Note::default(),
            });
        }
        true
    }

    /// Closes a server's listeners.
    pub(crate) fn close_listeners(&mut self, server: ServerKey) {
        for slot in &mut self.listeners {
            if slot.as_ref().is_some_and(|place| place.server == server)
                && let Some(place) = slot.take()
            {
                place.counters.file_descriptors.subtract(1);
            }
        }
    }

    /// Whether a server's listeners keep the process alive.
    pub(crate) fn set_listeners_ref(&mut self, server: ServerKey, keeps_alive: bool) {
        for place in self
            .listeners
            .iter_mut()
            .flatten()
            .filter(|place| place.server == server)
        {
            place.keeps_alive = keeps_alive;
            place.handle.set_ref(keeps_alive);
        }
        // One that is paused is held by the check phase instead.
        self.after_work();
    }

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
    }

    /// Accepts again where a connection or the time has made it possible.
    pub(crate) fn resume_listeners(&mut self) {
        let now = self.now();
        for place in self
            .listeners
            .iter_mut()
            .flatten()
            .filter(|place| place.is_paused)
        {
            if place.resume_at.is_some_and(|at| at > now) {
                continue;
            }
            // A time that has passed would make the timer fire without end while the server is full.
            place.resume_at = None;
            if self.table.may_accept(place.server) {
                place.is_paused = false;
                place.handle.watch(READABLE);
            }
        }
    }

    /// Whether a listener should keep the process alive although libuv does not watch it.
    pub(crate) fn has_paused_listener(&self) -> bool {
        let mut places = self.listeners.iter().flatten();
        places.any(|place| place.is_paused && place.keeps_alive)
    }

    /// When a listener that failed is tried again.
    pub(crate) fn next_resume(&self) -> Option<u64> {
        self.listeners
            .iter()
            .flatten()
            .filter_map(|place| place.resume_at)
            .min()
    }

    pub(crate) fn accept(&mut self, state: &EnvState, index: u32) {
        let retry_at = self.now().saturating_add(ACCEPT_BACKOFF);
        if let Some(Some(place)) = self.listeners.get_mut(index as usize) {
            let note = std::mem::take(&mut place.note);
            if note.status < 0 {
                // libuv has stopped the handle: watched again after a while, as after a failed accept.
                place.is_paused = true;
                place.resume_at = Some(retry_at);
                return;
            }
        }
        for _ in 0..ACCEPTS {
            let Some(Some(place)) = self.listeners.get_mut(index as usize) else {
                return;
            };
            if !self.table.may_accept(place.server) {
                place.is_paused = true;
                place.handle.watch(0);
                return;
            }
            let accepted = if fail::strikes("accept") {
                Err(ErrorKind::OutOfMemory.into())
            } else {
                place.listener.socket().accept()
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    // The peer gave up while it waited, or a signal came: the next one is unharmed.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => continue,
                    _ => {
                        // Out of descriptors or memory: what is open goes on, and after a while there may be room.
                        place.counters.accept_errors_total.add(1);
                        place.is_paused = true;
                        place.resume_at = Some(retry_at);
                        place.handle.watch(0);
                        return;
                    }
                },
            };
            // Answers leave whole; waiting for more would only delay them. Unix sockets refuse this.
            let _ = socket.set_tcp_nodelay(true);
            let (server, pseudo) = (place.server, place.listener.pseudo_head(&socket, &address));
            let Some(key) = self.table.accept(server, pseudo) else {
                return;
            };
            self.open_peer(state, key, socket);
        }
    }

    fn open_peer(&mut self, state: &EnvState, key: u32, socket: Socket) {
        // libuv makes the descriptor non-blocking.
        let Some(handle) = Handle::poll(state, socket.as_raw_fd(), key) else {
            self.table.remove(key);
            return;
        };
        handle.watch(READABLE);
        handle.set_ref(false);
        let index = key as usize;
        if index >= self.peers.len() {
            self.peers.resize_with(index.saturating_add(1), || None);
        }
        if let Some(slot) = self.peers.get_mut(index) {
            *slot = Some(Peer {
                handle,
                socket,
                watched: READABLE,
                is_blocked: false,
                keeps_alive: false,
                note: Note::default(),
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
        let output = self.table.output(key);
        if output.is_empty() || peer.is_blocked {
            return;
        }
        loop {
            let sent = if fail::strikes("send") {
                Err(ErrorKind::OutOfMemory.into())
            } else {
                peer.socket.send_with_flags(output, libc::MSG_NOSIGNAL)
            };
            match sent {
                Ok(count) => {
                    peer.is_blocked = count < output.len();
                    self.table.wrote(key, count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => peer.is_blocked = true,
                Err(_) => self.table.on_error(key),
            }
            return;
        }
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
        if peer.socket.shutdown(Shutdown::Write).is_err() {
            self.close(key, true);
            return;
        }
        self.table.linger(key);
        if let Some(wish) = self.table.wish(key) {
            self.watch(key, wish);
        }
    }

    fn close(&mut self, key: u32, is_reset: bool) {
        let Some(peer) = self.peers.get_mut(key as usize).and_then(Option::take) else {
            return;
        };
        if is_reset {
            // A failure leaves an ordinary close, which is the best that is left.
            let _ = peer.socket.set_linger(Some(Duration::ZERO));
        }
        drop(peer);
        self.table.remove(key);
    }
}

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;
/// Milliseconds until accept is tried again after it failed.
const ACCEPT_BACKOFF: u64 = 100;
