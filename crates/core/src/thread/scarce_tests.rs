//! What the isolate's side does where memory is refused: what it cannot hand over waits, and is handed over later.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::batch::{Command, Word, WordBatch};
use super::door::{Bell, Door};
use super::line::{Inbox, Line};
use super::remote::Remote;
use crate::answers::Answers;
use crate::exchange::{AbortReason, ChunkOutcome, Delivery, Event, Id, Meta, Notice, ServerKey};
use crate::fail;
use crate::http1::Reply;

const SERVER: ServerKey = ServerKey(0);

struct Count(Arc<AtomicUsize>);

impl Bell for Count {
    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

const HEAD: Reply<'_> = Reply {
    status: 200,
    fields: b"",
    count: 0,
};

/// An isolate with one thread that never runs.
struct Answerer {
    remote: Remote,
    inbox: Arc<Inbox>,
    rings: Arc<AtomicUsize>,
    id: Id,
}

impl Answerer {
    fn new() -> Self {
        let rings = Arc::new(AtomicUsize::new(0));
        let door = Door::new(Box::new(Count(Arc::clone(&rings))));
        let mut remote = Remote::new(Arc::new(door));
        let inbox = Arc::new(Inbox::new());
        let line = Line::new(SERVER, Arc::default(), Arc::clone(&inbox), 8 * 1024);
        remote.attach(SERVER, vec![1], vec![line]);
        let id = Id::new(0, 0, 1);
        Self {
            remote,
            inbox,
            rings,
            id,
        }
    }

    /// One whose thread has not fetched as many commands as there is room for.
    fn with_full_inbox() -> Self {
        let mut answerer = Self::new();
        for _ in 0..4 {
            answerer.want();
        }
        answerer.answer_bell();
        assert_eq!(answerer.inbox.len(), 4);
        answerer
    }

    /// What its thread tells it.
    fn tell(&mut self, word: Word) {
        let (words, text) = (vec![word], Vec::new());
        let _ = self.remote.words.post(&mut WordBatch { words, text });
    }

    /// A request comes, and a streamed answer begins.
    fn begin(&mut self) {
        let id = self.id;
        self.tell(Word::Event(Event::Request {
            id,
            server: SERVER,
            ticket: 1,
            meta: Meta(1 << Meta::VERSION_SHIFT),
            offset: 0,
            target_len: 0,
            head_len: 0,
        }));
        let delivery = self.remote.deliver();
        assert!(matches!(delivery, Some(Delivery::Request { .. })));
        assert_eq!(Answers::start(&mut self.remote, id, &HEAD), Ok(()));
    }

    fn want(&mut self) {
        self.remote.order(self.id, Command::Want { id: self.id });
    }

    fn answer_bell(&mut self) {
        self.remote.begin_pass();
        self.remote.flush();
    }

    fn rings(&self) -> usize {
        self.rings.load(Ordering::Relaxed)
    }
}

#[test]
fn what_there_was_no_memory_to_hand_over_asks_for_another_pass() {
    let orders: [fn(&mut Answerer); 3] = [
        |answerer| {
            answerer.want();
            answerer.answer_bell();
        },
        |answerer| answerer.remote.close(SERVER, 0),
        |answerer| {
            let (socket, _) = UnixStream::pair().unwrap();
            assert!(
                answerer
                    .remote
                    .invite(SERVER, socket.into(), Box::default())
            );
        },
    ];
    for (number, order) in orders.into_iter().enumerate() {
        let mut answerer = Answerer::with_full_inbox();
        fail::plan("memory", 1);
        order(&mut answerer);
        let has_struck = fail::has_struck();
        fail::plan("", 0);
        assert!(has_struck && answerer.remote.has_commands(), "{number}");
        let rings = answerer.rings();
        // Whoever answers the bell hands over what waits, once.
        answerer.remote.ring();
        assert_eq!(answerer.rings(), rings, "{number}: nobody was asked");
        answerer.answer_bell();
        assert_eq!(answerer.inbox.len(), 5, "{number}");
    }
}

#[test]
fn who_was_refused_a_piece_for_want_of_memory_hears_of_the_end_and_not_of_room() {
    let mut answerer = Answerer::new();
    answerer.begin();
    let id = answerer.id;
    let mut chunk = |len: usize| answerer.remote.chunk(id, &vec![b'x'; len], false, false);
    assert_eq!(chunk(4_000), Ok(ChunkOutcome::Room));
    fail::plan("memory", 1);
    // More than there is to be under way, so that the next one would have had to wait.
    assert_eq!(chunk(1_500), Ok(ChunkOutcome::Gone));
    fail::plan("", 0);
    answerer.tell(Word::Room { id, bytes: 4_000 });
    assert!(answerer.remote.deliver().is_none());
    let reason = AbortReason::Internal;
    answerer.tell(Word::Event(Event::Abort { id, reason }));
    let Some(Delivery::Notice { kind, .. }) = answerer.remote.deliver() else {
        panic!("its end is told");
    };
    assert_eq!(kind, Notice::Abort);
}
