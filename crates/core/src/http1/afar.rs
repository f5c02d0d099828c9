//! What a connection offers to a driver whose application lives on another thread.

use super::connection::{Connection, Phase, Turn};
use crate::exchange::{Exchanges, Id};

impl Connection {
    /// The exchange that the peer's end would abort now. `is_ahead`: the end was noticed ahead of bytes
    /// that were not read.
    #[must_use]
    pub fn aborted_by_end(&self, is_ahead: bool) -> Option<Id> {
        let open = self.open.as_ref()?;
        let is_wanted = is_ahead && self.config.allow_half_open && !self.body_is_complete();
        let is_aborted = self.phase == Phase::Exchange && !self.outlives_end() && !is_wanted;
        (is_aborted && open.is_reported).then_some(open.id)
    }

    /// Body bytes that have arrived, and whether they are the last: for an application that has not asked
    /// yet, so a peer that waits for 100 (Continue) goes on waiting. None when there is nothing to tell.
    pub fn take_arrived<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
    ) -> Option<(Vec<u8>, bool)> {
        let open = self.open.as_mut()?;
        let is_end = open.decoder.is_none();
        (is_end || !open.body.is_empty()).then(|| (open.take_bytes(turn.now), is_end))
    }

    /// The application waits for body bytes: its clock stands still, and a waiting peer is let continue.
    pub fn ask_for_body<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.let_continue(turn);
        if let Some(open) = &mut self.open
            && open.body.is_empty()
            && open.decoder.is_some()
        {
            open.wanted_since.get_or_insert(turn.now);
        }
    }

    /// The application waits for room. True if a `Drain` event will follow; else it has room already.
    pub fn wait_for_room(&mut self) -> bool {
        let is_full = self.pending() > self.config.stream_buffer / 2;
        match &mut self.open {
            Some(open) if is_full => {
                open.wants_drain = true;
                true
            }
            _ => false,
        }
    }
}
