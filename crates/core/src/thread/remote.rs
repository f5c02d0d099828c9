//! The isolate's side: events of its I/O threads come out, commands of its application go in.
//!
//! It belongs to the thread of the isolate. Nothing in it waits: what an I/O thread has to do is queued,
//! and handed over by `flush` with one wake a thread.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Command, Word, WordBatch};
use super::door::Door;
use super::line::Line;
use super::mailbox::Mailbox;
use super::seen::{Seen, State};
use super::start::{Plan, start};
use crate::address::Listener;
use crate::config::ServerConfig;
use crate::counters::{Counters, Held};
use crate::exchange::{AbortReason, Delivery, Event, Id, Meta, Notice, ServerKey};

/// Every server of one isolate whose connections live on threads of their own.
#[derive(Debug)]
pub struct Remote {
    pub(super) lines: Vec<Option<Line>>,
    /// Threads of each server that have not ended.
    threads: Vec<usize>,
    pub(super) words: Arc<Mailbox<WordBatch>>,
    pub(super) door: Arc<Door>,
    batch: WordBatch,
    next: usize,
    /// Counts passes of delivering, so that what happened in the present one is known.
    pass: u32,
    /// The bell was rung by this side and has not been answered.
    has_rung: bool,
}

impl Remote {
    /// Without servers. `door` leads to whoever calls `deliver`.
    #[must_use]
    pub fn new(door: Arc<Door>) -> Self {
        Self {
            lines: Vec::new(),
            threads: Vec::new(),
            words: Arc::new(Mailbox::new(WordBatch::default())),
            door,
            batch: WordBatch::default(),
            next: 0,
            pass: 0,
            has_rung: false,
        }
    }

