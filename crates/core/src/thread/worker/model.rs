//! The I/O side of the models: the real worker on real sockets, turned by hand instead of by a poller.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Waker};

use socket2::Socket;
use tokio::runtime::{LocalOptions, LocalRuntime};

use super::{Stage, Worker};
use crate::counters::Counters;
use crate::thread::line::Inbox;
use crate::thread::model::Flag;
use crate::thread::start::{Setup, last_words};
use crate::thread::worker::Post;

/// A worker, and the other ends of its connections.
pub(in crate::thread) struct Io {
    worker: Worker,
    /// Connections register with it; it is never polled.
    runtime: LocalRuntime,
    woken: Arc<Flag>,
    clients: Vec<Client>,
    end: (Arc<Counters>, Arc<Inbox>, Post),
}

impl Worker {
    /// Whether reading has brought anything that a turn has to deal with.
    fn has_news(&self) -> bool {
        self.table.has_dirty() || !self.later.is_empty()
    }
}

/// The peer of one connection.
struct Client {
    socket: Option<UnixStream>,
    heard: Vec<u8>,
}

/// How a peer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::thread) enum Leaving {
    /// It closes its sending side.
    Fin,
    /// It closes its socket.
    Close,
    /// It closes its socket with something unread in it, which is a reset.
    Reset,
}

impl Io {
    pub(in crate::thread) fn new(setup: Setup) -> Self {
        let end = (
            Arc::clone(&setup.counters),
            Arc::clone(&setup.inbox),
            setup.post.another(),
        );
        setup.counters.threads.add(1);
        setup.counters.doorbell_refs.add(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build_local(LocalOptions::default())
            .unwrap();
        Self {
            worker: Worker::open(setup).unwrap(),
            runtime,
            woken: Arc::default(),
            clients: Vec::new(),
            end,
        }
    }

    /// A client connects and sends `bytes`. Returns its number.
    pub(in crate::thread) fn connect(&mut self, bytes: &[u8]) -> usize {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(bytes).unwrap();
        client.set_nonblocking(true).unwrap();
        let entered = self.runtime.enter();
        let key = self
            .worker
            .admit(Socket::from(server), Box::default(), None);
        drop(entered);
        assert!(key.is_some());
        self.clients.push(Client {
            socket: Some(client),
            heard: Vec::new(),
        });
        self.clients.len() - 1
    }

    pub(in crate::thread) fn leave(&mut self, client: usize, leaving: Leaving) {
        let slot = &mut self.clients[client].socket;
        // It has its answer and has left already.
        if slot.is_none() {
            return;
        }
        match leaving {
            Leaving::Fin => {
                if let Some(socket) = slot {
                    socket.shutdown(Shutdown::Write).unwrap();
                }
            }
            Leaving::Close => *slot = None,
            Leaving::Reset => {
                let key = u32::try_from(client).unwrap();
                if let Some(Some(peer)) = self.worker.peers.get(key as usize) {
                    peer.socket.get_ref().send(b"unread").unwrap();
                }
                *slot = None;
            }
        }
    }

    /// Takes a turn, and another one whenever a socket has something to read: what a poller brings about.
    pub(in crate::thread) fn step(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        let mut is_first = true;
        loop {
            for key in self.worker.table.keys_of(self.worker.server) {
                self.worker.read_once(key);
            }
            if !std::mem::take(&mut is_first) && !self.worker.has_news() {
                return;
            }
            self.worker.turn(&mut context);
            for client in &mut self.clients {
                client.listen();
            }
        }
    }

    /// Sleeps until the isolate wakes this thread, then goes on.
    pub(in crate::thread) fn wait_and_step(&mut self) {
        self.woken.wait();
        self.step();
    }

    /// Serves until the server is closed or the isolate has gone, and says so as the real thread does.
    pub(in crate::thread) fn serve_to_the_end(mut self) -> Vec<Vec<u8>> {
        let is_closed = loop {
            self.step();
            match self.worker.stage {
                Stage::Stopped => break false,
                Stage::Closing if self.worker.table.is_drained(self.worker.server) => break true,
                Stage::Serving | Stage::Closing => self.woken.wait(),
            }
        };
        self.finish(is_closed)
    }

    /// Ends the thread.
    pub(in crate::thread) fn finish(self, is_closed: bool) -> Vec<Vec<u8>> {
        let (counters, inbox, post) = self.end;
        drop(self.worker);
        last_words(&counters, &inbox, post, is_closed);
        self.clients
            .into_iter()
            .map(|client| client.heard)
            .collect()
    }

    pub(in crate::thread) fn connections(&self) -> usize {
        self.worker.table.keys_of(self.worker.server).len()
    }

    /// Nothing is left but the thread itself.
    pub(in crate::thread) fn assert_at_rest(&self) {
        let counters = &self.worker.counters;
        assert_eq!(self.worker.table.open_exchanges(), 0);
        assert_eq!(counters.requests.get(), 0);
        assert_eq!(counters.connections.get(), 0);
        assert_eq!(counters.slots.get(), 0);
        assert_eq!(counters.panics_total.get(), 0);
        assert!(!self.worker.table.has_dirty());
    }

    pub(in crate::thread) fn heard(&self, client: usize) -> &[u8] {
        &self.clients[client].heard
    }
}

impl Client {
    /// Reads what has come; leaves when the answer or the end has.
    fn listen(&mut self) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        let mut room = [0; 1024];
        loop {
            match socket.read(&mut room) {
                Ok(0) => break,
                Ok(count) => self.heard.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.heard.ends_with(b"answer") {
                        break;
                    }
                    return;
                }
                Err(_) => break,
            }
        }
        self.socket = None;
    }
}
