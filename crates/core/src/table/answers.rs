//! Commands of the application, by the id of an exchange. A stale id is a no-op that says so.

use super::Table;
use crate::exchange::{BodyOutcome, ChunkOutcome, Exchanges, Id};
use crate::http1::{AnswerFault, Connection, Reply, TakenBody};

impl Table {
    /// The whole answer at once.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    pub fn respond(
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

    /// The head of a streamed answer.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    pub fn start(&mut self, id: Id, head: &Reply<'_>) -> Result<(), AnswerFault> {
        self.answer(id, |connection, turn| connection.start(turn, head))
            .unwrap_or(Err(AnswerFault::Gone))
    }

    /// A piece of a streamed answer.
    ///
    /// # Errors
    /// More bytes than content-length promised.
    pub fn chunk(
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

    /// The end of a streamed answer.
    pub fn end(&mut self, id: Id, wants_done: bool) -> ChunkOutcome {
        self.answer(id, |connection, turn| connection.end(turn, wants_done))
            .unwrap_or(ChunkOutcome::Gone)
    }

    /// The end of a streamed answer with trailer fields.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    pub fn end_with_trailers(
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

    /// Cuts an exchange; false for a stale id.
    pub fn reset(&mut self, id: Id) -> bool {
        self.answer(id, Connection::reset).unwrap_or(false)
    }

    /// Body bytes of an exchange.
    pub fn take_body(&mut self, id: Id) -> TakenBody {
        self.answer(id, Connection::take_body)
            .unwrap_or(TakenBody::None(BodyOutcome::Gone))
    }

    /// Gives a body's buffer back.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.rooms.recycle(buffer);
    }

    /// Ends an exchange with 500, or cuts it after its head, for a fault of our own.
    pub fn fail(&mut self, id: Id) {
        self.answer(id, Connection::fail);
    }

    /// More time for the application; false for a stale id.
    pub fn extend(&mut self, id: Id, milliseconds: u64) -> bool {
        self.answer(id, |connection, turn| {
            connection.extend(turn.now, milliseconds)
        })
        .unwrap_or(false)
    }
}
