//! The response side of a connection: what the application hands over, framed and checked.

use super::connection::{Connection, Ending, Turn};
use super::encode::{
    AnswerBody, AnswerFraming, AnswerHead, HeadFault, OWN_BYTES, encode_chunk, encode_head,
    encode_last_chunk, encode_trailers,
};
use super::field_lines::room_for;
use crate::exchange::{AbortReason, ChunkOutcome, Event, Exchanges};
use crate::growth::{grow, grow_exactly};

/// How far the answer of an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// No head was given.
    Waiting,
    /// The head was given; body bytes follow in this framing.
    Streaming(AnswerFraming),
    /// Everything was given; the exchange stays open until it was handed to the kernel.
    Complete,
}

/// Why an answer was not taken. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// More bytes than content-length promised.
    BodyTooLong,
    /// The exchange is over, or its head was given before.
    Gone,
    /// The head is not acceptable.
    Head(HeadFault),
}

impl Connection {
    /// The whole answer at once.
    ///
    /// # Errors
    /// A bad head, a content-length that does not match, or an exchange that is over.
    pub fn respond<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        reply: &Reply<'_>,
        body: &[u8],
        wants_done: bool,
    ) -> Result<(), AnswerFault> {
        let framing = self.encode_answer(turn, reply, AnswerBody::Whole(body.len() as u64))?;
        if framing != AnswerFraming::NoBody {
            self.out.extend_from_slice(body);
            if let Some(open) = &mut self.open {
                open.note_sent(body.len());
            }
        }
        self.finish(turn, wants_done);
        Ok(())
    }

    /// The head of a streamed answer.
    ///
    /// # Errors
    /// A bad head, or an exchange that is over.
    pub fn start<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        reply: &Reply<'_>,
    ) -> Result<(), AnswerFault> {
        let framing = self.encode_answer(turn, reply, AnswerBody::Stream)?;
        let allowance = self.config.response_idle_timeout;
        if let Some(open) = &mut self.open {
            open.answer = Answer::Streaming(framing);
            open.allowance = allowance;
            open.answer_by = turn.now.saturating_add(allowance);
        }
        Ok(())
    }

    /// A piece of a streamed answer.
    ///
    /// # Errors
    /// More bytes than content-length promised.
    pub fn chunk<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        data: &[u8],
        is_last: bool,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault> {
        self.begin_writing(turn);
        let stream_buffer = self.config.stream_buffer;
        let Some(open) = &mut self.open else {
            return Ok(ChunkOutcome::Gone);
        };
        let Answer::Streaming(framing) = &mut open.answer else {
            return Ok(ChunkOutcome::Gone);
        };
        open.answer_by = turn.now.saturating_add(open.allowance);
        if !make_room(&mut self.out, data.len(), stream_buffer) {
            self.fail(turn);
            return Ok(ChunkOutcome::Gone);
        }
        match framing {
            AnswerFraming::Chunked if data.is_empty() => {}
            AnswerFraming::Chunked => encode_chunk(&mut self.out, data),
            AnswerFraming::Length(owed) => {
                *owed = owed
                    .checked_sub(data.len() as u64)
                    .ok_or(AnswerFault::BodyTooLong)?;
                self.out.extend_from_slice(data);
            }
            AnswerFraming::NoBody => {}
            AnswerFraming::UntilClose => self.out.extend_from_slice(data),
        }
        if *framing != AnswerFraming::NoBody {
            open.note_sent(data.len());
        }
        if is_last {
            return Ok(self.end(turn, wants_done));
        }
        let is_full = has_no_room(
            self.pending() as u64,
            data.len() as u64,
            stream_buffer as u64,
        );
        if let Some(open) = &mut self.open {
            // Who was told to wait before is still waiting, although there is room by now.
            open.wants_drain |= is_full;
        }
        Ok(if is_full {
            ChunkOutcome::Full
        } else {
            ChunkOutcome::Room
        })
    }

    /// The end of a streamed answer. A body that is too short cuts the connection.
    pub fn end<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, wants_done: bool) -> ChunkOutcome {
        self.begin_writing(turn);
        let Some(open) = &mut self.open else {
            return ChunkOutcome::Gone;
        };
        let Answer::Streaming(framing) = open.answer else {
            return ChunkOutcome::Gone;
        };
        match framing {
            AnswerFraming::Chunked => encode_last_chunk(&mut self.out),
            AnswerFraming::Length(0) | AnswerFraming::NoBody => {}
            AnswerFraming::Length(_) => {
                self.reset(turn);
                return ChunkOutcome::Short;
            }
            AnswerFraming::UntilClose => open.keep_alive = false,
        }
        self.finish(turn, wants_done);
        ChunkOutcome::Room
    }

    /// The end of a streamed answer with trailer fields, `name:value\n` repeated. An answer that is not
    /// chunked has no place for them: they are checked all the same, and dropped.
    ///
    /// # Errors
    /// A bad field, or an exchange that is over or was not started; nothing was written then.
    pub fn end_with_trailers<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        trailers: &[u8],
        count: usize,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault> {
        self.begin_writing(turn);
        let Some(Answer::Streaming(framing)) = self.open.as_ref().map(|open| open.answer) else {
            return Err(AnswerFault::Gone);
        };
        let start = self.out.len();
        if !grow(
            &mut self.out,
            room_for(trailers, count).saturating_add(OWN_BYTES),
        ) {
            self.fail(turn);
            return Err(AnswerFault::Gone);
        }
        encode_trailers(&mut self.out, trailers, count).map_err(AnswerFault::Head)?;
        if framing == AnswerFraming::Chunked {
            self.finish(turn, wants_done);
            Ok(ChunkOutcome::Room)
        } else {
            self.out.truncate(start);
            Ok(self.end(turn, wants_done))
        }
    }

    /// Cuts the answer so that it never looks complete; false when the exchange is over.
    pub fn reset<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) -> bool {
        let Some(mut open) = self.open.take() else {
            return false;
        };
        open.note_abort(AbortReason::PeerGone);
        self.note_silent_cut(turn, &open);
        // A missing last chunk or missing bytes show the cut; without such framing only a reset does.
        let shows = matches!(
            open.answer,
            Answer::Streaming(AnswerFraming::Chunked | AnswerFraming::Length(1..))
        );
        self.forget(turn, open);
        self.leave(turn.now, if shows { Ending::Close } else { Ending::Reset });
        true
    }

    /// What follows from bytes having left: answers handed over, room for more, the next request.
    pub(super) fn after_writing<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        let pending = self.pending();
        let Some(open) = &mut self.open else { return };
        if open.wants_drain && pending <= self.config.stream_buffer / 2 {
            open.wants_drain = false;
            // The application was waiting for the peer: its own clock starts now.
            open.answer_by = turn.now.saturating_add(open.allowance);
            turn.exchanges.push(Event::Drain { id: open.id });
        }
        if open.answer == Answer::Complete && pending == 0 {
            let id = open.id;
            self.close_exchange(turn);
            turn.exchanges.push(Event::Done { id });
        }
    }

    fn encode_answer<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        reply: &Reply<'_>,
        body: AnswerBody,
    ) -> Result<AnswerFraming, AnswerFault> {
        let goes_on = self.goes_on(turn.now);
        self.begin_writing(turn);
        let Some(open) = &mut self.open else {
            return Err(AnswerFault::Gone);
        };
        if open.answer != Answer::Waiting {
            return Err(AnswerFault::Gone);
        }
        // A whole answer ahead of its request's body ends the connection: what is left of the body
        // is never parsed as a request. A streamed answer may still read it.
        let is_early = open.decoder.is_some() && matches!(body, AnswerBody::Whole(_));
        let head = AnswerHead {
            status: reply.status,
            headers: reply.fields,
            count: reply.count,
            body,
            is_head: open.is_head,
            version: open.version,
            keep_alive: open.keep_alive && goes_on && !is_early,
            date: turn.date,
            server: &self.config.server_header,
        };
        let size = match body {
            AnswerBody::Whole(length) if !open.is_head => {
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            AnswerBody::Whole(_) | AnswerBody::Stream => 0,
        };
        let size = room_for(reply.fields, reply.count).saturating_add(size);
        if !grow(&mut self.out, size.saturating_add(OWN_BYTES)) {
            self.fail(turn);
            return Err(AnswerFault::Gone);
        }
        let plan = encode_head(&mut self.out, &head).map_err(AnswerFault::Head)?;
        open.keep_alive = plan.keep_alive;
        Self::note_answer(turn, self.server, open, (reply.status, reply.fields));
        Ok(plan.framing)
    }

    /// The application has given everything.
    fn finish<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, wants_done: bool) {
        if wants_done && let Some(open) = &mut self.open {
            open.wants_done = true;
            open.answer = Answer::Complete;
            open.answer_by = u64::MAX;
            // Where nothing waits, no write follows that could tell.
            return self.after_writing(turn);
        }
        self.close_exchange(turn);
    }

    /// Frees the exchange and goes on to the next request or to the end of the connection.
    fn close_exchange<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        let goes_on = self.goes_on(turn.now);
        let Some(open) = self.open.take() else { return };
        let is_unread = open.decoder.is_some();
        let keep_alive = open.keep_alive && goes_on && !is_unread;
        self.forget(turn, open);
        if self.pending() == 0 {
            turn.exchanges.recycle(std::mem::take(&mut self.out));
        }
        if keep_alive {
            self.become_idle(turn.now);
        } else if is_unread || self.has_input() {
            self.leave(turn.now, Ending::Linger);
        } else {
            self.leave(turn.now, Ending::Close);
        }
    }
}

/// Grows a buffer as a vector does, but not beyond what it may hold: a peer that does not read would cost
/// twice as much. False if there is no memory.
fn make_room(out: &mut Vec<u8>, more: usize, most: usize) -> bool {
    let needed = out.len().saturating_add(more).saturating_add(CHUNK_FRAME);
    if needed <= out.capacity() {
        return true;
    }
    let doubled = out.capacity().saturating_mul(2).min(most);
    grow_exactly(out, needed.max(doubled).saturating_sub(out.len()))
}

/// Whether the application has to wait before its next piece: one like the last would not fit, and what is here
/// is enough to be told when it has left. A quarter stays free for what else belongs to a stream that stalls, so
/// that the limit is what such a stream costs, and not a part of it.
pub(crate) fn has_no_room(pending: u64, last: u64, most: u64) -> bool {
    pending > most / 2 && pending.saturating_add(last) > most.saturating_sub(most / 4)
}

/// Bytes around the data of a chunk, at most.
const CHUNK_FRAME: usize = 32;

/// The head of an answer as the application gave it.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// 200 to 999.
    pub status: u16,
    /// `name:value\n` repeated, Latin-1.
    pub fields: &'a [u8],
    /// Number of fields.
    pub count: usize,
}
