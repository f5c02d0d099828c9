//! The body of a request: what has come of it, and who waits for what.

use super::account::Ground;
use super::answer::Answer;
use super::connection::{Connection, Turn};
use super::encode::encode_continue;
use super::request::{Open, TOO_LARGE};
use crate::exchange::{AbortReason, BodyOutcome, Event, Exchanges};
use crate::growth::{grow, grow_exactly};

/// A body as it is handed out.
#[derive(Debug)]
pub enum TakenBody {
    /// Bytes; give the buffer back with `Table::recycle`.
    Bytes(Vec<u8>),
    /// No bytes, and why.
    None(BodyOutcome),
}

impl Open {
    /// The decoded bytes; there is room for more now.
    pub(super) fn take_bytes(&mut self, now: u64) -> Vec<u8> {
        if let Some(full_since) = self.full_since.take() {
            self.body_since = self
                .body_since
                .saturating_add(now.saturating_sub(full_since));
            self.body_byte_at = now;
        }
        std::mem::take(&mut self.body)
    }
}

impl Connection {
    /// Body bytes for the application; the first call lets a waiting peer continue.
    pub fn take_body<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) -> TakenBody {
        self.let_continue(turn);
        let Some(open) = &mut self.open else {
            return TakenBody::None(BodyOutcome::Gone);
        };
        if !open.body.is_empty() {
            return TakenBody::Bytes(open.take_bytes(turn.now));
        }
        if open.decoder.is_none() {
            return TakenBody::None(BodyOutcome::End);
        }
        open.wanted_since.get_or_insert(turn.now);
        TakenBody::None(BodyOutcome::Pending)
    }

    /// The application asks for the body: a peer that waits for 100 (Continue) gets it, once.
    pub(super) fn let_continue<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        let Some(open) = &mut self.open else { return };
        if !std::mem::take(&mut open.expects) {
            return;
        }
        open.body_since = turn.now;
        open.body_byte_at = turn.now;
        // Bytes that are here show that the peer did not wait; after a head 100 is too late.
        if open.body.is_empty() && open.decoder.is_some() && matches!(open.answer, Answer::Waiting)
        {
            self.begin_writing(turn);
            encode_continue(&mut self.out);
        }
    }

    /// Decodes body bytes as far as there is room for them.
    pub(super) fn consume_body<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        data: &[u8],
    ) -> usize {
        let Some(open) = &mut self.open else { return 0 };
        if open.answer == Answer::Complete {
            return 0;
        }
        let Some(decoder) = &mut open.decoder else {
            return 0;
        };
        let room = self.config.body_read_ahead.saturating_sub(open.body.len());
        let before = open.body.len();
        let expected = decoder.remaining().unwrap_or(data.len() as u64);
        let expected = usize::try_from(expected).unwrap_or(room).min(room);
        let has_room = if open.body.capacity() == 0 {
            open.body = turn.exchanges.buffer();
            // Room for all that may come before it is taken, so that it never grows by copying.
            grow_exactly(&mut open.body, expected)
        } else {
            grow(&mut open.body, expected.min(data.len()))
        };
        if !has_room {
            self.starve(turn);
            return data.len();
        }
        let used = match decoder.decode(data, room, &mut open.body) {
            Ok(used) => used,
            Err(refusal) => {
                self.counters.refused_total.add(1);
                let code = format!("{refusal:?}");
                self.complain(turn, Ground::of(refusal, &code), b"");
                self.refuse(turn, 400, AbortReason::BodyMalformed);
                return data.len();
            }
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
            open.answer_by = open
                .answer_by
                .saturating_add(turn.now.saturating_sub(since));
            let id = open.id;
            turn.exchanges.push(Event::Chunk { id });
        }
        if open.received > open.body_limit {
            self.counters.refused_total.add(1);
            self.complain(turn, TOO_LARGE, b"");
            self.refuse(turn, 413, AbortReason::BodyTooLarge);
            return data.len();
        }
        used
    }
}
