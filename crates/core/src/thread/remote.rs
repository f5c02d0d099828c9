//! The isolate's side: events of its I/O threads come out, commands of its application go in.
//!
//! It belongs to the thread of the isolate. Nothing in it waits: what an I/O thread has to do is queued,
//! and handed over by `flush` with one wake a thread.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::batch::{Command, Word, WordBatch};
use super::door::Door;
use super::line::{Guest, Line};
use super::mailbox::Mailbox;
use super::seen::{Seen, State};
use super::start::{Plan, start};
use crate::address::Listener;
use crate::config::ServerConfig;
use crate::counters::{Counters, Held};
use crate::exchange::{Delivery, Event, Id, ServerKey};
use crate::gate::Gate;

/// Every server of one isolate whose connections live on threads of their own.
#[derive(Debug)]
pub struct Remote {
    pub(super) lines: Vec<Option<Line>>,
    /// Owners of threads whose server could not be started: never given again.
    retired: Vec<u8>,
    /// Threads of each server that have not ended.
    pub(super) threads: Vec<usize>,
    pub(super) words: Arc<Mailbox<WordBatch>>,
    pub(super) door: Arc<Door>,
    pub(super) batch: WordBatch,
    pub(super) next: usize,
    /// Exchanges of the batch that were aborted before their request was delivered, or will have been.
    pub(super) aborted: Vec<Id>,
    /// Counts passes of delivering, so that what happened in the present one is known.
    pub(super) pass: u32,
    /// The bell was rung by this side and has not been answered.
    has_rung: bool,
}

impl Remote {
    /// Without servers. `door` leads to whoever calls `deliver`.
    #[must_use]
    pub fn new(door: Arc<Door>) -> Self {
        Self {
            lines: Vec::new(),
            retired: Vec::new(),
            threads: Vec::new(),
            words: Arc::new(Mailbox::new(WordBatch::default())),
            door,
            batch: WordBatch::default(),
            next: 0,
            aborted: Vec::new(),
            pass: 0,
            has_rung: false,
        }
    }

    /// Starts a server on `threads` threads of its own. With a gate they accept when the gate says so.
    ///
    /// # Errors
    /// The system refuses a thread or what it needs, or there are too many: nothing is left running then.
    pub fn start(
        &mut self,
        config: &Arc<ServerConfig>,
        listeners: &[Arc<Listener>],
        threads: usize,
        gate: Option<Arc<dyn Gate>>,
    ) -> io::Result<ServerKey> {
        let place = self.threads.iter().position(|&count| count == 0);
        let number = place.unwrap_or(self.threads.len());
        let server = ServerKey(u16::try_from(number).unwrap_or(u16::MAX));
        let owners = self.free_owners(threads);
        if owners.len() < threads {
            let reason = "31 I/O threads are the most that all servers together can have";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, reason));
        }
        let plan = Plan {
            server,
            config,
            listeners,
            gate,
            words: &self.words,
            door: &self.door,
        };
        match start(&plan, &owners) {
            Ok(lines) => {
                self.attach(server, owners, lines);
                Ok(server)
            }
            Err(error) => {
                // Some may have begun, and what they still tell must not be taken for somebody else's.
                self.retired.extend(owners);
                Err(error)
            }
        }
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

    /// Listeners of a server that were reserved listen now: begins to accept from them.
    pub fn open_reserved(&mut self, server: ServerKey) {
        self.tell(server, Command::Open);
    }

    /// Accepts no more for a server, drains it, cuts what is left after `timeout` milliseconds; a
    /// `Closed` follows when its threads have ended.
    pub fn close(&mut self, server: ServerKey, timeout: u64) {
        self.tell(server, Command::Close { timeout });
    }

    /// Gives a server a connection that nobody has to accept: `pseudo` is what each head of it begins with.
    /// False when the server has no thread any more.
    pub fn invite(&mut self, server: ServerKey, socket: Socket, pseudo: Box<[u8]>) -> bool {
        let mut lines = self.lines.iter_mut().flatten();
        let Some(line) = lines.find(|line| line.server == server) else {
            return false;
        };
        line.invite(Guest { socket, pseudo });
        self.flush();
        true
    }

    /// Begins a pass: the bell was answered.
    pub fn begin_pass(&mut self) {
        self.has_rung = false;
        self.pass = self.pass.wrapping_add(1);
    }

    /// Fetches what was told meanwhile, behind what waits: after a long pass much of it may be over.
    pub fn catch_up(&mut self) {
        let before = self.batch.words.len();
        if self.words.add_to(&mut self.batch) {
            self.note_aborted(before);
        }
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
            if let Some(event) = self.hear(word) {
                return Some(Delivery::of(event, &self.batch.text));
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
        if self.has_commands() {
            // There was no memory to hand them over, and nobody else asks for another pass.
            self.ring();
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

    /// Events and commands under way for a server; events are counted for all servers together. What was said
    /// to threads that have ended is under way to nobody, and goes with the server.
    #[must_use]
    pub fn queued(&self, server: ServerKey) -> usize {
        let events = self.batch.words.len().saturating_sub(self.next);
        let commands: usize = self.live_lines_of(server).map(Line::waiting).sum();
        events
            .saturating_add(self.words.len())
            .saturating_add(commands)
    }

    /// Bytes of a server's requests that have arrived here and were not taken, and of its answers that no
    /// thread has fetched.
    #[must_use]
    pub fn held(&self, server: ServerKey) -> Held {
        let lines = self.live_lines_of(server);
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
            line.order(Command::Flush);
            line.flush_at_last();
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

    /// Queues a command without bytes for the thread that owns an exchange.
    pub(super) fn order(&mut self, id: Id, command: Command) {
        if let Some(line) = self.line(id) {
            line.order(command);
            self.ring();
        }
    }

    /// Queues a command with its bytes. Without memory for it the exchange fails instead: false, and the
    /// application hears of that end as of any other.
    #[must_use]
    pub(super) fn say(&mut self, id: Id, command: Command, parts: [&[u8]; 2]) -> bool {
        let Some(line) = self.line(id) else {
            return false;
        };
        let is_said = line.say(command, parts);
        if !is_said {
            line.order(Command::Fail { id });
        }
        self.ring();
        is_said
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
            line.order(command);
        }
        self.flush();
    }

    /// The lines of a server whose threads have not all ended.
    fn live_lines_of(&self, server: ServerKey) -> impl Iterator<Item = &Line> {
        let threads = self.threads.get(usize::from(server.0));
        let is_live = threads.is_some_and(|&count| count > 0);
        self.lines_of(server).filter(move |_| is_live)
    }

    fn lines_of(&self, server: ServerKey) -> impl Iterator<Item = &Line> {
        let lines = self.lines.iter().flatten();
        lines.filter(move |line| line.server == server)
    }

    fn free_owners(&self, count: usize) -> Vec<u8> {
        let is_free = |owner: &u8| {
            let line = self.lines.get(usize::from(*owner));
            line.is_none_or(Option::is_none) && !self.retired.contains(owner)
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
        self.aborted.clear();
        self.words.take(&mut self.batch);
        self.note_aborted(0);
        self.batch.words.first().copied()
    }

    /// Nobody waits for what these would be answered: their requests are dropped unread. Words before `begin` were
    /// looked at.
    fn note_aborted(&mut self, begin: usize) {
        let aborted = self.batch.words.iter().skip(begin);
        let aborted = aborted.filter_map(|word| match word {
            Word::Event(Event::Abort { id, .. }) => Some(*id),
            _ => None,
        });
        self.aborted.extend(aborted);
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
