//! An I/O thread: the engine's connections on a runtime of their own.
//!
//! A task per connection reads; the main task does everything else in turns: commands of the isolate,
//! deadlines, one write a connection, and what there is to tell, in one batch. Tasks that are ready at
//! the same time run before it, so that a burst of requests is told with one ring of the bell.

mod commands;
mod listen;
#[cfg(all(test, gneiss_loom))]
pub(super) mod model;
mod peer;
mod post;
mod reading;
mod settle;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

pub(super) use self::post::Post;

use self::listen::Place;
use self::peer::Peer;
use super::batch::{CommandBatch, Word};
use super::crowd::Crowd;
use super::line::Inbox;
use super::start::Setup;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::exchange::ServerKey;
use crate::lane::Doorbell;
use crate::table::Table;

/// What the tasks of a thread share. No borrow of it is alive across an `await`.
type Shared = Rc<RefCell<Worker>>;

/// The state of an I/O thread.
struct Worker {
    /// What its own tasks are given.
    me: Weak<RefCell<Self>>,
    table: Table,
    /// The only server, by its key in the table.
    server: ServerKey,
    peers: Vec<Option<Peer>>,
    /// Tells the connections apart that had the same key.
    serial: u64,
    places: Vec<Place>,
    /// One read at a time, for all connections.
    buffer: Box<[u8]>,
    clock: Clock,
    counters: Arc<Counters>,
    crowd: Arc<Crowd>,
    /// Position among the threads of the server.
    place: usize,
    /// Response bytes from which on the application waits.
    stream_buffer: usize,
    inbox: Arc<Inbox>,
    commands: CommandBatch,
    settling: Vec<u32>,
    /// To be told behind the events of the table.
    later: Vec<Word>,
    post: Post,
    signal: Rc<Signal>,
    /// A connection has gone: who may not accept asks again.
    room: Rc<Notify>,
    stage: Stage,
    is_flushing: bool,
}

/// How far the thread is on its way out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Ends when its last connection has gone.
    Closing,
    /// Ends now.
    Stopped,
}

/// Wakes the main task from the tasks of its own thread.
#[derive(Default)]
struct Signal {
    waker: RefCell<Option<Waker>>,
    is_set: Cell<bool>,
}

impl Signal {
    fn raise(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Whoever works on the table raises the signal, so its lane need not.
struct Silent;

impl Doorbell for Silent {
    fn ring(&self) {}
}

/// Serves until the server is closed (true) or the isolate has gone (false).
pub(super) async fn run(setup: Setup, ready: &Sender<io::Result<()>>) -> bool {
    let shared = match Worker::open(setup) {
        Ok(worker) => worker.share(),
        Err(error) => {
            let _ = ready.send(Err(error));
            return false;
        }
    };
    Worker::listen(&shared);
    let _ = ready.send(Ok(()));
    // A task and not the body of the runtime, because waking that one costs a system call.
    spawn_local(serve(shared)).await.unwrap_or(false)
}

/// The main task.
async fn serve(shared: Shared) -> bool {
    let mut timer = pin!(sleep(Duration::ZERO));
    let mut fires_at: Option<u64> = None;
    poll_fn(|context| {
        loop {
            let mut worker = shared.borrow_mut();
            worker.turn(context);
            match worker.stage {
                Stage::Closing if worker.is_done() => {
                    return Poll::Ready(true);
                }
                Stage::Stopped => return Poll::Ready(false),
                Stage::Serving | Stage::Closing => {}
            }
            let Some(next) = worker.table.next_deadline() else {
                return Poll::Pending;
            };
            if fires_at.is_none_or(|at| next < at) {
                fires_at = Some(next);
                let wait = Duration::from_millis(next.saturating_sub(worker.clock.now()));
                if let Some(at) = Instant::now().checked_add(wait) {
                    timer.as_mut().reset(at);
                }
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            fires_at = None;
        }
    })
    .await
}

impl Worker {
    fn open(setup: Setup) -> io::Result<Self> {
        let mut table = Table::new(setup.owner, Box::new(Silent), 0);
        let server = table.add_share(
            Arc::clone(&setup.config),
            Arc::clone(&setup.counters),
            setup.siblings,
        );
        let places = setup
            .listeners
            .into_iter()
            .map(Place::open)
            .collect::<io::Result<Vec<Place>>>()?;
        // Its threads share them; the first one counts them.
        if setup.place == 0 {
            setup.counters.file_descriptors.add(places.len() as u64);
        }
        Ok(Self {
            me: Weak::new(),
            table,
            server,
            peers: Vec::new(),
            serial: 0,
            places,
            buffer: vec![0; READ_MOST].into_boxed_slice(),
            clock: Clock::new(),
            counters: setup.counters,
            crowd: setup.crowd,
            place: setup.place,
            stream_buffer: setup.config.stream_buffer,
            inbox: setup.inbox,
            commands: CommandBatch::default(),
            settling: Vec::new(),
            later: Vec::new(),
            post: setup.post,
            signal: Rc::default(),
            room: Rc::default(),
            stage: Stage::Serving,
            is_flushing: false,
        })
    }

    fn share(self) -> Shared {
        let shared = Rc::new(RefCell::new(self));
        shared.borrow_mut().me = Rc::downgrade(&shared);
        shared
    }

    /// Everything that waits, once.
    fn turn(&mut self, context: &Context<'_>) {
        if !self.signal.is_set.replace(true) {
            *self.signal.waker.borrow_mut() = Some(context.waker().clone());
            self.inbox.set_waker(context.waker());
        }
        self.read_clock();
        self.obey();
        self.table.observe(0);
        self.expire();
        let mut is_told;
        loop {
            self.settle_dirty();
            is_told = self.collect();
            if !is_told || !self.table.has_dirty() {
                break;
            }
        }
        #[cfg(test)]
        assert_eq!(self.table.unguarded(), None, "a state without a deadline");
        self.table.mark();
        self.table.flush_records();
        // Before they are told: who hears that an exchange is over may ask for the numbers at once.
        self.publish();
        if !self.post.flush() || !is_told {
            // Again, until there is memory or the isolate has fetched what lies there.
            context.waker().wake_by_ref();
        }
        if std::mem::take(&mut self.is_flushing) {
            self.inbox.set_flushed();
        }
    }

    /// Nothing is left of the server, and everything was told.
    fn is_done(&self) -> bool {
        self.table.is_drained(self.server) && self.post.is_empty() && self.table.lane().is_empty()
    }

    fn read_clock(&mut self) {
        self.clock.read();
        self.table
            .set_time(self.clock.now(), self.clock.unix_seconds());
    }

    /// Deadlines that have passed. One that waits for the peer expires only after one more read.
    fn expire(&mut self) {
        let mut due = Vec::new();
        self.table.due(&mut due);
        for key in due {
            match self.table.lateness(key) {
                None => self.table.arm(key),
                Some(lateness) => {
                    // A peer that has made room meanwhile is not stalled.
                    self.offer(key);
                    if lateness == crate::table::Lateness::Peer {
                        self.read_once(key);
                    }
                    self.table.on_deadline(key);
                }
            }
        }
        self.table.expire_servers();
    }

    /// Numbers that others read at any time.
    fn publish(&self) {
        let counters = &self.counters;
        counters.slots.set(self.table.open_exchanges() as u64);
        counters.timers.set(self.table.timers() as u64);
    }
}

/// One read of a socket.
const READ_MOST: usize = 64 * 1024;
