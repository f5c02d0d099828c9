//! The deadlines of a connection: every state owns one.

use super::account::Ground;
use super::answer::Answer;
use super::connection::{Connection, Ending, Phase, Turn};
use super::request::Open;
use crate::config::{BODY_RATE_GRACE, LINGER, ServerConfig};
use crate::exchange::{AbortReason, Exchanges};

/// No deadline.
const NEVER: u64 = u64::MAX;

impl Connection {
    /// When the present state is over, in milliseconds; `u64::MAX` where the user turned it off.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        let config = &self.config;
        let state = match self.phase {
            Phase::FirstByte => after(self.since, config.first_byte_timeout),
            Phase::Idle => after(self.since, config.keep_alive),
            Phase::Head => after(self.since, config.head_timeout),
            Phase::Exchange => self.open.as_ref().map_or(NEVER, |open| {
                let application = open.application_deadline().min(self.queue_deadline());
                application.min(open.body_deadline(config))
            }),
            Phase::Flush => NEVER,
            Phase::Linger => after(self.since, LINGER),
        };
        let awaited = if self.is_awaited() {
            self.expected_until()
        } else {
            NEVER
        };
        state.min(awaited).min(self.write_deadline())
    }

    /// Whether the peer, and not the application, is what the present deadline waits for.
    ///
    /// Its bytes may already lie in the kernel after a long turn of JavaScript, so such a deadline
    /// expires only after one more read.
    #[must_use]
    pub fn waits_for_peer(&self) -> bool {
        match self.phase {
            Phase::Exchange => self.open.as_ref().is_some_and(|open| {
                let application = open.application_deadline().min(self.queue_deadline());
                open.body_deadline(&self.config) <= application
            }),
            _ => true,
        }
    }

    /// The deadline has passed: does what `http.md` section 2 says for the state.
    pub fn on_deadline<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        if self.deadline() > turn.now {
            return;
        }
        if self.queue_deadline() <= turn.now {
            return self.give_up(turn);
        }
        // An awaited request that does not come is nobody's fault.
        self.counters
            .timeouts_total
            .add(u64::from(!self.is_awaited()));
        if self.write_deadline() <= turn.now {
            return self.cut(turn, AbortReason::WriteStalled);
        }
        let config = &self.config;
        let Some(open) = &self.open else {
            return self.leave(turn.now, Ending::Close);
        };
        let is_body = open.body_deadline(config) <= turn.now;
        if open.answer == Answer::Waiting {
            let (status, code, reason) = if is_body {
                (408, "BodyTimeout", "the body came too slowly")
            } else {
                let reason = "the application did not answer within requestTimeout";
                (504, "RequestTimeout", reason)
            };
            let ground = Ground {
                status,
                code,
                reason,
            };
            self.complain(turn, ground, b"");
        }
        let Some(open) = &self.open else { return };
        match (open.answer, is_body) {
            (Answer::Waiting, true) => self.refuse(turn, 408, AbortReason::BodyTimeout),
            (Answer::Waiting, false) => self.refuse(turn, 504, AbortReason::RequestTimeout),
            (_, true) => self.cut(turn, AbortReason::BodyTimeout),
            (_, false) => self.cut(turn, AbortReason::ResponseIdle),
        }
    }

    /// Gives the application so many milliseconds from now, for ever if 0; false when the exchange is over.
    pub fn extend(&mut self, now: u64, milliseconds: u64) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        open.allowance = milliseconds;
        open.answer_by = now.saturating_add(milliseconds);
        true
    }

    fn write_deadline(&self) -> u64 {
        if self.pending() == 0 {
            NEVER
        } else {
            after(self.progress, self.config.write_timeout)
        }
    }
}

impl Open {
    /// The clock of the application stands still while it waits for the peer's bytes or for room.
    fn application_deadline(&self) -> u64 {
        if self.allowance == 0
            || self.wanted_since.is_some()
            || self.wants_drain
            || self.answer == Answer::Complete
        {
            NEVER
        } else {
            self.answer_by
        }
    }

    /// The peer owes body bytes while there is room for them.
    fn body_deadline(&self, config: &ServerConfig) -> u64 {
        // A peer that waits for 100 (Continue) owes nothing yet, nor does one whose answer is complete.
        if self.decoder.is_none()
            || self.full_since.is_some()
            || self.expects
            || self.answer == Answer::Complete
        {
            return NEVER;
        }
        let idle = after(self.body_byte_at, config.body_idle_timeout);
        if config.body_min_rate == 0 {
            return idle;
        }
        // The moment at which the average falls below the rate if nothing more comes.
        let earned = self
            .received
            .saturating_mul(1_000)
            .checked_div(config.body_min_rate)
            .unwrap_or(0);
        idle.min(self.body_since.saturating_add(earned.max(BODY_RATE_GRACE)))
    }
}

fn after(start: u64, milliseconds: u64) -> u64 {
    if milliseconds == 0 {
        NEVER
    } else {
        start.saturating_add(milliseconds)
    }
}
