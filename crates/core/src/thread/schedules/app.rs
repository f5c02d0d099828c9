//! The application's account of its exchanges: what it was told, what it said, and what must be true then.

use std::collections::BTreeMap;

use crate::answers::Answers;
use crate::exchange::{BodyOutcome, ChunkOutcome, Id, Notice};
use crate::fail;
use crate::http1::{AnswerFault, Reply, TakenBody};
use crate::thread::remote::Remote;

/// What an application may say.
#[derive(Clone, Debug)]
pub(super) enum Say {
    Respond { wants_done: bool },
    Start,
    Chunk { len: usize, is_last: bool },
    End { wants_done: bool },
    Reset,
    Fail,
    TakeBody,
    Extend,
}

/// How far an exchange is, as the application knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Streaming,
    /// Everything was given; a `Done` or an `Abort` follows.
    Leaving,
    /// A fault was reported: a cut or a 500 follows.
    Failing,
    Over,
}

#[derive(Debug)]
struct Exchange {
    token: usize,
    phase: Phase,
    waits_for_room: bool,
    waits_for_body: bool,
    body: usize,
    /// How much its client sends.
    body_length: usize,
    has_body_end: bool,
}

/// Every exchange that there ever was.
#[derive(Default)]
pub(super) struct App {
    exchanges: BTreeMap<u64, (Id, Exchange)>,
    delivered: u64,
    /// Length of the body of each request, by its token.
    lengths: Vec<usize>,
}

const HEAD: Reply<'_> = Reply {
    status: 200,
    fields: b"",
    count: 0,
};

impl App {
    /// A client sends the next request, with a body of that length.
    pub(super) fn expect(&mut self, body_length: usize) {
        self.lengths.push(body_length);
    }

    pub(super) fn on_request(&mut self, id: Id, target: &[u8]) {
        let token: usize = std::str::from_utf8(target).unwrap()[1..].parse().unwrap();
        let is_known = self.exchanges.values().any(|(known, _)| *known == id);
        assert!(!is_known, "{id:?} is used twice");
        let exchange = Exchange {
            token,
            phase: Phase::Waiting,
            waits_for_room: false,
            waits_for_body: false,
            body: 0,
            body_length: self.lengths[token],
            has_body_end: false,
        };
        self.exchanges.insert(self.delivered, (id, exchange));
        self.delivered += 1;
    }

    pub(super) fn on_notice(&mut self, id: Id, kind: Notice) {
        let found = self.exchanges.values_mut().find(|(known, _)| *known == id);
        let (_, exchange) = found.expect("news of an exchange that was never told");
        assert_ne!(
            exchange.phase,
            Phase::Over,
            "{kind:?} after the end of {exchange:?}"
        );
        match kind {
            Notice::Chunk => exchange.waits_for_body = false,
            Notice::Drain => {
                assert!(
                    exchange.waits_for_room,
                    "room for {exchange:?}, which did not wait"
                );
                exchange.waits_for_room = false;
            }
            Notice::Done => {
                assert_eq!(exchange.phase, Phase::Leaving);
                exchange.phase = Phase::Over;
            }
            Notice::Abort => exchange.phase = Phase::Over,
        }
    }

    /// Says something to one of the exchanges that are open.
    pub(super) fn say(&mut self, remote: &mut Remote, choice: usize, say: &Say) {
        let is_open = |exchange: &Exchange| exchange.phase != Phase::Over;
        if let Some((id, exchange)) = choose(&mut self.exchanges, choice, is_open) {
            speak(remote, id, exchange, say);
        }
    }

    /// Says something to one that is over: nobody hears it, and the application is told so.
    pub(super) fn say_late(&mut self, remote: &mut Remote, choice: usize, say: &Say) {
        let is_over = |exchange: &Exchange| exchange.phase == Phase::Over;
        if let Some((id, exchange)) = choose(&mut self.exchanges, choice, is_over) {
            speak(remote, id, exchange, say);
            assert_eq!(exchange.phase, Phase::Over);
        }
    }

    /// Answers everything that is open, as an application does that goes on.
    pub(super) fn answer_all(&mut self, remote: &mut Remote) {
        for (id, exchange) in self.exchanges.values_mut() {
            match exchange.phase {
                Phase::Waiting => speak(remote, *id, exchange, &Say::Respond { wants_done: true }),
                Phase::Streaming => speak(remote, *id, exchange, &Say::End { wants_done: true }),
                Phase::Leaving | Phase::Failing | Phase::Over => {}
            }
        }
    }

    /// Takes every body as far as it is here.
    pub(super) fn take_bodies(&mut self, remote: &mut Remote) {
        for (id, exchange) in self.exchanges.values_mut() {
            while matches!(exchange.phase, Phase::Waiting | Phase::Streaming)
                && !exchange.has_body_end
                && !exchange.waits_for_body
            {
                speak(remote, *id, exchange, &Say::TakeBody);
            }
        }
    }

