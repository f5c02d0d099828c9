//! What arrives: the task of a connection, and the end of a peer.

use std::future::poll_fn;
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Ready;

use super::{Shared, Worker};
use crate::counters::Counters;

/// Serves the reading side of a connection until it is closed.
pub(super) async fn read_peer(shared: Shared, key: u32, serial: u64) {
    let _counted = Counted::new(Arc::clone(&shared.borrow().counters));
    poll_fn(|context| {
        let mut worker = shared.borrow_mut();
        worker.read_clock();
        // Unwind safety: what a panic may leave half done goes with the connection.
        let step = AssertUnwindSafe(|| worker.poll_peer(key, serial, context));
        let outcome = catch_unwind(step).unwrap_or_else(|_| {
            worker.counters.panics_total.add(1);
            worker.close(key, true);
            Poll::Ready(())
        });
        worker.signal.raise();
        outcome
    })
    .await;
}

/// A task in the count of its thread, also when it is dropped with the runtime before it has ended.
struct Counted(Arc<Counters>);

impl Counted {
    fn new(counters: Arc<Counters>) -> Self {
        counters.tasks.add(1);
        Self(counters)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.subtract(1);
    }
}

/// What one read has given.
enum Got {
    /// So many bytes; fewer than there was room for mean that no more are here.
    Bytes(usize, bool),
    Broken,
    End,
    Nothing,
}

impl Worker {
    /// One pass of a connection's task: ready when the connection is closed.
    fn poll_peer(&mut self, key: u32, serial: u64, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS {
            let peer = self.peers.get_mut(key as usize).and_then(Option::as_mut);
            let Some(peer) = peer.filter(|peer| peer.serial == serial) else {
                return Poll::Ready(());
            };
            peer.remember(context.waker());
            // Whether there is room or not, reading goes on.
            let _ = self.poll_room(key, context);
            let Some(wish) = self.table.wish(key) else {
                return Poll::Ready(());
            };
            let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
                return Poll::Ready(());
            };
            if peer.ended.is_some() {
                return Poll::Pending;
            }
            if wish.read > 0 {
                let read = self.poll_bytes(key, wish.read, context);
                if read.is_pending() {
                    self.await_bytes(key);
                    return Poll::Pending;
                }
            } else if wish.watch {
                ready!(self.poll_end(key, context));
            } else {
                return Poll::Pending;
            }
        }
        // Others get their turn; a flood of one connection goes on behind them.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn await_bytes(&mut self, key: u32) {
        if let Some(Some(peer)) = self.peers.get_mut(key as usize) {
            peer.awaits_bytes = true;
        }
    }

    /// Writes on when the kernel has room.
    fn poll_room(&mut self, key: u32, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
                return Poll::Ready(());
            };
            if !peer.is_blocked {
                return Poll::Ready(());
            }
            let Poll::Ready(is_ready) = peer.socket.poll_write_ready(context) else {
                peer.awaits_room = true;
                return Poll::Pending;
            };
            if is_ready.is_err() {
                self.table.on_error(key);
                return Poll::Ready(());
            }
            let before = self.table.output(key).len();
            self.offer(key);
            self.table.touch(key);
            let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
                return Poll::Ready(());
            };
            // It was ready a moment ago: what is left is what the kernel had no room for.
            let has_moved = self.table.output(key).len() < before;
            if peer.is_blocked
                && !has_moved
                && let Poll::Ready(Ok(mut guard)) = peer.socket.poll_write_ready(context)
            {
                guard.clear_ready();
            }
        }
    }

    /// Reads once when something is here.
    fn poll_bytes(&mut self, key: u32, budget: usize, context: &mut Context<'_>) -> Poll<()> {
        let Self { peers, buffer, .. } = self;
        let Some(Some(peer)) = peers.get_mut(key as usize) else {
            return Poll::Ready(());
        };
        let most = budget.min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let got = if peer.has_unread {
            let got = receive(peer.socket.get_ref(), buffer);
            peer.has_unread = matches!(got, Got::Bytes(_, true) | Got::End);
            got
        } else {
            match ready!(peer.socket.poll_read_ready(context)) {
                Err(_) => Got::Broken,
                Ok(mut guard) => {
                    let got = receive(guard.get_inner(), buffer);
                    // Cleared on a short read too, or each request would pay for one more read.
                    if matches!(got, Got::Bytes(_, false) | Got::Nothing) {
                        guard.clear_ready();
                    }
                    got
                }
            }
        };
        self.take_in(key, &got);
        Poll::Ready(())
    }

    /// Notices the end of a peer of which nothing is read now.
    fn poll_end(&mut self, key: u32, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(Some(peer)) = self.peers.get_mut(key as usize) else {
                return Poll::Ready(());
            };
            let Ok(mut guard) = ready!(peer.socket.poll_read_ready(context)) else {
                self.table.on_error(key);
                return Poll::Ready(());
            };
            if guard.ready().is_read_closed() {
                let is_broken = matches!(guard.get_inner().take_error(), Ok(Some(_)) | Err(_));
                if is_broken {
                    self.table.on_error(key);
                } else {
                    peer.has_unread = true;
                    self.end(key, true);
                }
                return Poll::Ready(());
            }
            guard.clear_ready_matching(Ready::READABLE);
            peer.has_unread = true;
        }
    }

    /// Reads once, whatever the poller says.
    pub(super) fn read_once(&mut self, key: u32) {
        let Some(wish) = self.table.wish(key) else {
            return;
        };
        let Self { peers, buffer, .. } = self;
        let Some(Some(peer)) = peers.get(key as usize) else {
            return;
        };
        let most = wish.read.min(buffer.len());
        if most == 0 || peer.ended.is_some() {
            return;
        }
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let got = receive(peer.socket.get_ref(), buffer);
        self.take_in(key, &got);
    }

    fn take_in(&mut self, key: u32, got: &Got) {
        match *got {
            Got::Bytes(count, _) => {
                let bytes = self.buffer.get(..count).unwrap_or_default();
                self.table.on_bytes(key, bytes);
            }
            Got::Broken => self.table.on_error(key),
            Got::End => self.end(key, false),
            Got::Nothing => {}
        }
    }

    /// The peer has closed its sending side. Where that aborts an exchange of which the isolate knows, it
    /// is told first and the connection waits, so that an answer which is under way still leaves.
    pub(super) fn end(&mut self, key: u32, is_ahead: bool) {
        if let Some(id) = self.table.aborted_by_end(key, is_ahead) {
            if let Some(Some(peer)) = self.peers.get_mut(key as usize) {
                peer.ended = Some(id);
                self.later.push(super::Word::Ended { id });
            }
        } else if is_ahead {
            self.table.on_hang_up(key);
        } else {
            self.table.on_end(key);
        }
    }
}

fn receive(mut socket: &socket2::Socket, buffer: &mut [u8]) -> Got {
    let room = buffer.len();
    loop {
        return match socket.read(buffer) {
            Ok(0) => Got::End,
            Ok(count) => Got::Bytes(count, count == room),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Got::Nothing,
            Err(_) => Got::Broken,
        };
    }
}

/// Reads of one connection before others get their turn.
const READS: usize = 4;
