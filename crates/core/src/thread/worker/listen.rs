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
use super::super::line::Guest;
use super::peer::{Peer, watch};
use super::reading::read_peer;
use super::{Shared, Worker};
use crate::address::Listener;
use crate::fail;
use crate::gate::Seat;
use crate::growth::grow_to;

/// A listener of this thread, and the task that accepts from it.
pub(super) struct Place {
    listener: Arc<Listener>,
    /// Until its task begins. None for one that is reserved: a socket that is watched before it listens reads
    /// as ended for good.
    watched: Option<AsyncFd<Watched>>,
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
    /// Watches a listener, if it listens.
    pub(super) fn open(listener: Arc<Listener>) -> io::Result<Self> {
        let watched = if listener.is_reserved() {
            None
        } else {
            Some(watch(Watched(Arc::clone(&listener)), Interest::READABLE)?)
        };
        Ok(Self {
            listener,
            watched,
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
            if let Some(watched) = place.watched.take() {
                let task = spawn_local(accept(Rc::clone(shared), watched));
                place.task = Some(task.abort_handle());
            }
        }
    }

    /// Those that were reserved listen now: begins to accept from them.
    pub(super) fn open_reserved(&mut self) {
        let Some(shared) = self.me.upgrade() else {
            return;
        };
        for place in self.places.iter_mut().filter(|place| place.task.is_none()) {
            let listener = Arc::clone(&place.listener);
            let task = spawn_local(accept_late(Rc::clone(&shared), listener));
            place.task = Some(task.abort_handle());
        }
    }

    /// Stops listening. Who waits in the queue is let in first: closing the socket would reset them.
    /// Where other workers hold the listeners too, the last of them does it.
    pub(super) fn drain_listeners(&mut self) {
        let places = std::mem::take(&mut self.places);
        let is_last = places.is_empty() || self.crowd.retire();
        for place in &places {
            // One that never listened has no queue.
            let has_queue = is_last && !place.listener.is_reserved();
            while has_queue && self.let_in_anyway(&place.listener) {}
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

    /// Nobody can be let in for now.
    fn note_failure(&mut self, error: &io::Error) {
        self.counters.accept_errors_total.add(1);
        self.table.warn_of_accept(self.server, error);
        self.signal.raise();
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
                        self.note_failure(&error);
                        return Attempt::Failed;
                    }
                },
            }
        };
        // Answers leave whole; waiting for more would only delay them. Unix sockets refuse this.
        let _ = socket.set_tcp_nodelay(true);
        let pseudo = listener.pseudo_head(&socket, &address);
        let seat = self.crowd.seat();
        if self.seat(socket, pseudo, seat) {
            Attempt::Welcome
        } else {
            Attempt::Failed
        }
    }

    /// Takes a connection in that the isolate has made: nobody had to wait for it, and the other workers
    /// do not count it.
    pub(super) fn welcome(&mut self) {
        let Some(Guest { socket, pseudo }) = self.inbox.take_guest() else {
            return;
        };
        self.crowd.enter_anyway(self.place);
        if !self.seat(socket, pseudo, None) {
            self.crowd.leave(self.place);
        }
    }

    /// Takes a connection in, and starts its task.
    fn seat(&mut self, socket: Socket, pseudo: Box<[u8]>, seat: Option<Seat>) -> bool {
        let Some(shared) = self.me.upgrade() else {
            return false;
        };
        let Some(key) = self.admit(socket, pseudo, seat) else {
            return false;
        };
        spawn_local(read_peer(shared, key, self.serial));
        true
    }

    /// Takes a connection in. Its task is the caller's to start.
    pub(in crate::thread) fn admit(
        &mut self,
        socket: Socket,
        pseudo: Box<[u8]>,
        seat: Option<Seat>,
    ) -> Option<u32> {
        let opened = socket
            .set_nonblocking(true)
            .and_then(|()| watch(socket, Interest::READABLE | Interest::WRITABLE));
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                self.note_failure(&error);
                return None;
            }
        };
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

/// Watches a listener that listens only now, and accepts from it. That the system refuses to watch it is no
/// reason to give it up.
async fn accept_late(shared: Shared, listener: Arc<Listener>) {
    loop {
        match watch(Watched(Arc::clone(&listener)), Interest::READABLE) {
            Ok(socket) => return accept(shared, socket).await,
            Err(error) => shared.borrow_mut().note_failure(&error),
        }
        sleep(ACCEPT_BACKOFF).await;
    }
}

/// Accepts one connection at a time until the listener is dropped.
async fn accept(shared: Shared, socket: AsyncFd<Watched>) {
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
