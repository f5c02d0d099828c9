//! Commands of the application, by the id of an exchange.

use super::Table;
use crate::answers::Answers;
use crate::exchange::{BodyOutcome, ChunkOutcome, Exchanges, Id};
use crate::http1::{AnswerFault, Connection, Reply, TakenBody};

impl Answers for Table {
    fn respond(
        &mut self,
        id: Id,
        head: &Reply<'_>,
        body: &[u8],
        wants_done: bool,
    ) -> Result<(), AnswerFault> {
        self.answer(id, |connection, turn| {
            connection.respond(turn, head, body, wants_done)
        })
        .unwrap_or(Err(AnswerFault::Gone))
    }

    fn start(&mut self, id: Id, head: &Reply<'_>) -> Result<(), AnswerFault> {
        self.answer(id, |connection, turn| connection.start(turn, head))
            .unwrap_or(Err(AnswerFault::Gone))
    }

    fn chunk(
        &mut self,
        id: Id,
        data: &[u8],
        is_last: bool,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault> {
        self.answer(id, |connection, turn| {
            connection.chunk(turn, data, is_last, wants_done)
        })
        .unwrap_or(Ok(ChunkOutcome::Gone))
    }

    fn end(&mut self, id: Id, wants_done: bool) -> ChunkOutcome {
        self.answer(id, |connection, turn| connection.end(turn, wants_done))
            .unwrap_or(ChunkOutcome::Gone)
    }

    fn end_with_trailers(
        &mut self,
        id: Id,
        trailers: &[u8],
        count: usize,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault> {
        self.answer(id, |connection, turn| {
            connection.end_with_trailers(turn, trailers, count, wants_done)
        })
        .unwrap_or(Err(AnswerFault::Gone))
    }

    fn reset(&mut self, id: Id) -> bool {
        self.answer(id, Connection::reset).unwrap_or(false)
    }

    fn take_body(&mut self, id: Id) -> TakenBody {
        self.answer(id, Connection::take_body)
            .unwrap_or(TakenBody::None(BodyOutcome::Gone))
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        self.rooms.recycle(buffer);
    }

    fn fail(&mut self, id: Id) {
        self.answer(id, Connection::fail);
    }

    fn extend(&mut self, id: Id, milliseconds: u64) -> bool {
        self.answer(id, |connection, turn| {
            connection.extend(turn.now, milliseconds)
        })
        .unwrap_or(false)
    }
}
