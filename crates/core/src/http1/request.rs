//! The request side of a connection: heads and bodies out of bytes, strictly and within limits.

use super::account::{Ground, first_line};
use super::answer::Answer;
use super::body::{BodyDecoder, TrailerLimits};
use super::connection::{Connection, Phase, Turn};
use super::forwarded::apply as apply_forwarded;
use super::head::{BodyFraming, Head, HeadLimits, HeadOutcome, Refusal, Version, parse_head};
use super::shed::ground_of;
use crate::access::Draft;
use crate::exchange::{Event, Exchanges, Id, Meta};
use crate::growth::grow;

/// A request that is being answered.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact of one request"
)]
pub(super) struct Open {
    pub(super) id: Id,
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) keep_alive: bool,
    /// The peer waits for 100 (Continue) and none was sent.
    pub(super) expects: bool,
    /// JavaScript knows of it.
    pub(super) is_reported: bool,
    /// Its number among the requests that were handed over; 0 before it is, and for one that may wait for ever.
    pub(super) ticket: u64,
    /// Since when it waits, at most.
    pub(super) came_at: u64,
    /// None once the body has been received completely.
    pub(super) decoder: Option<BodyDecoder>,
    /// Decoded and not taken.
    pub(super) body: Vec<u8>,
    pub(super) received: u64,
    /// Bytes of the body at most.
    pub(super) body_limit: u64,
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
    /// For the access log.
    pub(super) draft: Option<Box<Draft>>,
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
            ticket: 0,
            came_at: now,
            decoder,
            body: Vec::new(),
            received: 0,
            body_limit: u64::MAX,
            wanted_since: None,
            body_since: now,
            body_byte_at: now,
            full_since: None,
            answer: Answer::Waiting,
            allowance,
            answer_by: now.saturating_add(allowance),
            wants_done: false,
            wants_drain: false,
            draft: None,
        }
    }
}

impl Connection {
    /// Consumes what it can of `data` and returns how much.
    pub(super) fn consume<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, data: &[u8]) -> usize {
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
        // A target that is absolute is there twice.
        let text = data.len().min(limits.head).saturating_mul(2);
        let text = text.saturating_add(self.pseudo.len());
        if !grow(turn.exchanges.arena(), text.saturating_add(TEXT_MORE)) {
            self.starve(turn);
            return data.len();
        }
        let offset = turn.exchanges.arena().len();
        match parse_head(
            data,
            &mut self.scan,
            &limits,
            &self.pseudo,
            turn.exchanges.arena(),
        ) {
            HeadOutcome::Incomplete => {
                // Empty lines ahead of a request are no head yet.
                if self.phase != Phase::Head && self.scan.has_begun() {
                    self.end_gap(turn.now);
                    self.phase = Phase::Head;
                    self.since = turn.now;
                }
                0
            }
            HeadOutcome::Refused(refusal) => {
                self.note_bad_head(turn, data, refusal.status());
                let code = format!("{refusal:?}");
                self.complain(turn, Ground::of(refusal, &code), first_line(data));
                self.refuse_head(turn, refusal, data);
                data.len()
            }
            HeadOutcome::Complete(mut head) => {
                if head.forwarded && self.trusts_peer {
                    let trusted = &self.config.trusted_peers;
                    let arena = turn.exchanges.arena();
                    if let Err(refusal) = apply_forwarded(&mut head, arena, offset, trusted) {
                        let code = format!("{refusal:?}");
                        let ground = Ground::of(refusal, &code);
                        return self.refuse_request(turn, &head, offset, ground, data);
                    }
                }
                self.begin_exchange(turn, &head, offset, data)
            }
        }
    }

    fn refuse_head<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, refusal: Refusal, data: &[u8]) {
        self.counters.refused_total.add(1);
        // The head was not understood, but whoever asked with HEAD does not expect a body either.
        let line = data.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        let line = line.and_then(|at| data.get(at..)).unwrap_or_default();
        self.answer_refusal(turn, refusal.status(), line.starts_with(b"HEAD "));
    }

    /// A complete head: opens the exchange, takes the body bytes that came along, reports the request.
    fn begin_exchange<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        head: &Head,
        offset: usize,
        data: &[u8],
    ) -> usize {
        let trailers = TrailerLimits::from(&*self.config);
        let body_limit = match head.framing {
            BodyFraming::None => 0,
            _ => self.body_limit(turn.exchanges, offset, head.target_len),
        };
        let decoder = match head.framing {
            BodyFraming::None => None,
            BodyFraming::Length(length) if length > body_limit => {
                return self.refuse_request(turn, head, offset, TOO_LARGE, data);
            }
            framing => Some(BodyDecoder::new(framing, trailers)),
        };
        if let Some(rejection) = self.is_turned_away(turn, offset, head.target_len) {
            self.note_refusal(turn, head, offset, 503);
            self.complain_of(turn, ground_of(rejection.shed), offset, head);
            turn.exchanges.arena().truncate(offset);
            return self.turn_away(turn, head, data, rejection);
        }
        let Some(id) = turn.exchanges.open() else {
            return self.refuse_request(turn, head, offset, NO_SLOT, data);
        };
        let has_body = decoder.is_some();
        self.end_gap(turn.now);
        self.phase = Phase::Exchange;
        self.since = turn.now;
        let mut open = Open::new(id, head, decoder, self.config.request_timeout, turn.now);
        open.keep_alive &= !self.draining;
        open.came_at = turn.now.saturating_sub(turn.exchanges.waited());
        open.body_limit = body_limit;
        let (draft, head_len) = self.note_request(turn, head, offset);
        open.draft = draft;
        self.open = Some(open);
        self.counters.requests.add(1);
        let mut used = head.consumed;
        if has_body {
            self.counters.bodies.add(1);
            // Before the request is reported, so that a body which is already wrong never is.
            used =
                used.saturating_add(self.consume_body(turn, data.get(used..).unwrap_or_default()));
            if self.phase != Phase::Exchange {
                turn.exchanges.arena().truncate(offset);
                return data.len();
            }
        }
        self.counters.requests_total.add(1);
        let ticket = self.counters.requests_total.get();
        let is_exempt = self.is_exempt(turn, offset, head.target_len);
        if let Some(open) = &mut self.open {
            open.is_reported = true;
            open.ticket = if is_exempt { 0 } else { ticket };
        }
        turn.exchanges.push(Event::Request {
            id,
            server: self.server,
            ticket,
            meta: self.meta_of(head, has_body),
            offset,
            target_len: head.target_len,
            head_len,
        });
        used
    }

    fn refuse_request<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        head: &Head,
        offset: usize,
        ground: Ground<'_>,
        data: &[u8],
    ) -> usize {
        self.note_refusal(turn, head, offset, ground.status);
        self.complain_of(turn, ground, offset, head);
        turn.exchanges.arena().truncate(offset);
        self.counters.refused_total.add(1);
        self.answer_refusal(turn, ground.status, head.is_head);
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
            (head.secure, Meta::SECURE),
        ];
        for (is_so, bit) in facts {
            if is_so {
                bits |= bit;
            }
        }
        Meta(bits)
    }
}

pub(super) const TOO_LARGE: Ground<'static> = Ground {
    status: 413,
    code: "BodyTooLarge",
    reason: "the body is larger than maxBody, or than its path allows",
};
const NO_SLOT: Ground<'static> = Ground {
    status: 503,
    code: "SlotsFull",
    reason: "as many requests are open as can be, or there is no memory for one more",
};
/// Bytes of the text of a request that are not its own: names of pseudo fields, and an id.
const TEXT_MORE: usize = 256;
