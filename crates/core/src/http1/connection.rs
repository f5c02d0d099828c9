//! One HTTP/1 connection: what it has read, what it is answering, what it still has to write.
//!
//! One request at a time: the next head is parsed when the answer before it is complete, so
//! answers leave in order by construction and pipelined bytes wait in `input`.

use std::sync::Arc;

use super::answer::Answer;
use super::body::{BodyDecoder, TrailerLimits};
use super::encode::{encode_continue, encode_refusal};
use super::head::{BodyFraming, Head, HeadLimits, HeadOutcome, HeadScan, Refusal, Version, parse_head};
use crate::config::{PIPELINE_AHEAD, ServerConfig};
use crate::counters::Counters;
use crate::exchange::{AbortReason, BodyOutcome, Event, Exchanges, Id, Meta, ServerKey};

/// What surrounds a step of a connection: where exchanges live, and what time it is.
pub struct Turn<'a, E> {
    /// Slots, events and buffers.
    pub exchanges: &'a mut E,
    /// Monotonic milliseconds.
    pub now: u64,
    /// Value of the `date` field.
    pub date: &'a [u8; 29],
}

/// What the driver should do for a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Bytes to read at most; 0 means not to read.
    pub read: usize,
    /// The peer's end is not known yet and must be noticed even while nothing is read.
    pub watch: bool,
    /// Bytes wait to be written.
    pub write: bool,
    /// An exchange is open or bytes wait: the connection keeps the process alive.
    pub busy: bool,
    /// Whether the connection goes on.
    pub fate: Fate,
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Close the socket: everything was sent and nothing is unread.
    Close,
    /// Close with a reset, so that a cut answer never looks complete.
    Reset,
    /// Send FIN, then call `linger` and discard what still arrives.
    Shutdown,
    /// Nothing changes.
    Stay,
}

/// The state machine. All methods are total: no bytes of the peer make one panic.
#[derive(Debug)]
pub struct Connection {
    pub(super) server: ServerKey,
    pub(super) config: Arc<ServerConfig>,
    pub(super) counters: Arc<Counters>,
    /// `\n@peer:..\n@local:..`, the pseudo fields every head begins with.
    pseudo: Box<[u8]>,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: u64,
    born: u64,
    scan: HeadScan,
    /// Received and not consumed; begins at `input_at`.
    input: Vec<u8>,
    input_at: usize,
    /// To be written; begins at `sent`.
    pub(super) out: Vec<u8>,
    sent: usize,
    /// When written bytes last moved, or began to wait.
    pub(super) progress: u64,
    pub(super) open: Option<Open>,
    pub(super) ending: Ending,
    /// The present answer is the last one.
    draining: bool,
    /// The peer closed its sending side.
    ended: bool,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, no byte yet.
    FirstByte,
    /// Between two requests, no byte of the next one.
    Idle,
    /// A part of a head is here.
    Head,
    /// A request is being answered.
    Exchange,
    /// The last bytes are leaving; `ending` says what follows.
    Flush,
    /// FIN was sent; input is discarded until the peer's FIN.
    Linger,
}

/// What follows when the last bytes have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Close,
    Linger,
    Reset,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: Id,
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) keep_alive: bool,
    /// The peer waits for 100 (Continue) and none was sent.
    pub(super) expects: bool,
    /// JavaScript knows of it.
    is_reported: bool,
    /// None once the body has been received completely.
    pub(super) decoder: Option<BodyDecoder>,
    /// Decoded and not taken.
    pub(super) body: Vec<u8>,
    pub(super) received: u64,
    /// JavaScript asked for bytes that are not here.
    pub(super) wanted_since: Option<u64>,
    /// From here on the body's average rate counts; moves on while the buffer is full.
    pub(super) body_since: u64,
    pub(super) body_byte_at: u64,
    /// Since when the body buffer has been full.
    pub(super) full_since: Option<u64>,
    pub(super) answer: Answer,
    /// Milliseconds the application may take; 0 for ever.
    pub(super) allowance: u64,
    /// When that is over.
    pub(super) answer_by: u64,
    pub(super) wants_done: bool,
    pub(super) wants_drain: bool,
}

