//! Requests for which the application has no time: answered 503 before it hears of them.

use super::account::Ground;
use super::body::{BodyDecoder, TrailerLimits};
use super::connection::{Connection, Ending, Turn};
use super::encode::encode_own;
use super::head::{BodyFraming, Head, Version};
use super::routes::{is_below, is_path, target_at};
use crate::exchange::{AbortReason, Exchanges};
use crate::overload::{Rejection, Shed};

impl Connection {
    /// Whether a request is turned away. `target` is its own, as it was received.
    pub(super) fn is_turned_away<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        offset: usize,
        target_len: usize,
    ) -> Option<Rejection> {
        let rejection = turn.exchanges.verdict(self.server)?;
        (!self.is_exempt(turn, offset, target_len)).then_some(rejection)
    }

    /// Whether a request is taken and waited for, whatever else there is to do.
    pub(super) fn is_exempt<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        offset: usize,
        target_len: usize,
    ) -> bool {
        let target = target_at(turn.exchanges, offset, target_len);
        let mut exempt = self.config.shed_exempt.iter();
        let is_probe = |path: &Vec<u8>| is_path(target, path);
        exempt.any(|prefix| is_below(target, prefix))
            || self.config.health_probe.as_ref().is_some_and(is_probe)
    }

    /// Answers a request that was not taken. The connection is kept where the request ends in what is
    /// here. Returns how much of `data` is used.
    pub(super) fn turn_away<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        head: &Head,
        data: &[u8],
        rejection: Rejection,
    ) -> usize {
        self.end_gap(turn.now);
        let body = data.get(head.consumed..).unwrap_or_default();
        let end = self.end_of_body(head, body);
        let keep_alive = head.keep_alive && end.is_some() && self.goes_on(turn.now);
        let answer = Answer {
            is_head: head.is_head,
            version: head.version,
            keep_alive,
        };
        self.say_no(turn, answer, rejection);
        match end {
            Some(length) if keep_alive => head.consumed.saturating_add(length),
            _ => data.len(),
        }
    }

    /// A request that was taken has waited too long.
    pub(super) fn give_up<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        let rejection = turn.exchanges.reject(self.server);
        let goes_on = self.goes_on(turn.now);
        let Some(open) = &self.open else { return };
        let answer = Answer {
            is_head: open.is_head,
            version: open.version,
            keep_alive: open.keep_alive && goes_on && open.decoder.is_none(),
        };
        self.abort(turn, AbortReason::Overloaded);
        self.complain(turn, ground_of(rejection.shed), b"");
        self.say_no(turn, answer, rejection);
    }

    /// Milliseconds that the open request has been waiting.
    #[must_use]
    pub(crate) fn waiting_for(&self, now: u64) -> u64 {
        self.open
            .as_ref()
            .map_or(0, |open| now.saturating_sub(open.came_at))
    }

    /// When a request that waits for the application has waited too long.
    pub(super) fn queue_deadline(&self) -> u64 {
        let most = self.config.max_queue_wait;
        match &self.open {
            Some(open) if most > 0 && open.ticket > self.counters.delivered_total.get() => {
                open.came_at.saturating_add(most)
            }
            _ => u64::MAX,
        }
    }

    fn say_no<E: Exchanges>(
        &mut self,
        turn: &mut Turn<'_, E>,
        answer: Answer,
        rejection: Rejection,
    ) {
        let counters = &self.counters;
        let counter = match rejection.shed {
            Shed::QueueFull => &counters.shed_queue_full_total,
            Shed::QueueWait => &counters.shed_queue_wait_total,
            Shed::LoopDelay => &counters.shed_loop_delay_total,
        };
        counter.add(1);
        self.begin_writing(turn);
        answer.encode(&mut self.out, rejection.retry_after, turn.date);
        if answer.keep_alive {
            self.become_idle(turn.now);
        } else {
            self.leave(turn.now, Ending::Linger);
        }
    }

    /// Length of a body that ends in what is here.
    fn end_of_body(&self, head: &Head, data: &[u8]) -> Option<usize> {
        match head.framing {
            BodyFraming::None => Some(0),
            // The peer may or may not send it now.
            _ if head.expect_continue => None,
            BodyFraming::Length(length) => usize::try_from(length)
                .ok()
                .filter(|&length| length <= data.len()),
            BodyFraming::Chunked => {
                let limits = TrailerLimits::from(&*self.config);
                let mut decoder = BodyDecoder::new(head.framing, limits);
                let used = decoder.decode(data, data.len(), &mut Vec::new()).ok()?;
                decoder.is_done().then_some(used)
            }
        }
    }
}

/// What the log says of it.
pub(super) fn ground_of(shed: Shed) -> Ground<'static> {
    let (code, reason) = match shed {
        Shed::QueueFull => ("QueueFull", "maxQueue requests wait for the application"),
        Shed::QueueWait => (
            "QueueWait",
            "it waits for the application longer than maxQueueWait, or would",
        ),
        Shed::LoopDelay => (
            "LoopDelay",
            "every request has been waiting for the application for a while",
        ),
    };
    Ground {
        status: 503,
        code,
        reason,
    }
}

/// What of a request shapes its answer.
#[derive(Clone, Copy)]
struct Answer {
    is_head: bool,
    version: Version,
    keep_alive: bool,
}

impl Answer {
    fn encode(self, out: &mut Vec<u8>, retry_after: u64, date: &[u8; 29]) {
        let connection: &[u8] = match (self.keep_alive, self.version) {
            (false, _) => b"connection: close\r\n",
            (true, Version::Http10) => b"connection: keep-alive\r\n",
            (true, Version::Http11) => b"",
        };
        encode_own(out, (503, retry_after), self.is_head, connection, date);
    }
}
