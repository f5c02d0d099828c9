//! How an exchange ends without an answer of the application, and how its connection ends with it.

use super::account::Ground;
use super::answer::Answer;
use super::connection::{Connection, Ending, Phase, Turn};
use super::encode::encode_refusal;
use super::request::Open;
use crate::exchange::{AbortReason, Event, Exchanges};

impl Connection {
    /// A fault of our own: 500 where no head was sent, a cut after that.
    pub fn fail<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.refuse(turn, 500, AbortReason::Internal);
    }

    /// There is no memory for what the peer has sent: 503 where the application has not heard of the request.
    #[cold]
    pub(super) fn starve<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        let has_heard = self
            .open
            .as_ref()
            .is_some_and(|open| open.is_reported && !turn.exchanges.is_untold(open.id));
        if has_heard {
            self.fail(turn);
        } else {
            self.turn_down(turn);
        }
    }

    /// The same for a request of which the application has not heard.
    #[cold]
    pub(crate) fn turn_down<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.counters.refused_total.add(1);
        self.complain(turn, NO_MEMORY, b"");
        self.refuse(turn, NO_MEMORY.status, AbortReason::Overloaded);
    }

    /// Ends the connection now, whatever it does.
    pub fn cut<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, reason: AbortReason) {
        self.abort(turn, reason);
        self.leave(turn.now, Ending::Reset);
    }

    /// Ends the exchange without an answer of the application and reports it.
    pub(super) fn abort<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, reason: AbortReason) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        open.note_abort(reason);
        if reason != AbortReason::PeerGone {
            self.note_silent_cut(turn, &open);
        }
        let (id, is_reported) = (open.id, open.is_reported);
        if open.ticket > self.counters.delivered_total.get() {
            turn.exchanges.unread(self.server, open.ticket);
        }
        self.forget(turn, open);
        if is_reported {
            self.counters.aborted_total.add(1);
            turn.exchanges.push(Event::Abort { id, reason });
        }
    }

    /// Answers the peer instead of the application, or cuts where a head has left already.
    pub(super) fn refuse<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        status: u16,
        reason: AbortReason,
    ) {
        let is_head = self.open.as_ref().is_some_and(|open| open.is_head);
        let head_left = self
            .open
            .as_ref()
            .is_some_and(|open| !matches!(open.answer, Answer::Waiting));
        self.abort(turn, reason);
        if head_left {
            self.leave(turn.now, Ending::Reset);
            return;
        }
        self.answer_refusal(turn, status, is_head);
    }

    /// The server's own answer to a request of which the application never hears.
    pub(super) fn answer_refusal<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        status: u16,
        is_head: bool,
    ) {
        self.begin_writing(turn);
        encode_refusal(&mut self.out, status, is_head, turn.date);
        self.leave(turn.now, Ending::Linger);
    }

    /// Leaves towards the end of the connection once the last bytes are out. A peer that has closed its side
    /// sends nothing more that would have to be discarded, and lingering would wait for an end that was seen.
    pub(super) fn leave(&mut self, now: u64, ending: Ending) {
        self.phase = Phase::Flush;
        self.since = now;
        self.ending = match ending {
            Ending::Linger if self.ended => Ending::Close,
            ending => ending,
        };
        self.input = Vec::new();
        self.input_at = 0;
        if ending == Ending::Reset {
            self.out = Vec::new();
            self.sent = 0;
        }
    }

    pub(super) fn forget<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, mut open: Open) {
        self.end_note(turn, &mut open);
        turn.exchanges.close(open.id);
        self.counters.requests.subtract(1);
        if open.decoder.is_some() {
            self.counters.bodies.subtract(1);
        }
        turn.exchanges.recycle(open.body);
    }
}

const NO_MEMORY: Ground<'static> = Ground {
    status: 503,
    code: "NoMemory",
    reason: "there is no memory for what its client has sent",
};
