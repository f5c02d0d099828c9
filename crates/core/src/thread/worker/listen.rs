//! Where an I/O thread accepts.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tokio::time::sleep;

use super::super::crowd::Entry;
use super::peer::{Peer, watch};
use super::reading::read_peer;
use super::{Shared, Worker};
use crate::address::Listener;
use crate::fail;
use crate::growth::grow_to;

/// A listener of this thread, and the task that accepts from it.
pub(super) struct Place {
    socket: Rc<AsyncFd<Watched>>,
    task: Option<AbortHandle>,
}

/// A listener that the threads of a server share.
struct Watched(Arc<Listener>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.socket().as_raw_fd()
    }
}

/// What became of an attempt to accept.
enum Attempt {
    /// Another thread has fewer connections.
    Crowded,
    /// Out of descriptors or memory.
    Failed,
    /// The server has as many connections as it may have.
    Full,
    /// Nobody waits.
    Nobody,
    /// Somebody was let in.
    Welcome,
}

impl Place {
    /// Watches a listener.
    pub(super) fn open(listener: Arc<Listener>) -> io::Result<Self> {
        let socket = watch(Watched(listener), Interest::READABLE)?;
        Ok(Self {
            socket: Rc::new(socket),
            task: None,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Worker {
    /// Begins to accept.
    pub(super) fn listen(shared: &Shared) {
        let mut worker = shared.borrow_mut();
        for place in &mut worker.places {
            let task = spawn_local(accept(Rc::clone(shared), Rc::clone(&place.socket)));
            place.task = Some(task.abort_handle());
        }
    }

    /// Stops listening. Who waits in the queue is let in first: closing the socket would reset them.
    /// Where other workers hold the listeners too, the last of them does it.
    pub(super) fn drain_listeners(&mut self) {
        let places = std::mem::take(&mut self.places);
        let is_last = places.is_empty() || self.crowd.retire();
        for place in &places {
            let Watched(listener) = place.socket.get_ref();
            while is_last && self.let_in_anyway(listener) {}
            self.count_closed(1);
        }
    }

    /// Stops listening at once.
    pub(super) fn drop_listeners(&mut self) {
        self.count_closed(self.places.len());
        self.places.clear();
    }

    fn count_closed(&self, listeners: usize) {
        if self.place == 0 {
            self.counters.file_descriptors.subtract(listeners as u64);
        }
    }

    fn accept_one(&mut self, listener: &Listener) -> Attempt {
        match self.crowd.enter(self.place) {
            Entry::Crowded => return Attempt::Crowded,
            Entry::Full => return Attempt::Full,
            Entry::Taken => {}
        }
        let attempt = self.let_in(listener);
        if !matches!(attempt, Attempt::Welcome) {
            self.crowd.leave(self.place);
        }
        attempt
    }

    /// Lets in who waits, however many there are already.
    fn let_in_anyway(&mut self, listener: &Listener) -> bool {
        self.crowd.enter_anyway(self.place);
        let is_welcome = matches!(self.let_in(listener), Attempt::Welcome);
        if !is_welcome {
            self.crowd.leave(self.place);
        }
        is_welcome
    }

    fn let_in(&mut self, listener: &Listener) -> Attempt {
        let (socket, address) = loop {
            let accepted = if fail::strikes("accept") {
                Err(ErrorKind::OutOfMemory.into())
            } else {
                listener.socket().accept()
            };
            match accepted {
                Ok(accepted) => break accepted,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Attempt::Nobody,
                    // The peer gave up while it waited, or a signal came: the next one is unharmed.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => {
                        self.counters.accept_errors_total.add(1);
                        self.table.warn_of_accept(self.server, &error);
                        return Attempt::Failed;
                    }
                },
            }
        };
        // Answers leave whole; waiting for more would only delay them. Unix sockets refuse this.
        let _ = socket.set_tcp_nodelay(true);
        let pseudo = listener.pseudo_head(&socket, &address);
        let Some(shared) = self.me.upgrade() else {
            return Attempt::Failed;
        };
        let Some(key) = self.admit(socket, pseudo) else {
            return Attempt::Failed;
        };
        spawn_local(read_peer(shared, key, self.serial));
        Attempt::Welcome
    }

    /// Takes a connection in. Its task is the caller's to start.
    pub(in crate::thread) fn admit(&mut self, socket: Socket, pseudo: Box<[u8]>) -> Option<u32> {
        let opened = socket
            .set_nonblocking(true)
            .and_then(|()| watch(socket, Interest::READABLE | Interest::WRITABLE));
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                self.counters.accept_errors_total.add(1);
                self.table.warn_of_accept(self.server, &error);
                return None;
            }
        };
        let seat = self.crowd.seat();
        let key = self.table.accept(self.server, pseudo)?;
        self.serial = self.serial.wrapping_add(1);
        let index = key as usize;
        if index >= self.peers.len() {
            if !grow_to(&mut self.peers, index.saturating_add(1)) {
                self.table.remove(key);
                return None;
            }
            self.peers.resize_with(index.saturating_add(1), || None);
        }
        if let Some(slot) = self.peers.get_mut(index) {
            *slot = Some(Peer::new(socket, self.serial, seat));
        }
        Some(key)
    }
}

/// Accepts one connection at a time until the listener is dropped.
async fn accept(shared: Shared, socket: Rc<AsyncFd<Watched>>) {
    let room = Rc::clone(&shared.borrow().room);
    let crowd = Arc::clone(&shared.borrow().crowd);
    loop {
        let Ok(mut guard) = socket.readable().await else {
            sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let Watched(listener) = guard.get_inner();
        let listener = Arc::clone(listener);
        // Made before the attempt, so that a connection which goes right after it is not missed.
        let waiting = room.notified();
        let attempt = {
            let mut worker = shared.borrow_mut();
            worker.read_clock();
            let attempt = worker.accept_one(&listener);
            worker.signal.raise();
            attempt
        };
        match attempt {
            Attempt::Crowded => sleep(CROWDED).await,
            Attempt::Failed => {
                crowd.set_accepting(false);
                sleep(ACCEPT_BACKOFF).await;
                crowd.set_accepting(true);
            }
            Attempt::Full => {
                crowd.set_accepting(false);
                waiting.await;
                crowd.set_accepting(true);
            }
            Attempt::Nobody => guard.clear_ready(),
            Attempt::Welcome => yield_now().await,
        }
    }
}

/// Until accept is tried again after it failed.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Until a thread that has more connections than another looks again.
const CROWDED: Duration = Duration::from_millis(1);
