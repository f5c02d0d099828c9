//! What an I/O thread tells its isolate.

use std::sync::Arc;

use super::super::batch::{Word, WordBatch};
use super::super::door::Door;
use super::super::mailbox::Mailbox;
use super::Worker;
use crate::answers::Answers;
use crate::exchange::{Event, Id, Meta, ServerKey};
use crate::growth::grow;

/// The way to the isolate.
#[derive(Debug)]
pub(in crate::thread) struct Post {
    server: ServerKey,
    batch: WordBatch,
    words: Arc<Mailbox<WordBatch>>,
    door: Arc<Door>,
}

impl Post {
    /// The way of a server, which the isolate knows as `server`.
    pub(in crate::thread) fn new(
        server: ServerKey,
        words: Arc<Mailbox<WordBatch>>,
        door: Arc<Door>,
    ) -> Self {
        Self {
            server,
            batch: WordBatch::default(),
            words,
            door,
        }
    }

    /// The same way for somebody else, with nothing on it.
    pub(in crate::thread) fn another(&self) -> Self {
        Self::new(self.server, Arc::clone(&self.words), Arc::clone(&self.door))
    }

    /// Tells that nothing is left of this thread.
    pub(in crate::thread) fn closed(mut self) {
        let server = self.server;
        self.batch.words.push(Word::Event(Event::Closed { server }));
        if self.words.post_at_last(&mut self.batch) {
            self.door.ring();
        }
    }

    /// Hands over what was collected. False if there is no memory to put it behind what lies there: it is to be
    /// handed over again.
    pub(super) fn flush(&mut self) -> bool {
        if self.words.post(&mut self.batch) {
            self.door.ring();
        }
        self.is_empty()
    }

    /// Whether nothing waits to be handed over.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.words.is_empty()
    }

    /// False, and nothing was collected, when there is no memory for the bytes.
    fn body(&mut self, id: Id, bytes: &[u8], is_end: bool) -> bool {
        if !grow(&mut self.batch.words, 1) || !grow(&mut self.batch.text, bytes.len()) {
            return false;
        }
        let offset = self.batch.text.len();
        self.batch.text.extend_from_slice(bytes);
        self.batch.words.push(Word::Body {
            id,
            offset,
            len: bytes.len(),
            is_end,
        });
        true
    }
}

impl Worker {
    /// Collects what the engine has to tell, and what follows from it. False if there is no memory for that: all of
    /// it waits.
    #[must_use]
    pub(super) fn collect(&mut self) -> bool {
        // Three words an event at most: a request, its end, and that the log has a line about it.
        let words = self.table.lane().len().saturating_mul(3);
        if !grow(
            &mut self.post.batch.words,
            words.saturating_add(self.later.len()),
        ) {
            return false;
        }
        let room = self.post.batch.words.capacity();
        while let Some(event) = self.table.lane_mut().pop() {
            match event {
                Event::Request { .. } => self.collect_request(event),
                Event::Chunk { id } => self.collect_body(id),
                Event::Drain { id } => self.report_room(id),
                Event::Abort { .. } | Event::Done { .. } => {
                    self.post.batch.words.push(Word::Event(event));
                }
                Event::Refused { .. } => {
                    let server = self.post.server;
                    self.post
                        .batch
                        .words
                        .push(Word::Event(Event::Refused { server }));
                }
                // Reported by the thread itself, when it holds nothing any more.
                Event::Closed { .. } => {}
            }
        }
        self.table.lane_mut().recycle();
        self.post.batch.words.append(&mut self.later);
        debug_assert_eq!(self.post.batch.words.capacity(), room, "words without room");
        true
    }

    /// Of a request whose peer has left already only the number is told: its end follows, so nobody reads it.
    fn collect_request(&mut self, event: Event) {
        let Event::Request {
            id,
            ticket,
            meta,
            offset,
            target_len,
            head_len,
            ..
        } = event
        else {
            return;
        };
        let len = target_len.saturating_add(head_len);
        if self.table.is_open(id) && !grow(&mut self.post.batch.text, len) {
            self.table.starve(id);
        }
        let is_open = self.table.is_open(id);
        let (target_len, head_len) = if is_open {
            (target_len, head_len)
        } else {
            (0, 0)
        };
        let text = &mut self.post.batch.text;
        let begin = text.len();
        let len = target_len.saturating_add(head_len);
        debug_assert!(
            text.capacity() >= begin.saturating_add(len),
            "a text without room"
        );
        text.extend_from_slice(self.table.lane().text(offset, len));
        self.post.batch.words.push(Word::Event(Event::Request {
            id,
            server: self.post.server,
            ticket,
            meta,
            offset: begin,
            target_len,
            head_len,
        }));
        if is_open && meta.0 & Meta::HAS_BODY != 0 && !self.tell_body(id) {
            // Its end lies in the same batch, so nobody hears of the request.
            self.table.starve(id);
        }
    }

    /// Body bytes that are here, of a request that was told before.
    fn collect_body(&mut self, id: Id) {
        if !self.tell_body(id) {
            self.table.fail(id);
        }
    }

    /// False if there is no memory for the body bytes that are here.
    #[must_use]
    fn tell_body(&mut self, id: Id) -> bool {
        let Some((bytes, is_end)) = self.table.take_arrived(id) else {
            return true;
        };
        let is_told = self.post.body(id, &bytes, is_end);
        self.table.recycle(bytes);
        is_told
    }

    /// The application waits for body bytes; the first time lets a waiting peer continue.
    pub(super) fn want_body(&mut self, id: Id) {
        self.table.ask_for_body(id);
        self.collect_body(id);
    }
}
