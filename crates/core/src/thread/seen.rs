//! What the isolate knows of an exchange whose connection lives on another thread.

use crate::exchange::{Id, Meta};
use crate::http1::answer::has_no_room;
use crate::http1::encode::AnswerFraming;
use crate::http1::judge::Asked;

/// One exchange, as it looks from the isolate. It answers at once what the connection would answer: how
/// far the answer is, whether there is room, which bytes of the body are here.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) id: Id,
    pub(super) state: State,
    pub(super) asked: Asked,
    /// Bytes from which on the application has to wait.
    pub(super) stream_buffer: u64,
    /// Bytes of the answer that were handed over and not reported as sent.
    pub(super) under_way: u64,
    /// The application was told to wait for room.
    pub(super) wants_room: bool,
    /// Arrived and not taken.
    pub(super) body: Vec<u8>,
    /// Nothing follows what is in `body`.
    pub(super) body_ended: bool,
    /// The I/O thread was asked for bytes and has sent none.
    pub(super) has_asked: bool,
    /// The pass in which the request was delivered.
    pub(super) pass: u32,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Answered, or ended without an answer.
    Over,
    /// No head was given.
    Waiting,
    /// The head was given.
    Streaming(AnswerFraming),
    /// Everything was given, and the application waits to hear that it has left.
    Leaving,
}

impl Seen {
    /// A slot in which nothing happened yet.
    pub(super) fn none() -> Self {
        Self {
            // No id of a thread's table: owners begin at 1.
            id: Id::new(0, 0, 0),
            state: State::Over,
            asked: Asked::of(Meta(0)),
            stream_buffer: 0,
            under_way: 0,
            wants_room: false,
            body: Vec::new(),
            body_ended: true,
            has_asked: false,
            pass: 0,
        }
    }

    /// A request that is delivered now.
    pub(super) fn begin(&mut self, id: Id, meta: Meta, stream_buffer: usize, pass: u32) {
        self.id = id;
        self.state = State::Waiting;
        self.asked = Asked::of(meta);
        self.stream_buffer = stream_buffer as u64;
        self.under_way = 0;
        self.wants_room = false;
        self.body = Vec::new();
        self.body_ended = meta.0 & Meta::HAS_BODY == 0;
        self.has_asked = false;
        self.pass = pass;
    }

    /// Whether the application may still send.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::Streaming(_))
    }

    /// It is over: what it held is given back.
    pub(super) fn close(&mut self, state: State) {
        self.state = state;
        self.body = Vec::new();
        self.wants_room = false;
    }

    /// Bytes that the application has handed over. True when it has to wait.
    pub(super) fn hand_over(&mut self, bytes: usize) -> bool {
        self.under_way = self.under_way.saturating_add(bytes as u64);
        let is_full = has_no_room(self.under_way, bytes as u64, self.stream_buffer);
        // Who was told to wait before is still waiting, although there is room by now.
        self.wants_room |= is_full;
        is_full
    }

    /// Bytes have left. True when somebody who waits for room has it now.
    pub(super) fn has_left(&mut self, bytes: u64) -> bool {
        self.under_way = self.under_way.saturating_sub(bytes);
        let has_room = self.wants_room && self.under_way <= self.stream_buffer / 2;
        self.wants_room &= !has_room;
        has_room
    }
}
