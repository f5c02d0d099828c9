//! The isolate's side of the models: the real `Remote`, an application, and an account of every exchange.

use std::collections::HashMap;
use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};

use super::Flag;
use crate::answers::Answers;
use crate::config::ServerConfig;
use crate::counters::Counters;
use crate::exchange::{Delivery, Id, Notice, ServerKey};
use crate::http1::{AnswerFault, Reply};
use crate::thread::crowd::Crowd;
use crate::thread::door::{Bell, Door};
use crate::thread::line::{Inbox, Line};
use crate::thread::remote::Remote;
use crate::thread::start::Setup;
use crate::thread::worker::Post;

/// One isolate with a server whose threads the model plays.
pub(super) struct Answerer {
    pub(super) remote: Remote,
    bell: Arc<Flag>,
    /// Cleared by a model when the bell is taken down.
    pub(super) has_bell: Arc<AtomicBool>,
    pub(super) counters: Vec<Arc<Counters>>,
    /// How each exchange has ended: nothing while it is open.
    pub(super) endings: HashMap<Id, Vec<Ending>>,
    pub(super) is_closed: bool,
}

/// What the application learns of the end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Aborted,
    Done,
}

/// What an application hears.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    Request(Id),
    Ended(Id, Ending),
    Closed,
}

struct Ringer {
    bell: Arc<Flag>,
    is_alive: Arc<AtomicBool>,
}

impl Bell for Ringer {
    fn ring(&self) {
        assert!(self.is_alive.load(Ordering::SeqCst), "rung after its death");
        self.bell.set();
    }
}

pub(super) const SERVER: ServerKey = ServerKey(0);

impl Answerer {
    /// An isolate, and what its I/O threads begin with.
    pub(super) fn new(threads: u8, config: ServerConfig) -> (Self, Vec<Setup>) {
        let bell = Arc::new(Flag::default());
        let has_bell = Arc::new(AtomicBool::new(true));
        let door = Arc::new(Door::new(Box::new(Ringer {
            bell: Arc::clone(&bell),
            is_alive: Arc::clone(&has_bell),
        })));
        let mut remote = Remote::new(door);
        let config = Arc::new(config);
        let crowd = Arc::new(Crowd::new(usize::from(threads), 8, None));
        let (mut setups, mut lines, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for owner in 1..=threads {
            let counters = Arc::new(Counters::default());
            let inbox = Arc::new(Inbox::new());
            let post = Post::new(SERVER, Arc::clone(&remote.words), Arc::clone(&remote.door));
            setups.push(Setup {
                owner,
                place: usize::from(owner - 1),
                config: Arc::clone(&config),
                counters: Arc::clone(&counters),
                siblings: Vec::new(),
                crowd: Arc::clone(&crowd),
                inbox: Arc::clone(&inbox),
                listeners: Vec::new(),
                post,
            });
            all.push(Arc::clone(&counters));
            lines.push(Line::new(SERVER, counters, inbox, config.stream_buffer));
        }
        remote.attach(SERVER, (1..=threads).collect(), lines);
        let answerer = Self {
            remote,
            bell,
            has_bell,
            counters: all,
            endings: HashMap::new(),
            is_closed: false,
        };
        (answerer, setups)
    }

    /// Waits for the bell and makes one pass: the application hears what there is.
    pub(super) fn pass(&mut self, mut app: impl FnMut(&mut Remote, Heard)) {
        self.bell.wait();
        self.remote.begin_pass();
        self.remote.flush();
        while let Some(heard) = self.hear() {
            app(&mut self.remote, heard);
        }
        if self.remote.has_events() {
            self.remote.ring();
        }
    }

    /// Every exchange that was told has ended, each once.
    pub(super) fn assert_balance(&self) {
        for (id, endings) in &self.endings {
            assert_eq!(endings.len(), 1, "{id:?} ended {endings:?}");
        }
        assert!(!self.remote.is_busy());
    }

    fn hear(&mut self) -> Option<Heard> {
        loop {
            let heard = match self.remote.deliver()? {
                Delivery::Request { id, .. } => {
                    assert!(!self.is_closed);
                    assert!(self.endings.insert(id, Vec::new()).is_none());
                    Heard::Request(id)
                }
                Delivery::Notice { id, kind, .. } => {
                    let ending = match kind {
                        Notice::Abort => Ending::Aborted,
                        Notice::Done => Ending::Done,
                        Notice::Chunk | Notice::Drain => continue,
                    };
                    self.endings.get_mut(&id).unwrap().push(ending);
                    Heard::Ended(id, ending)
                }
                Delivery::Refused { .. } => continue,
                Delivery::Closed { .. } => {
                    assert!(!self.is_closed, "closed twice");
                    self.is_closed = true;
                    Heard::Closed
                }
            };
            return Some(heard);
        }
    }
}

/// Answers and asks to be told when it has left.
pub(super) fn answer(remote: &mut Remote, id: Id) -> Result<(), AnswerFault> {
    let head = Reply {
        status: 200,
        fields: b"",
        count: 0,
    };
    remote.respond(id, &head, b"answer", true)
}

/// Nothing may be said to an exchange that is over.
pub(super) fn assert_stale(remote: &mut Remote, id: Id) {
    assert_eq!(answer(remote, id), Err(AnswerFault::Gone));
    assert!(!remote.reset(id) && !remote.extend(id, 1));
}
