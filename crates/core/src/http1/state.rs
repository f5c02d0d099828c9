//! Where a connection stands, for the tests that ask whether each such state ends by itself.

use super::answer::Answer;
use super::connection::{Connection, Ending, Phase};
use super::encode::AnswerFraming;

/// What of a connection decides which deadline it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one connection"
)]
pub(crate) struct State {
    pub(crate) phase: &'static str,
    pub(crate) answer: &'static str,
    pub(crate) body: &'static str,
    pub(crate) waits: &'static str,
    out: &'static str,
    /// The application may take for ever.
    is_timeless: bool,
    keeps_alive: bool,
    has_input: bool,
    is_half_closed: bool,
    is_hung_up: bool,
    is_draining: bool,
}

impl Connection {
    /// Where it stands.
    pub(crate) fn state(&self) -> State {
        let open = self.open.as_ref();
        let pending = self.pending();
        let room = self.config.stream_buffer;
        State {
            phase: match (self.phase, self.ending) {
                (Phase::FirstByte, _) => "first byte",
                (Phase::Idle, _) => "idle",
                (Phase::Head, _) => "head",
                (Phase::Exchange, _) => "exchange",
                (Phase::Flush, Ending::Close) => "flush, then close",
                (Phase::Flush, Ending::Linger) => "flush, then linger",
                (Phase::Flush, Ending::Reset) => "reset",
                (Phase::Linger, _) => "linger",
            },
            answer: match open.map(|open| open.answer) {
                None => "",
                Some(Answer::Waiting) => "no head",
                Some(Answer::Streaming(AnswerFraming::Chunked)) => "chunked",
                Some(Answer::Streaming(AnswerFraming::Length(_))) => "length",
                Some(Answer::Streaming(AnswerFraming::NoBody)) => "no body",
                Some(Answer::Streaming(AnswerFraming::UntilClose)) => "until close",
                Some(Answer::Complete) => "complete",
            },
            body: match open {
                Some(open) if open.decoder.is_some() && open.expects => "held back",
                Some(open) if open.full_since.is_some() => "full",
                Some(open) if open.decoder.is_some() => "owed",
                _ => "",
            },
            waits: match open {
                Some(open) if open.wanted_since.is_some() => "for bytes",
                Some(open) if open.wants_drain => "for room",
                _ => "",
            },
            out: match pending {
                0 => "nothing",
                some if some <= room / 2 => "little",
                some if some < room => "much",
                _ => "all",
            },
            is_timeless: open.is_some_and(|open| open.allowance == 0),
            keeps_alive: open.is_some_and(|open| open.keep_alive),
            has_input: self.has_input(),
            is_half_closed: self.ended,
            is_hung_up: self.hung_up,
            is_draining: self.draining,
        }
    }
}

impl State {
    /// Whether it may last for ever: everything depends on the application alone, which was given all the
    /// time it wants.
    pub(crate) fn may_last(&self) -> bool {
        self.phase == "exchange"
            && self.answer != "complete"
            && self.is_timeless
            && self.out == "nothing"
            && self.body != "owed"
    }

    /// Whether its driver ends it in the same step.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == "reset" || self.phase.starts_with("flush") && self.out == "nothing"
    }
}
