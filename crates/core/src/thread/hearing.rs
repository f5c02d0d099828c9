//! What the isolate hears of its I/O threads, and what each word changes.

use super::batch::{Command, Word, WordBatch};
use super::remote::Remote;
use super::seen::State;
use crate::exchange::{AbortReason, Delivery, Event, Id, Meta, Notice, ServerKey};

/// What a word means to the application.
pub(super) enum Heard {
    Plain(Delivery<'static>),
    Request(Request),
}

/// A request whose text still lies in the batch.
pub(super) struct Request {
    id: Id,
    server: ServerKey,
    meta: Meta,
    offset: usize,
    target_len: usize,
    head_len: usize,
}

impl Remote {
    /// Notes what a word changes, and says what is to be delivered of it.
    pub(super) fn hear(&mut self, word: Word) -> Option<Heard> {
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
                if self.aborted.contains(&id) {
                    return None;
                }
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
    pub(super) fn deliver(self, batch: &WordBatch) -> Delivery<'_> {
        Delivery::Request {
            id: self.id,
            server: self.server,
            meta: self.meta,
            target: batch.text(self.offset, self.target_len),
            head: batch.text(self.offset.saturating_add(self.target_len), self.head_len),
        }
    }
}
