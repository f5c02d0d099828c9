//! What the isolate hears of its I/O threads, and what each word changes.

use super::batch::{Command, Word};
use super::remote::Remote;
use super::seen::State;
use crate::answers::Answers;
use crate::exchange::{AbortReason, Event, Id, Meta, ServerKey};
use crate::growth::grow;

impl Remote {
    /// Notes what a word changes, and says what is to be delivered of it, in the words of the engine.
    pub(super) fn hear(&mut self, word: Word) -> Option<Event> {
        match word {
            Word::Body { id, .. } => {
                self.keep_body(word);
                self.open(id)?;
                Some(Event::Chunk { id })
            }
            Word::Ended { id } => {
                self.open(id)?;
                self.close_exchange(id, State::Over);
                self.order(id, Command::Leave { id });
                let reason = AbortReason::PeerGone;
                Some(Event::Abort { id, reason })
            }
            Word::Room { id, bytes } => {
                let has_room = self.open(id)?.has_left(bytes);
                has_room.then_some(Event::Drain { id })
            }
            Word::Event(event) => self.hear_event(event),
        }
    }

    fn hear_event(&mut self, event: Event) -> Option<Event> {
        let is_news = match event {
            Event::Request {
                id, meta, ticket, ..
            } => {
                if let Some(line) = self.line(id) {
                    line.counters.delivered_total.set(ticket);
                }
                self.begin_exchange(id, meta)?
            }
            Event::Abort { id, .. } => {
                let is_known = self.find(id)?.state != State::Over;
                self.close_exchange(id, State::Over);
                is_known
            }
            Event::Done { id } => {
                let is_awaited = self.find(id)?.state == State::Leaving;
                self.close_exchange(id, State::Over);
                is_awaited
            }
            Event::Closed { server } => self.thread_ended(server)?,
            Event::Refused { .. } => true,
            // These two are said in other words.
            Event::Chunk { .. } | Event::Drain { .. } => false,
        };
        is_news.then_some(event)
    }

    /// A request, unless nobody waits for its answer any more.
    fn begin_exchange(&mut self, id: Id, meta: Meta) -> Option<bool> {
        if self.aborted.contains(&id) {
            return None;
        }
        let pass = self.pass;
        let line = self.line(id)?;
        let stream_buffer = line.stream_buffer;
        let Some(seen) = line.place(id) else {
            self.order(id, Command::Starve { id });
            return None;
        };
        let is_free = seen.state == State::Over;
        seen.begin(id, meta, stream_buffer, pass);
        line.open = line.open.saturating_add(usize::from(is_free));
        // What came along of the body is there when the application asks for it.
        if let Some(body @ Word::Body { id: of, .. }) = self.batch.words.get(self.next)
            && *of == id
        {
            let body = *body;
            self.next = self.next.saturating_add(1);
            self.keep_body(body);
        }
        Some(true)
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
        if !seen.is_open() {
            return;
        }
        if grow(&mut seen.body, len) {
            seen.body.extend_from_slice(self.batch.text(offset, len));
            seen.body_ended = is_end;
            seen.has_asked = false;
        } else {
            self.fail(id);
        }
    }

    /// One thread of a server has ended, as its last act. The server has when all of them have.
    fn thread_ended(&mut self, server: ServerKey) -> Option<bool> {
        let count = self.threads.get_mut(usize::from(server.0))?;
        *count = count.saturating_sub(1);
        Some(*count == 0)
    }
}