    /// Whether it was told of a request.
    pub(super) fn has_heard(&self, token: usize) -> bool {
        let mut exchanges = self.exchanges.values();
        exchanges.any(|(_, exchange)| exchange.token == token)
    }

    /// Exchanges that are not over.
    pub(super) fn open(&self) -> usize {
        let phases = self.exchanges.values().map(|(_, exchange)| exchange.phase);
        phases.filter(|phase| *phase != Phase::Over).count()
    }

    /// Nobody waits for room or for bytes of a body, although every client has read and sent everything.
    pub(super) fn assert_nobody_waits(&self) {
        for (_, exchange) in self.exchanges.values() {
            let is_streaming = exchange.phase == Phase::Streaming;
            assert!(!(is_streaming && exchange.waits_for_room), "{exchange:?}");
            let is_open = is_streaming || exchange.phase == Phase::Waiting;
            assert!(!(is_open && exchange.waits_for_body), "{exchange:?}");
        }
    }
}

fn choose(
    exchanges: &mut BTreeMap<u64, (Id, Exchange)>,
    choice: usize,
    is_wanted: impl Fn(&Exchange) -> bool,
) -> Option<(Id, &mut Exchange)> {
    let wanted: Vec<_> = exchanges
        .values_mut()
        .filter(|(_, exchange)| is_wanted(exchange))
        .collect();
    let count = wanted.len();
    let (id, exchange) = wanted.into_iter().nth(choice % count.max(1))?;
    Some((*id, exchange))
}

/// Says it, and compares what is answered with what the application knows.
fn speak(remote: &mut Remote, id: Id, exchange: &mut Exchange, say: &Say) {
    let text = format!("{}.", exchange.token);
    let (may_head, may_chunk) = (
        exchange.phase == Phase::Waiting,
        exchange.phase == Phase::Streaming,
    );
    // Between the report of a fault and its end the engine may accept either, and what is refused for want of
    // memory is such a fault.
    let was_failing = exchange.phase == Phase::Failing;
    let is_sure = || !was_failing && !fail::has_struck();
    let after = |wants_done: bool| {
        if wants_done {
            Phase::Leaving
        } else {
            Phase::Over
        }
    };
    match *say {
        Say::Respond { wants_done } => {
            let outcome = remote.respond(id, &HEAD, text.as_bytes(), wants_done);
            if is_sure() {
                assert_eq!(outcome.is_ok(), may_head);
            }
            assert!(matches!(outcome, Ok(()) | Err(AnswerFault::Gone)));
            if outcome.is_ok() {
                exchange.phase = after(wants_done);
            } else if may_head {
                exchange.phase = Phase::Failing;
            }
        }
        Say::Start => {
            let outcome = Answers::start(remote, id, &HEAD);
            if is_sure() {
                assert_eq!(outcome.is_ok(), may_head);
            }
            if may_head {
                exchange.phase = match outcome {
                    Ok(()) => Phase::Streaming,
                    Err(_) => Phase::Failing,
                };
            }
        }
        Say::Chunk { len, is_last } => {
            let data = text.repeat(len / text.len() + 1);
            let outcome = remote.chunk(id, data.as_bytes(), is_last, false).unwrap();
            if is_sure() {
                assert_eq!(outcome != ChunkOutcome::Gone, may_chunk);
            }
            if outcome != ChunkOutcome::Gone && is_last {
                exchange.phase = Phase::Over;
            } else if outcome == ChunkOutcome::Full {
                exchange.waits_for_room = true;
            } else if outcome == ChunkOutcome::Gone && may_chunk {
                exchange.phase = Phase::Failing;
            }
        }
        Say::End { wants_done } => {
            let outcome = remote.end(id, wants_done);
            if is_sure() {
                assert_eq!(outcome != ChunkOutcome::Gone, may_chunk);
            }
            if outcome != ChunkOutcome::Gone {
                exchange.phase = after(wants_done);
            }
        }
        Say::Reset => {
            assert_eq!(remote.reset(id), exchange.phase != Phase::Over);
            exchange.phase = Phase::Over;
        }
        Say::Fail => {
            remote.fail(id);
            if may_head || may_chunk {
                exchange.phase = Phase::Failing;
            }
        }
        Say::TakeBody => match remote.take_body(id) {
            TakenBody::Bytes(bytes) => {
                assert!(bytes.iter().all(|&byte| byte == b'a'));
                exchange.body += bytes.len();
            }
            TakenBody::None(BodyOutcome::Pending) => exchange.waits_for_body = true,
            TakenBody::None(BodyOutcome::End) => {
                assert_eq!(exchange.body, exchange.body_length, "{exchange:?}");
                exchange.has_body_end = true;
            }
            TakenBody::None(BodyOutcome::Gone) => {
                assert!(!is_sure() || !(may_head || may_chunk));
            }
        },
        Say::Extend => {
            let is_open = remote.extend(id, 100_000);
            assert!(!is_sure() || is_open == (may_head || may_chunk));
        }
    }
}
