//! What the application says, judged at once and queued for the thread that does it.

use super::batch::Command;
use super::remote::Remote;
use super::seen::State;
use crate::answers::Answers;
use crate::exchange::{BodyOutcome, ChunkOutcome, Id};
use crate::http1::encode::{AnswerBody, AnswerFraming};
use crate::http1::judge::{judge_head, judge_trailers};
use crate::http1::{AnswerFault, Reply, TakenBody};

impl Answers for Remote {
    fn respond(
        &mut self,
        id: Id,
        head: &Reply<'_>,
        body: &[u8],
        wants_done: bool,
    ) -> Result<(), AnswerFault> {
        let whole = AnswerBody::Whole(body.len() as u64);
        self.judge(id, head, whole)?;
        let command = Command::Respond {
            id,
            status: head.status,
            count: head.count,
            fields: head.fields.len(),
            body: body.len(),
            wants_done,
        };
        if !self.say(id, command, [head.fields, body]) {
            return Err(AnswerFault::Gone);
        }
        self.answered(id, wants_done);
        Ok(())
    }

    fn start(&mut self, id: Id, head: &Reply<'_>) -> Result<(), AnswerFault> {
        let framing = self.judge(id, head, AnswerBody::Stream)?;
        let command = Command::Start {
            id,
            status: head.status,
            count: head.count,
            fields: head.fields.len(),
        };
        if !self.say(id, command, [head.fields, b""]) {
            return Err(AnswerFault::Gone);
        }
        if let Some(seen) = self.find(id) {
            seen.state = State::Streaming(framing);
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        id: Id,
        data: &[u8],
        is_last: bool,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault> {
        let Some(seen) = self.find(id) else {
            return Ok(ChunkOutcome::Gone);
        };
        let State::Streaming(framing) = &mut seen.state else {
            return Ok(ChunkOutcome::Gone);
        };
        let mut is_short = false;
        let data = match framing {
            AnswerFraming::Length(owed) => {
                *owed = owed
                    .checked_sub(data.len() as u64)
                    .ok_or(AnswerFault::BodyTooLong)?;
                is_short = is_last && *owed > 0;
                data
            }
            AnswerFraming::NoBody => &[],
            AnswerFraming::Chunked | AnswerFraming::UntilClose => data,
        };
        let is_full = seen.hand_over(data.len());
        let command = Command::Chunk {
            id,
            data: data.len(),
            is_last,
            wants_done,
            is_waiting: is_full && !is_last,
        };
        if !self.say(id, command, [data, b""]) {
            // Its end is what it hears of next.
            if let Some(seen) = self.find(id) {
                seen.wants_room = false;
            }
            return Ok(ChunkOutcome::Gone);
        }
        if is_last {
            self.answered(id, wants_done && !is_short);
        }
        Ok(match (is_short, is_last, is_full) {
            (true, ..) => ChunkOutcome::Short,
            (false, false, true) => ChunkOutcome::Full,
            _ => ChunkOutcome::Room,
        })
    }

    fn end(&mut self, id: Id, wants_done: bool) -> ChunkOutcome {
        let Some(State::Streaming(framing)) = self.find(id).map(|seen| seen.state) else {
            return ChunkOutcome::Gone;
        };
        let is_short = matches!(framing, AnswerFraming::Length(1..));
        self.order(id, Command::End { id, wants_done });
        self.answered(id, wants_done && !is_short);
        if is_short {
            ChunkOutcome::Short
        } else {
            ChunkOutcome::Room
        }
    }

    fn end_with_trailers(
        &mut self,
        id: Id,
        trailers: &[u8],
        count: usize,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault> {
        let Some(State::Streaming(framing)) = self.find(id).map(|seen| seen.state) else {
            return Err(AnswerFault::Gone);
        };
        judge_trailers(trailers, count).map_err(AnswerFault::Head)?;
        if framing != AnswerFraming::Chunked {
            return Ok(self.end(id, wants_done));
        }
        let command = Command::EndWithTrailers {
            id,
            count,
            fields: trailers.len(),
            wants_done,
        };
        if !self.say(id, command, [trailers, b""]) {
            return Err(AnswerFault::Gone);
        }
        self.answered(id, wants_done);
        Ok(ChunkOutcome::Room)
    }

    fn reset(&mut self, id: Id) -> bool {
        if self.find(id).is_none_or(|seen| seen.state == State::Over) {
            return false;
        }
        self.order(id, Command::Reset { id });
        self.close_exchange(id, State::Over);
        true
    }

    fn take_body(&mut self, id: Id) -> TakenBody {
        let Some(seen) = self.open(id) else {
            return TakenBody::None(BodyOutcome::Gone);
        };
        if !seen.body.is_empty() {
            return TakenBody::Bytes(std::mem::take(&mut seen.body));
        }
        if seen.body_ended {
            return TakenBody::None(BodyOutcome::End);
        }
        if !std::mem::replace(&mut seen.has_asked, true) {
            self.order(id, Command::Want { id });
        }
        TakenBody::None(BodyOutcome::Pending)
    }

    /// Bodies are collected on this thread and freed on it.
    fn recycle(&mut self, _buffer: Vec<u8>) {}

    fn fail(&mut self, id: Id) {
        if self.open(id).is_some() {
            self.order(id, Command::Fail { id });
        }
    }

    fn extend(&mut self, id: Id, milliseconds: u64) -> bool {
        let is_open = self.open(id).is_some();
        if is_open {
            self.order(id, Command::Extend { id, milliseconds });
        }
        is_open
    }
}

impl Remote {
    /// The framing of an answer that has no head yet.
    fn judge(
        &mut self,
        id: Id,
        head: &Reply<'_>,
        body: AnswerBody,
    ) -> Result<AnswerFraming, AnswerFault> {
        let seen = self.find(id).ok_or(AnswerFault::Gone)?;
        if seen.state != State::Waiting {
            return Err(AnswerFault::Gone);
        }
        judge_head(head, body, seen.asked).map_err(AnswerFault::Head)
    }

    /// The application has given everything.
    fn answered(&mut self, id: Id, wants_done: bool) {
        let state = if wants_done {
            State::Leaving
        } else {
            State::Over
        };
        self.close_exchange(id, state);
    }
}