/// A body as it is handed out.
#[derive(Debug)]
pub enum TakenBody {
    /// Bytes; give the buffer back with `Table::recycle`.
    Bytes(Vec<u8>),
    /// No bytes, and why.
    None(BodyOutcome),
}

impl Open {
    fn new(id: Id, head: &Head, decoder: Option<BodyDecoder>, allowance: u64, now: u64) -> Self {
        Self {
            id,
            version: head.version,
            is_head: head.is_head,
            keep_alive: head.keep_alive,
            expects: head.expect_continue,
            is_reported: false,
            decoder,
            body: Vec::new(),
            received: 0,
            wanted_since: None,
            body_since: now,
            body_byte_at: now,
            full_since: None,
            answer: Answer::Waiting,
            allowance,
            answer_by: now.saturating_add(allowance),
            wants_done: false,
            wants_drain: false,
        }
    }
}

impl Connection {
    /// A connection that was just accepted. `pseudo` is what each head begins with.
    #[must_use]
    pub fn new(server: ServerKey, config: Arc<ServerConfig>, counters: Arc<Counters>, pseudo: Box<[u8]>, now: u64) -> Self {
        Self {
            server,
            config,
            counters,
            pseudo,
            phase: Phase::FirstByte,
            since: now,
            born: now,
            scan: HeadScan::default(),
            input: Vec::new(),
            input_at: 0,
            out: Vec::new(),
            sent: 0,
            progress: now,
            open: None,
            ending: Ending::Close,
            draining: false,
            ended: false,
        }
    }

    /// The server it belongs to.
    #[must_use]
    pub fn server(&self) -> ServerKey {
        self.server
    }

    /// Where it counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether input waits that could be consumed now.
    #[must_use]
    pub fn has_waiting_input(&self) -> bool {
        self.has_input()
            && match self.phase {
                Phase::Idle => true,
                Phase::Exchange => !self.body_is_complete(),
                _ => false,
            }
    }