    /// Starts a server on `threads` threads of its own.
    ///
    /// # Errors
    /// The system refuses a thread or what it needs, or there are too many: nothing is left running then.
    pub fn start(
        &mut self,
        config: &Arc<ServerConfig>,
        listeners: &[Arc<Listener>],
        threads: usize,
    ) -> io::Result<ServerKey> {
        let place = self.threads.iter().position(|&count| count == 0);
        let number = place.unwrap_or(self.threads.len());
        let server = ServerKey(u16::try_from(number).unwrap_or(u16::MAX));
        let owners = self.free_owners(threads);
        if owners.len() < threads {
            let reason = "31 I/O threads are the most that one isolate can have";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, reason));
        }
        let plan = Plan {
            server,
            config,
            listeners,
            words: &self.words,
            door: &self.door,
        };
        let lines = start(&plan, &owners)?;
        self.attach(server, owners, lines);
        Ok(server)
    }

    /// Notes the threads of a server that have begun to work.
    pub(super) fn attach(&mut self, server: ServerKey, owners: Vec<u8>, lines: Vec<Line>) {
        let number = usize::from(server.0);
        if number >= self.threads.len() {
            self.threads.resize(number.saturating_add(1), 0);
        }
        if let Some(count) = self.threads.get_mut(number) {
            *count = lines.len();
        }
        for (owner, line) in owners.into_iter().zip(lines) {
            let index = usize::from(owner);
            if index >= self.lines.len() {
                self.lines.resize_with(index.saturating_add(1), || None);
            }
            if let Some(slot) = self.lines.get_mut(index) {
                *slot = Some(line);
            }
        }
    }

    /// Accepts no more for a server, drains it, cuts what is left after `timeout` milliseconds; a
    /// `Closed` follows when its threads have ended.
    pub fn close(&mut self, server: ServerKey, timeout: u64) {
        self.tell(server, Command::Close { timeout });
    }

    /// Begins a pass: the bell was answered.
    pub fn begin_pass(&mut self) {
        self.has_rung = false;
        self.pass = self.pass.wrapping_add(1);
    }

    /// The next event. `None` ends the pass, although `has_events` may say that more is there: the end
    /// of a peer must not overtake what a handler that was called in this pass still does before it ends.
    pub fn deliver(&mut self) -> Option<Delivery<'_>> {
        loop {
            let word = self.peek()?;
            let pass = self.pass;
            if let Word::Ended { id } = word
                && self.open(id).is_some_and(|seen| seen.pass == pass)
            {
                return None;
            }
            self.next = self.next.saturating_add(1);
            // Two steps, because what is delivered borrows the batch.
            if let Some(found) = self.hear(word) {
                return Some(match found {
                    Heard::Plain(delivery) => delivery,
                    Heard::Request(request) => request.deliver(&self.batch),
                });
            }
        }
    }

    /// Whether events wait.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.next < self.batch.words.len() || self.words.len() > 0
    }

    /// Whether commands wait to be handed over.
    #[must_use]
    pub fn has_commands(&self) -> bool {
        self.lines.iter().flatten().any(Line::has_commands)
    }

    /// Asks for another pass, once.
    pub fn ring(&mut self) {
        if !std::mem::replace(&mut self.has_rung, true) {
            self.door.ring();
        }
    }

    /// Hands commands over, with one wake a thread.
    pub fn flush(&mut self) {
        for line in self.lines.iter_mut().flatten() {
            line.flush();
        }
    }

    /// Whether an exchange is open, or waits to have left.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.lines.iter().flatten().any(|line| line.open > 0)
    }

    /// The counters of a server, one set a thread.
    #[must_use]
    pub fn counters(&self, server: ServerKey) -> Vec<Arc<Counters>> {
        let lines = self.lines_of(server);
        lines.map(|line| Arc::clone(&line.counters)).collect()
    }

    /// Events and commands under way for a server; events are counted for all servers together.
    #[must_use]
    pub fn queued(&self, server: ServerKey) -> usize {
        let events = self.batch.words.len().saturating_sub(self.next);
        let commands: usize = self.lines_of(server).map(Line::waiting).sum();
        events
            .saturating_add(self.words.len())
            .saturating_add(commands)
    }

    /// Bytes of a server's requests that have arrived here and were not taken, and of its answers that no
    /// thread has fetched.
    #[must_use]
    pub fn held(&self, server: ServerKey) -> Held {
        let lines = self.lines_of(server);
        lines
            .map(|line| Held {
                body: line.body_bytes(),
                response: line.response_bytes(),
            })
            .sum()
    }

    /// The process ends: what was said is done, and what waits is offered to the kernel once. Waits for
    /// that, but no longer than `most`.
    pub fn flush_at_exit(&mut self, most: Duration) {
        for line in self.lines.iter_mut().flatten() {
            line.say(Command::Flush, [b"", b""]);
            line.flush();
        }
        let started = Instant::now();
        for line in self.lines.iter().flatten() {
            line.wait_until_flushed(most.saturating_sub(started.elapsed()));
        }
    }

    /// The isolate ends: its threads close everything and end by themselves. Nothing waits for them.
    pub fn stop(&mut self) {
        self.door.shut();
        for line in self.lines.iter_mut().flatten() {
            line.stop();
        }
        self.lines.clear();
    }

    /// Queues a command for the thread that owns an exchange.
    pub(super) fn say(&mut self, id: Id, command: Command, parts: [&[u8]; 2]) {
        if let Some(line) = self.line(id) {
            line.say(command, parts);
            self.ring();
        }
    }

    /// The line to the thread that owns an exchange.
    pub(super) fn line(&mut self, id: Id) -> Option<&mut Line> {
        self.lines.get_mut(usize::from(id.owner()))?.as_mut()
    }

    /// What is known of an exchange; none for a stale id.
    pub(super) fn find(&mut self, id: Id) -> Option<&mut Seen> {
        self.line(id)?.find(id)
    }

    /// An exchange to which the application may still send.
    pub(super) fn open(&mut self, id: Id) -> Option<&mut Seen> {
        self.find(id).filter(|seen| seen.is_open())
    }

    /// An exchange is over, or only has to leave.
    pub(super) fn close_exchange(&mut self, id: Id, state: State) {
        let Some(line) = self.line(id) else { return };
        let Some(seen) = line.find(id) else { return };
        let was_counted = seen.state != State::Over;
        seen.close(state);
        if was_counted && state == State::Over {
            line.open = line.open.saturating_sub(1);
        }
    }

    fn tell(&mut self, server: ServerKey, command: Command) {
        let lines = self.lines.iter_mut().flatten();
        for line in lines.filter(|line| line.server == server) {
            line.say(command, [b"", b""]);
            line.flush();
        }
    }

    fn lines_of(&self, server: ServerKey) -> impl Iterator<Item = &Line> {
        let lines = self.lines.iter().flatten();
        lines.filter(move |line| line.server == server)
    }

    fn free_owners(&self, count: usize) -> Vec<u8> {
        let is_free = |owner: &u8| {
            self.lines
                .get(usize::from(*owner))
                .is_none_or(Option::is_none)
        };
        (1..=Id::OWNERS).filter(is_free).take(count).collect()
    }

    /// The next word; a batch that was read is exchanged for the next one.
    fn peek(&mut self) -> Option<Word> {
        if let Some(word) = self.batch.words.get(self.next) {
            return Some(*word);
        }
        self.batch.words.clear();
        self.batch.text.clear();
        self.next = 0;
        self.words.take(&mut self.batch);
        self.batch.words.first().copied()
    }

    /// Notes what a word changes, and says what is to be delivered of it.
    fn hear(&mut self, word: Word) -> Option<Heard> {
        match word {
            Word::Body { id, .. } => {
                self.keep_body(word);
                self.open(id)?;
                Some(Heard::notice(id, Notice::Chunk))
            }
            Word::Ended { id } => {
                self.open(id)?;
                self.close_exchange(id, State::Over);
                self.say(id, Command::Leave { id }, [b"", b""]);
                let reason = AbortReason::PeerGone;
                Delivery::of(Event::Abort { id, reason }).map(Heard::Plain)
            }
            Word::Room { id, bytes } => {
                let has_room = self.open(id)?.has_left(bytes);
                has_room.then_some(Heard::notice(id, Notice::Drain))
            }
            Word::Event(event) => self.hear_event(event),
        }
    }

    fn hear_event(&mut self, event: Event) -> Option<Heard> {
        match event {
            Event::Request {
                id,
                server,
                meta,
                offset,
                target_len,
                head_len,
            } => {
                let pass = self.pass;
                let line = self.line(id)?;
                let stream_buffer = line.stream_buffer;
                line.open = line.open.saturating_add(1);
                line.place(id)?.begin(id, meta, stream_buffer, pass);
                // What came along of the body is there when the application asks for it.
                if let Some(body @ Word::Body { id: of, .. }) = self.batch.words.get(self.next)
                    && *of == id
                {
                    let body = *body;
                    self.next = self.next.saturating_add(1);
                    self.keep_body(body);
                }
                Some(Heard::Request(Request {
                    id,
                    server,
                    meta,
                    offset,
                    target_len,
                    head_len,
                }))
            }
            Event::Abort { id, .. } => {
                let is_known = self.find(id)?.state != State::Over;
                self.close_exchange(id, State::Over);
                is_known.then(|| Delivery::of(event).map(Heard::Plain))?
            }
            Event::Done { id } => {
                let is_known = self.find(id)?.state == State::Leaving;
                self.close_exchange(id, State::Over);
                is_known.then(|| Delivery::of(event).map(Heard::Plain))?
            }
            Event::Closed { server } => self.thread_ended(server),
            // These two are translated on the other side.
            Event::Chunk { .. } | Event::Drain { .. } => None,
        }
    }

    fn keep_body(&mut self, word: Word) {
        let Word::Body {
            id,
            offset,
            len,
            is_end,
        } = word
        else {
            return;
        };
        // Not through `find`: the batch is borrowed beside it.
        let line = self.lines.get_mut(usize::from(id.owner()));
        let Some(seen) = line.and_then(Option::as_mut).and_then(|line| line.find(id)) else {
            return;
        };
        if seen.is_open() {
            seen.body.extend_from_slice(self.batch.text(offset, len));
            seen.body_ended = is_end;
            seen.has_asked = false;
        }
    }

    /// One thread of a server has ended, as its last act. The server has when all of them have.
    fn thread_ended(&mut self, server: ServerKey) -> Option<Heard> {
        let count = self.threads.get_mut(usize::from(server.0))?;
        *count = count.saturating_sub(1);
        (*count == 0).then_some(Heard::Plain(Delivery::Closed { server }))
    }

    /// Forgets a server whose `Closed` was delivered.
    pub fn forget(&mut self, server: ServerKey) {
        for slot in &mut self.lines {
            if slot.as_ref().is_some_and(|line| line.server == server) {
                *slot = None;
            }
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a word means to the application.
enum Heard {
    Plain(Delivery<'static>),
    Request(Request),
}

/// A request whose text still lies in the batch.
struct Request {
    id: Id,
    server: ServerKey,
    meta: Meta,
    offset: usize,
    target_len: usize,
    head_len: usize,
}

impl Heard {
    fn notice(id: Id, kind: Notice) -> Self {
        Self::Plain(Delivery::Notice {
            id,
            kind,
            detail: 0,
        })
    }
}

impl Request {
    fn deliver(self, batch: &WordBatch) -> Delivery<'_> {
        Delivery::Request {
            id: self.id,
            server: self.server,
            meta: self.meta,
            target: batch.text(self.offset, self.target_len),
            head: batch.text(self.offset.saturating_add(self.target_len), self.head_len),
        }
    }
}
