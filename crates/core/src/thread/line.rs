//! The connection between an isolate and one I/O thread.

use std::sync::{Arc, Condvar, PoisonError};
use std::task::Waker;
use std::time::Duration;

use socket2::Socket;

use super::batch::{Command, CommandBatch};
use super::mailbox::{Batch, Mailbox};
use super::seen::Seen;
use crate::counters::Counters;
use crate::exchange::{Id, ServerKey};
use crate::growth::{grow, grow_to};
use crate::sync::{Mutex, lock};

/// Where an I/O thread gets its commands, and what wakes it.
#[derive(Debug)]
pub(super) struct Inbox {
    commands: Mailbox<CommandBatch>,
    /// Connections for `Command::Invite`, which are no plain data.
    guests: Mutex<Vec<Guest>>,
    /// Of the thread's main task, from its first poll on.
    waker: Mutex<Option<Waker>>,
    /// The end of the process waits for this, and nobody else does.
    is_flushed: std::sync::Mutex<bool>,
    flushed: Condvar,
}

impl Inbox {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            commands: Mailbox::new(CommandBatch::default()),
            guests: Mutex::new(Vec::new()),
            waker: Mutex::new(None),
            is_flushed: std::sync::Mutex::new(false),
            flushed: Condvar::new(),
        }
    }

    /// Hands commands over and wakes the thread unless it was woken for earlier ones.
    pub(super) fn post(&self, commands: &mut CommandBatch) {
        if self.commands.post(commands) {
            self.wake();
        }
    }

    /// The same for the last ones.
    fn post_at_last(&self, commands: &mut CommandBatch) {
        if self.commands.post_at_last(commands) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = lock(&self.waker).as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Fetches the commands into an empty batch.
    pub(super) fn take(&self, commands: &mut CommandBatch) {
        self.commands.take(commands);
    }

    /// Sets whom to wake. Fetch the commands afterwards: those that came before woke nobody.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    /// Takes the connection that was invited first.
    pub(super) fn take_guest(&self) -> Option<Guest> {
        let mut guests = lock(&self.guests);
        (!guests.is_empty()).then(|| guests.remove(0))
    }

    /// Everything was offered to the kernel, or the thread has ended.
    pub(super) fn set_flushed(&self) {
        let mut is_flushed = self
            .is_flushed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *is_flushed = true;
        self.flushed.notify_all();
    }

    /// How many commands lie here.
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Bytes that lie here.
    pub(super) fn bytes(&self) -> usize {
        self.commands.bytes()
    }
}

/// A connection that the isolate has made, and what each head of it begins with.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) socket: Socket,
    pub(super) pseudo: Box<[u8]>,
}

/// The isolate's end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) server: ServerKey,
    pub(super) counters: Arc<Counters>,
    inbox: Arc<Inbox>,
    commands: CommandBatch,
    /// Exchanges by slot.
    seen: Vec<Seen>,
    /// How many of them are open or leaving.
    pub(super) open: usize,
    pub(super) stream_buffer: usize,
}

impl Line {
    /// A line to a thread that begins to work.
    pub(super) fn new(
        server: ServerKey,
        counters: Arc<Counters>,
        inbox: Arc<Inbox>,
        stream_buffer: usize,
    ) -> Self {
        Self {
            server,
            counters,
            inbox,
            commands: CommandBatch::default(),
            seen: Vec::new(),
            open: 0,
            stream_buffer,
        }
    }

    /// What is known of an exchange; none for a stale id.
    pub(super) fn find(&mut self, id: Id) -> Option<&mut Seen> {
        let seen = self.seen.get_mut(id.slot() as usize)?;
        (seen.id == id).then_some(seen)
    }

    /// The place of an exchange, whoever was there before; none where there is no memory for it.
    pub(super) fn place(&mut self, id: Id) -> Option<&mut Seen> {
        let slot = id.slot() as usize;
        if slot >= self.seen.len() {
            if !grow_to(&mut self.seen, slot.saturating_add(1)) {
                return None;
            }
            self.seen.resize_with(slot.saturating_add(1), Seen::none);
        }
        self.seen.get_mut(slot)
    }

    /// Queues a command with its bytes. False, and nothing was queued, when there is no memory for it.
    #[must_use]
    pub(super) fn say(&mut self, command: Command, parts: [&[u8]; 2]) -> bool {
        let CommandBatch { commands, bytes } = &mut self.commands;
        let size = parts.iter().map(|part| part.len()).sum();
        // One place more, for the command that follows from a refusal.
        if !grow(commands, 2) || !grow(bytes, size) {
            return false;
        }
        commands.push(command);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        true
    }

    /// Queues a command that has no bytes and must not get lost.
    pub(super) fn order(&mut self, command: Command) {
        self.commands.commands.push(command);
    }

    /// Gives the thread a connection.
    pub(super) fn invite(&mut self, guest: Guest) {
        lock(&self.inbox.guests).push(guest);
        self.order(Command::Invite);
    }

    /// Whether commands wait to be handed over.
    pub(super) fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Commands that the thread has not fetched.
    pub(super) fn waiting(&self) -> usize {
        self.commands.len().saturating_add(self.inbox.len())
    }

    /// Bytes of answers that the thread has not fetched.
    pub(super) fn response_bytes(&self) -> usize {
        self.commands.bytes().saturating_add(self.inbox.bytes())
    }

    /// Request bytes that have arrived and were not taken.
    pub(super) fn body_bytes(&self) -> usize {
        self.seen.iter().map(|seen| seen.body.len()).sum()
    }

    /// Tells the thread to close everything and to end.
    pub(super) fn stop(&mut self) {
        self.order(Command::Stop);
        self.flush_at_last();
    }

    /// Waits until everything was offered to the kernel, but no longer than `most`.
    pub(super) fn wait_until_flushed(&self, most: Duration) {
        let is_flushed = self.inbox.is_flushed.lock();
        let is_flushed = is_flushed.unwrap_or_else(PoisonError::into_inner);
        let wait = self
            .inbox
            .flushed
            .wait_timeout_while(is_flushed, most, |is_flushed| !*is_flushed);
        drop(wait);
    }

    /// Hands the commands over. They stay here while there is no memory for them over there.
    pub(super) fn flush(&mut self) {
        if self.has_commands() {
            self.inbox.post(&mut self.commands);
        }
    }

    /// The same for what nobody hands over later.
    pub(super) fn flush_at_last(&mut self) {
        if self.has_commands() {
            self.inbox.post_at_last(&mut self.commands);
        }
    }
}

#[cfg(all(test, not(gneiss_loom)))]
mod tests {
    use super::*;
    use crate::fail;

    #[test]
    fn the_command_that_follows_from_a_refusal_has_its_place() {
        let inbox = Arc::new(Inbox::new());
        let mut line = Line::new(ServerKey(0), Arc::default(), inbox, 8 * 1024);
        let id = Id::new(0, 0, 1);
        fail::plan("memory", 3);
        assert!((0..100).any(|_| !line.say(Command::Want { id }, [b"", b""])));
        fail::plan("", 0);
        let room = line.commands.commands.capacity();
        line.order(Command::Fail { id });
        assert_eq!(line.commands.commands.capacity(), room);
    }
}