    /// The exchange it is answering.
    #[must_use]
    pub fn exchange(&self) -> Option<Id> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Takes received bytes in.
    pub fn on_bytes<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, bytes: &[u8]) {
        self.counters.received_bytes_total.add(bytes.len() as u64);
        if matches!(self.phase, Phase::Flush | Phase::Linger) {
            return;
        }
        if self.input.is_empty() {
            let used = self.consume(turn, bytes);
            let rest = bytes.get(used..).unwrap_or_default();
            if !rest.is_empty() && !matches!(self.phase, Phase::Flush | Phase::Linger) {
                self.input = turn.exchanges.buffer();
                self.input.extend_from_slice(rest);
            }
        } else {
            self.input.extend_from_slice(bytes);
            self.advance(turn);
        }
    }

    /// Goes on with bytes that waited: after an answer, or after the application took body bytes.
    pub fn advance<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        if self.input.is_empty() {
            return;
        }
        let input = std::mem::take(&mut self.input);
        let used = self.consume(turn, input.get(self.input_at..).unwrap_or_default());
        self.input_at = self.input_at.saturating_add(used);
        if self.input_at >= input.len() || matches!(self.phase, Phase::Flush | Phase::Linger) {
            self.input_at = 0;
            turn.exchanges.recycle(input);
        } else {
            self.input = input;
            if self.input_at > PIPELINE_AHEAD {
                self.input.drain(..self.input_at);
                self.input_at = 0;
            }
        }
    }

    /// The peer closed its sending side.
    pub fn on_end<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.ended = true;
        match self.phase {
            Phase::Exchange if self.config.allow_half_open && self.body_is_complete() => {
                // Everything is here; only the answer is wanted. There will be no next request.
                if let Some(open) = &mut self.open {
                    open.keep_alive = false;
                }
                self.draining = true;
            }
            Phase::Exchange => {
                self.abort(turn, AbortReason::PeerGone);
                self.leave(turn.now, Ending::Close);
            }
            Phase::Flush if self.ending == Ending::Linger => self.ending = Ending::Close,
            Phase::Flush => {}
            Phase::FirstByte | Phase::Idle | Phase::Head | Phase::Linger => self.leave(turn.now, Ending::Close),
        }
    }

    /// The connection broke: nothing more can be read or written.
    pub fn on_error<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.abort(turn, AbortReason::PeerGone);
        self.leave(turn.now, Ending::Reset);
    }

    /// The server is being closed: an idle connection ends, a busy one after its answer.
    ///
    /// Call it after what the kernel already holds was read, so that no request is lost.
    pub fn drain(&mut self, now: u64) {
        self.draining = true;
        match self.phase {
            Phase::FirstByte | Phase::Idle => self.leave(now, Ending::Close),
            Phase::Exchange => {
                if let Some(open) = &mut self.open {
                    open.keep_alive = false;
                }
            }
            Phase::Head | Phase::Flush | Phase::Linger => {}
        }
    }

    /// A fault of our own: 500 where no head was sent, a cut after that.
    pub fn fail<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.refuse(turn, 500, AbortReason::Internal);
    }

    /// Ends the connection now, whatever it does.
    pub fn cut<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, reason: AbortReason) {
        self.abort(turn, reason);
        self.leave(turn.now, Ending::Reset);
    }

    /// Body bytes for the application; the first call lets a waiting peer continue.
    pub fn take_body<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) -> TakenBody {
        let Some(open) = &mut self.open else { return TakenBody::None(BodyOutcome::Gone) };
        if open.expects {
            open.expects = false;
            open.body_since = turn.now;
            open.body_byte_at = turn.now;
            // Bytes that are here show that the peer did not wait; after a head 100 is too late.
            if open.body.is_empty() && open.decoder.is_some() && matches!(open.answer, Answer::Waiting) {
                self.begin_writing(turn);
                encode_continue(&mut self.out);
            }
        }
        let Some(open) = &mut self.open else { return TakenBody::None(BodyOutcome::Gone) };
        if !open.body.is_empty() {
            let bytes = std::mem::take(&mut open.body);
            if let Some(full_since) = open.full_since.take() {
                open.body_since = open.body_since.saturating_add(turn.now.saturating_sub(full_since));
                open.body_byte_at = turn.now;
            }
            return TakenBody::Bytes(bytes);
        }
        if open.decoder.is_none() {
            return TakenBody::None(BodyOutcome::End);
        }
        open.wanted_since.get_or_insert(turn.now);
        TakenBody::None(BodyOutcome::Pending)
    }

    /// What waits to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// The kernel took `count` bytes.
    pub fn wrote<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, count: usize) {
        self.counters.sent_bytes_total.add(count as u64);
        self.sent = self.sent.saturating_add(count);
        self.progress = turn.now;
        if self.sent >= self.out.len() {
            self.sent = 0;
            turn.exchanges.recycle(std::mem::take(&mut self.out));
        } else if self.sent > self.out.len() / 2 {
            // Reclaimed here, or a peer that is always a little behind would grow the buffer for ever.
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        self.after_writing(turn);
    }

    /// What the driver should do now.
    #[must_use]
    pub fn wish(&self) -> Wish {
        let pending = self.pending();
        let fate = match (self.phase, self.ending) {
            (Phase::Flush, Ending::Reset) => Fate::Reset,
            (Phase::Flush, Ending::Close) if pending == 0 => Fate::Close,
            (Phase::Flush, Ending::Linger) if pending == 0 => Fate::Shutdown,
            _ => Fate::Stay,
        };
        Wish { read: self.read_budget(), watch: !self.ended, write: pending > 0, busy: self.open.is_some() || pending > 0, fate }
    }

    /// FIN was sent: what still arrives is discarded, for a second at most.
    pub fn linger(&mut self, now: u64) {
        self.phase = Phase::Linger;
        self.since = now;
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub(super) fn pending(&self) -> usize {
        self.out.len().saturating_sub(self.sent)
    }

    /// Whether the kept-alive connection goes on to another request.
    pub(super) fn goes_on(&self, now: u64) -> bool {
        let age = self.config.keep_alive_max_age;
        !self.draining && (age == 0 || now.saturating_sub(self.born) < age)
    }

    pub(super) fn body_is_complete(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.decoder.is_none())
    }

    /// Whether pipelined input waits behind the present request.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Leaves towards the end of the connection once the last bytes are out.
    pub(super) fn leave(&mut self, now: u64, ending: Ending) {
        self.phase = Phase::Flush;
        self.since = now;
        self.ending = ending;
        self.input = Vec::new();
        self.input_at = 0;
        if ending == Ending::Reset {
            self.out = Vec::new();
            self.sent = 0;
        }
    }

    pub(super) fn become_idle(&mut self, now: u64) {
        self.phase = Phase::Idle;
        self.since = now;
        self.scan = HeadScan::default();
    }

    /// Ends the exchange without an answer of the application and reports it.
    pub(super) fn abort<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, reason: AbortReason) {
        let Some(open) = self.open.take() else { return };
        let (id, is_reported) = (open.id, open.is_reported);
        self.forget(turn, open);
        if is_reported {
            self.counters.aborted_total.add(1);
            turn.exchanges.push(Event::Abort { id, reason });
        }
    }

    /// Answers the peer instead of the application, or cuts where a head has left already.
    pub(super) fn refuse<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, status: u16, reason: AbortReason) {
        let is_head = self.open.as_ref().is_some_and(|open| open.is_head);
        let head_left = self.open.as_ref().is_some_and(|open| !matches!(open.answer, Answer::Waiting));
        self.abort(turn, reason);
        if head_left {
            self.leave(turn.now, Ending::Reset);
            return;
        }
        self.begin_writing(turn);
        encode_refusal(&mut self.out, status, is_head, turn.date);
        self.leave(turn.now, Ending::Linger);
    }

    pub(super) fn begin_writing<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        if self.pending() == 0 {
            self.progress = turn.now;
            if self.out.capacity() == 0 {
                self.out = turn.exchanges.buffer();
            }
        }
    }

    pub(super) fn forget<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, open: Open) {
        turn.exchanges.close(open.id);
        self.counters.requests.subtract(1);
        if open.decoder.is_some() {
            self.counters.bodies.subtract(1);
        }
        turn.exchanges.recycle(open.body);
    }

    fn read_budget(&self) -> usize {
        match self.phase {
            _ if self.ended => 0,
            Phase::FirstByte | Phase::Idle | Phase::Head if self.pending() > self.config.stream_buffer => 0,
            Phase::FirstByte | Phase::Idle | Phase::Head | Phase::Linger => READ_MOST,
            Phase::Flush => 0,
            Phase::Exchange => match &self.open {
                Some(open) if open.decoder.is_some() => {
                    if self.has_input() {
                        0
                    } else {
                        self.config.body_read_ahead.saturating_sub(open.body.len()).min(READ_MOST)
                    }
                }
                _ => PIPELINE_AHEAD.saturating_sub(self.input.len()),
            },
        }
    }

    /// Consumes what it can of `data` and returns how much.
    fn consume<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, data: &[u8]) -> usize {
        let mut used: usize = 0;
        loop {
            let rest = data.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return used;
            }
            match self.phase {
                Phase::FirstByte | Phase::Idle | Phase::Head => {
                    if self.pending() > self.config.stream_buffer {
                        return used;
                    }
                    match self.consume_head(turn, rest) {
                        0 => return used,
                        count => used = used.saturating_add(count),
                    }
                }
                Phase::Exchange => match self.consume_body(turn, rest) {
                    0 => return used,
                    count => used = used.saturating_add(count),
                },
                Phase::Flush | Phase::Linger => return data.len(),
            }
        }
    }

    /// Parses a head; 0 when it is not complete.
    fn consume_head<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, data: &[u8]) -> usize {
        let limits = HeadLimits {
            head: self.config.limit_request_head,
            line: self.config.limit_request_line,
            field: self.config.limit_request_field_size,
            fields: self.config.limit_request_fields,
        };
        let offset = turn.exchanges.arena().len();
        match parse_head(data, &mut self.scan, &limits, &self.pseudo, turn.exchanges.arena()) {
            HeadOutcome::Incomplete => {
                // Empty lines ahead of a request are no head yet.
                if self.phase != Phase::Head && self.scan.has_begun() {
                    self.phase = Phase::Head;
                    self.since = turn.now;
                }
                0
            }
            HeadOutcome::Refused(refusal) => {
                self.refuse_head(turn, refusal);
                data.len()
            }
            HeadOutcome::Complete(head) => self.begin_exchange(turn, &head, offset, data),
        }
    }

    fn refuse_head<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, refusal: Refusal) {
        self.counters.refused_total.add(1);
        self.refuse(turn, refusal.status(), AbortReason::BodyMalformed);
    }

    /// A complete head: opens the exchange, takes the body bytes that came along, reports the request.
    fn begin_exchange<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, head: &Head, offset: usize, data: &[u8]) -> usize {
        let trailers = TrailerLimits { bytes: self.config.limit_trailers, fields: self.config.limit_trailer_fields };
        let decoder = match head.framing {
            BodyFraming::None => None,
            BodyFraming::Length(length) if length > self.config.max_body => {
                return self.refuse_request(turn, offset, 413, data);
            }
            framing => Some(BodyDecoder::new(framing, trailers)),
        };
        let Some(id) = turn.exchanges.open() else {
            return self.refuse_request(turn, offset, 503, data);
        };
        let has_body = decoder.is_some();
        self.phase = Phase::Exchange;
        self.since = turn.now;
        self.open = Some(Open::new(id, head, decoder, self.config.request_timeout, turn.now));
        self.counters.requests.add(1);
        let mut used = head.consumed;
        if has_body {
            self.counters.bodies.add(1);
            // Before the request is reported, so that a body which is already wrong never is.
            used = used.saturating_add(self.consume_body(turn, data.get(used..).unwrap_or_default()));
            if self.phase != Phase::Exchange {
                turn.exchanges.arena().truncate(offset);
                return data.len();
            }
        }
        self.counters.requests_total.add(1);
        if let Some(open) = &mut self.open {
            open.is_reported = true;
        }
        turn.exchanges.push(Event::Request {
            id,
            server: self.server,
            meta: self.meta_of(head, has_body),
            offset,
            target_len: head.target_len,
            head_len: head.head_len,
        });
        used
    }

    fn refuse_request<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, offset: usize, status: u16, data: &[u8]) -> usize {
        turn.exchanges.arena().truncate(offset);
        self.counters.refused_total.add(1);
        self.refuse(turn, status, AbortReason::BodyTooLarge);
        data.len()
    }

    fn meta_of(&self, head: &Head, has_body: bool) -> Meta {
        let mut bits = u32::from(head.method);
        if head.version == Version::Http11 {
            bits |= 1 << Meta::VERSION_SHIFT;
        }
        let facts = [
            (has_body, Meta::HAS_BODY),
            (has_body && self.body_is_complete(), Meta::BODY_COMPLETE),
            (head.keep_alive, Meta::KEEP_ALIVE),
            (head.upgrade, Meta::UPGRADE),
            (head.expect_continue, Meta::EXPECT),
        ];
        for (is_so, bit) in facts {
            if is_so {
                bits |= bit;
            }
        }
        Meta(bits)
    }

    /// Decodes body bytes as far as there is room for them.
    fn consume_body<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, data: &[u8]) -> usize {
        let Some(open) = &mut self.open else { return 0 };
        let Some(decoder) = &mut open.decoder else { return 0 };
        let room = self.config.body_read_ahead.saturating_sub(open.body.len());
        let before = open.body.len();
        if open.body.capacity() == 0 {
            open.body = turn.exchanges.buffer();
        }
        let Ok(used) = decoder.decode(data, room, &mut open.body) else {
            self.counters.refused_total.add(1);
            self.refuse(turn, 400, AbortReason::BodyMalformed);
            return data.len();
        };
        let gained = open.body.len().saturating_sub(before);
        open.received = open.received.saturating_add(gained as u64);
        if used > 0 {
            open.body_byte_at = turn.now;
        }
        let is_done = decoder.is_done();
        if is_done {
            open.decoder = None;
            self.counters.bodies.subtract(1);
        } else if open.body.len() >= self.config.body_read_ahead {
            open.full_since.get_or_insert(turn.now);
        }
        if (is_done || gained > 0)
            && let Some(since) = open.wanted_since.take()
        {
            // The clock of the application stood still while it waited for the peer.
            open.answer_by = open.answer_by.saturating_add(turn.now.saturating_sub(since));
            let id = open.id;
            turn.exchanges.push(Event::Chunk { id });
        }
        if open.received > self.config.max_body {
            self.counters.refused_total.add(1);
            self.refuse(turn, 413, AbortReason::BodyTooLarge);
            return data.len();
        }
        used
    }
}

/// One read of a socket.
const READ_MOST: usize = 64 * 1024;
