//! Starts the I/O threads of a server.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

use tokio::runtime::{LocalOptions, LocalRuntime};

use super::batch::WordBatch;
use super::crowd::Crowd;
use super::door::Door;
use super::line::{Inbox, Line};
use super::mailbox::Mailbox;
use super::worker::{Post, run};
use crate::address::Listener;
use crate::config::ServerConfig;
use crate::counters::Counters;
use crate::exchange::ServerKey;
use crate::fail;
use crate::gate::Gate;

/// What a server is to be.
pub(super) struct Plan<'a> {
    /// Its name in the isolate.
    pub(super) server: ServerKey,
    pub(super) config: &'a Arc<ServerConfig>,
    pub(super) listeners: &'a [Arc<Listener>],
    pub(super) gate: Option<Arc<dyn Gate>>,
    pub(super) words: &'a Arc<Mailbox<WordBatch>>,
    pub(super) door: &'a Arc<Door>,
}

/// What one thread begins with.
pub(super) struct Setup {
    pub(super) owner: u8,
    /// Its position among the threads of its server.
    pub(super) place: usize,
    pub(super) config: Arc<ServerConfig>,
    pub(super) counters: Arc<Counters>,
    /// Those of the other threads of its server.
    pub(super) siblings: Vec<Arc<Counters>>,
    pub(super) crowd: Arc<Crowd>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) listeners: Vec<Arc<Listener>>,
    pub(super) post: Post,
}

/// Starts one thread for each owner and waits until all of them are ready. Those that were started are
/// stopped again when one cannot be.
pub(super) fn start(plan: &Plan<'_>, owners: &[u8]) -> io::Result<Vec<Line>> {
    let most = plan.config.worker_connections;
    let crowd = Arc::new(Crowd::new(owners.len(), most, plan.gate.clone()));
    let all: Vec<Arc<Counters>> = owners.iter().map(|_| Arc::default()).collect();
    let mut lines = Vec::with_capacity(owners.len());
    let mut begin = || -> io::Result<()> {
        for (place, (&owner, counters)) in owners.iter().zip(&all).enumerate() {
            let others = all.iter().filter(|other| !Arc::ptr_eq(other, counters));
            let inbox = Arc::new(Inbox::new());
            start_one(Setup {
                owner,
                place,
                config: Arc::clone(plan.config),
                counters: Arc::clone(counters),
                siblings: others.cloned().collect(),
                crowd: Arc::clone(&crowd),
                inbox: Arc::clone(&inbox),
                listeners: plan.listeners.to_vec(),
                post: Post::new(plan.server, Arc::clone(plan.words), Arc::clone(plan.door)),
            })?;
            let stream_buffer = plan.config.stream_buffer;
            let counters = Arc::clone(counters);
            lines.push(Line::new(plan.server, counters, inbox, stream_buffer));
        }
        Ok(())
    };
    match begin() {
        Ok(()) => Ok(lines),
        Err(error) => {
            for mut line in lines {
                line.stop();
            }
            Err(error)
        }
    }
}

fn start_one(setup: Setup) -> io::Result<()> {
    let (sender, receiver) = channel();
    if fail::strikes("thread") {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    Builder::new()
        .name(format!("gneiss-io-{}", setup.owner))
        .spawn(move || work(setup, &sender))?;
    // Cold and short: the thread only opens its poller and registers the listeners.
    receiver
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the I/O thread ended while it started")))
}

/// The life of an I/O thread. What it reports last, it reports when it holds nothing any more.
fn work(setup: Setup, ready: &Sender<io::Result<()>>) {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let (counters, inbox, post) = (
        Arc::clone(&setup.counters),
        Arc::clone(&setup.inbox),
        setup.post.another(),
    );
    counters.threads.add(1);
    counters.doorbell_refs.add(1);
    let is_closed = runtime.block_on(run(setup, ready));
    // Sockets and tasks are dropped on the thread that made them.
    drop(runtime);
    last_words(&counters, &inbox, post, is_closed);
}

/// The last act of a thread. Its numbers are final before `Closed` can be heard.
pub(super) fn last_words(counters: &Counters, inbox: &Inbox, post: Post, is_closed: bool) {
    counters.threads.subtract(1);
    counters.doorbell_refs.subtract(1);
    inbox.set_flushed();
    if is_closed {
        post.closed();
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    if fail::strikes("runtime") {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}
