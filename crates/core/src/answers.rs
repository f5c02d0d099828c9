//! What the application says to an open exchange, by its id: the same whoever owns the socket.

use crate::exchange::{ChunkOutcome, Id};
use crate::http1::{AnswerFault, Reply, TakenBody};

/// The commands of the application. A stale id is a no-op that says so.
pub trait Answers {
    /// The whole answer at once.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    fn respond(
        &mut self,
        id: Id,
        head: &Reply<'_>,
        body: &[u8],
        wants_done: bool,
    ) -> Result<(), AnswerFault>;

    /// The head of a streamed answer.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    fn start(&mut self, id: Id, head: &Reply<'_>) -> Result<(), AnswerFault>;

    /// A piece of a streamed answer.
    ///
    /// # Errors
    /// More bytes than content-length promised.
    fn chunk(
        &mut self,
        id: Id,
        data: &[u8],
        is_last: bool,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault>;

    /// The end of a streamed answer.
    fn end(&mut self, id: Id, wants_done: bool) -> ChunkOutcome;

    /// The end of a streamed answer with trailer fields.
    ///
    /// # Errors
    /// See `AnswerFault`; nothing was written then.
    fn end_with_trailers(
        &mut self,
        id: Id,
        trailers: &[u8],
        count: usize,
        wants_done: bool,
    ) -> Result<ChunkOutcome, AnswerFault>;

    /// Cuts an exchange; false for a stale id.
    fn reset(&mut self, id: Id) -> bool;

    /// Body bytes of an exchange.
    fn take_body(&mut self, id: Id) -> TakenBody;

    /// Gives a body's buffer back.
    fn recycle(&mut self, buffer: Vec<u8>);

    /// Ends an exchange with 500, or cuts it after its head, for a fault of our own.
    fn fail(&mut self, id: Id);

    /// More time for the application; false for a stale id.
    fn extend(&mut self, id: Id, milliseconds: u64) -> bool;
}
