//! One HTTP/1 connection: what it has read, what it is answering, what it still has to write.
//!
//! One request at a time: the next head is parsed when the answer before it is complete, so
//! answers leave in order by construction and pipelined bytes wait in `input`.

use std::sync::Arc;

use super::answer::Answer;
use super::head::HeadScan;
use super::request::Open;
use crate::config::{PIPELINE_AHEAD, ServerConfig};
use crate::counters::{Counters, Held};
use crate::exchange::{AbortReason, Exchanges, Id, ServerKey};
use crate::growth::grow;

/// What surrounds a step of a connection: where exchanges live, and what time it is.
pub struct Turn<'a, E> {
    /// Slots, events and buffers.
    pub exchanges: &'a mut E,
    /// Monotonic milliseconds.
    pub now: u64,
    /// Value of the `date` field.
    pub date: &'a [u8; 29],
}

/// The state machine. All methods are total: no bytes of the peer make one panic.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one peer"
)]
pub struct Connection {
    pub(super) server: ServerKey,
    pub(super) config: Arc<ServerConfig>,
    pub(super) counters: Arc<Counters>,
    /// `\n@peer:..\n@local:..`, the pseudo fields every head begins with.
    pub(super) pseudo: Box<[u8]>,
    /// What the peer says of the client counts.
    pub(super) trusts_peer: bool,
    pub(super) phase: Phase,
    /// When the phase began.
    pub(super) since: u64,
    /// From here on it is not kept alive any more.
    retires_at: u64,
    pub(super) scan: HeadScan,
    /// Received and not consumed; begins at `input_at`.
    pub(super) input: Vec<u8>,
    pub(super) input_at: usize,
    /// To be written; begins at `sent`.
    pub(super) out: Vec<u8>,
    pub(super) sent: usize,
    /// When written bytes last moved, or began to wait.
    pub(super) progress: u64,
    pub(super) open: Option<Open>,
    pub(super) ending: Ending,
    /// The longest pause between two requests, in milliseconds.
    pub(super) longest_gap: u64,
    /// The present answer is the last one.
    pub(super) draining: bool,
    /// The peer closed its sending side.
    pub(super) ended: bool,
    /// The end was noticed ahead of unread bytes and need not be watched for.
    pub(super) hung_up: bool,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted, no byte yet.
    FirstByte,
    /// Between two requests, no byte of the next one.
    Idle,
    /// A part of a head is here.
    Head,
    /// A request is being answered.
    Exchange,
    /// The last bytes are leaving; `ending` says what follows.
    Flush,
    /// FIN was sent; input is discarded until the peer's FIN.
    Linger,
}

/// What follows when the last bytes have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Close,
    Linger,
    Reset,
}

impl Connection {
    /// A connection that was just accepted. `pseudo` is what each head begins with.
    #[must_use]
    pub fn new(
        server: ServerKey,
        config: Arc<ServerConfig>,
        counters: Arc<Counters>,
        pseudo: Box<[u8]>,
        now: u64,
    ) -> Self {
        let trusts_peer = trusts(&config, &pseudo);
        let retires_at = retirement(config.keep_alive_max_age, &pseudo, now);
        Self {
            server,
            config,
            counters,
            pseudo,
            trusts_peer,
            phase: Phase::FirstByte,
            since: now,
            retires_at,
            scan: HeadScan::default(),
            input: Vec::new(),
            input_at: 0,
            out: Vec::new(),
            sent: 0,
            progress: now,
            open: None,
            ending: Ending::Close,
            longest_gap: 0,
            draining: false,
            ended: false,
            hung_up: false,
        }
    }

    /// The server it belongs to.
    #[must_use]
    pub fn server(&self) -> ServerKey {
        self.server
    }

    /// Where it counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether input waits that could be consumed now.
    #[must_use]
    pub fn has_waiting_input(&self) -> bool {
        self.has_input()
            && match self.phase {
                Phase::Idle => true,
                Phase::Exchange => !self.body_is_complete(),
                _ => false,
            }
    }

    /// The exchange it is answering.
    #[must_use]
    pub fn exchange(&self) -> Option<Id> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Takes received bytes in.
    pub fn on_bytes<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, bytes: &[u8]) {
        self.counters.received_bytes_total.add(bytes.len() as u64);
        if matches!(self.phase, Phase::Flush | Phase::Linger) {
            return;
        }
        if self.input.is_empty() {
            let used = self.consume(turn, bytes);
            let rest = bytes.get(used..).unwrap_or_default();
            if !rest.is_empty() && !matches!(self.phase, Phase::Flush | Phase::Linger) {
                self.input = turn.exchanges.buffer();
                self.keep(turn, rest);
            }
        } else {
            self.keep(turn, bytes);
            self.advance(turn);
        }
    }

    /// Puts received bytes behind those that wait.
    fn keep<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, bytes: &[u8]) {
        if grow(&mut self.input, bytes.len()) {
            self.input.extend_from_slice(bytes);
        } else {
            self.starve(turn);
        }
    }

    /// Goes on with bytes that waited: after an answer, or after the application took body bytes.
    pub fn advance<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        if self.input.is_empty() {
            return;
        }
        let input = std::mem::take(&mut self.input);
        let used = self.consume(turn, input.get(self.input_at..).unwrap_or_default());
        self.input_at = self.input_at.saturating_add(used);
        if self.input_at >= input.len() || matches!(self.phase, Phase::Flush | Phase::Linger) {
            self.input_at = 0;
            turn.exchanges.recycle(input);
        } else {
            self.input = input;
            if self.input_at > PIPELINE_AHEAD {
                self.input.drain(..self.input_at);
                self.input_at = 0;
            }
        }
        let is_between = matches!(self.phase, Phase::Idle | Phase::Head);
        if self.ended && is_between && self.pending() <= self.config.stream_buffer {
            // What is left is no request, and nothing will complete it.
            self.leave(turn.now, Ending::Close);
        }
    }

    /// The peer closed its sending side.
    pub fn on_end<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.ended = true;
        match self.phase {
            // The answer has only to leave, or is still wanted; so are requests that wait behind it.
            Phase::Exchange if self.outlives_end() => {}
            Phase::Idle if self.config.allow_half_open && self.has_input() => {}
            Phase::Exchange => {
                self.abort(turn, AbortReason::PeerGone);
                self.leave(turn.now, Ending::Close);
            }
            Phase::Flush if self.ending == Ending::Linger => self.ending = Ending::Close,
            Phase::Flush => {}
            Phase::FirstByte | Phase::Idle | Phase::Head | Phase::Linger => {
                self.leave(turn.now, Ending::Close);
            }
        }
    }

    /// The peer closed its sending side, noticed ahead of bytes that were not read for want of room.
    ///
    /// Where half-open peers are served these bytes are still wanted; the end is seen again behind them.
    /// Before a lingering close they are discarded first, or closing would reset what was just sent.
    pub fn on_hang_up<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        let is_wanted = self.config.allow_half_open
            && self.phase == Phase::Exchange
            && !self.body_is_complete();
        let is_discarded = self.phase == Phase::Flush && self.ending == Ending::Linger;
        if is_wanted || is_discarded {
            self.hung_up = true;
        } else {
            self.on_end(turn);
        }
    }

    /// The connection broke: nothing more can be read or written.
    pub fn on_error<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        self.cut(turn, AbortReason::PeerGone);
    }

    /// What waits to be written.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// The kernel took `count` bytes.
    pub fn wrote<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>, count: usize) {
        self.counters.sent_bytes_total.add(count as u64);
        self.sent = self.sent.saturating_add(count);
        self.progress = turn.now;
        if self.phase == Phase::Idle {
            // A peer that still reads its answer is not idle yet.
            self.since = turn.now;
        }
        if self.sent >= self.out.len() {
            self.sent = 0;
            if self.open.is_some() {
                // A stream goes on: its buffer has the right size, and a fresh one would have to grow.
                self.out.clear();
            } else {
                turn.exchanges.recycle(std::mem::take(&mut self.out));
            }
        } else if self.sent > self.out.len() / 2 {
            // Reclaimed here, or a peer that is always a little behind would grow the buffer for ever.
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        self.after_writing(turn);
    }

    /// FIN was sent: what still arrives is discarded, for a second at most.
    pub fn linger(&mut self, now: u64) {
        self.phase = Phase::Linger;
        self.since = now;
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub(super) fn pending(&self) -> usize {
        self.out.len().saturating_sub(self.sent)
    }

    /// Bytes it holds for the application and for the peer.
    #[must_use]
    pub fn held(&self) -> Held {
        let decoded = self.open.as_ref().map_or(0, |open| open.body.len());
        let waiting = self.input.len().saturating_sub(self.input_at);
        Held {
            body: decoded.saturating_add(waiting),
            response: self.pending(),
        }
    }

    /// Whether the kept-alive connection goes on to another request.
    pub(super) fn goes_on(&self, now: u64) -> bool {
        // Of a peer that has closed its sending side nothing comes but what is here.
        let may_ask = !self.ended || (self.config.allow_half_open && self.has_input());
        !self.draining && may_ask && now < self.retires_at
    }

    /// Whether the exchange goes on although the peer has closed its sending side.
    pub(super) fn outlives_end(&self) -> bool {
        let is_answered = self
            .open
            .as_ref()
            .is_some_and(|open| open.answer == Answer::Complete);
        is_answered || (self.config.allow_half_open && self.body_is_complete())
    }

    pub(super) fn body_is_complete(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.decoder.is_none())
    }

    /// Whether pipelined input waits behind the present request.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub(super) fn become_idle(&mut self, now: u64) {
        self.phase = Phase::Idle;
        self.since = now;
        self.scan = HeadScan::default();
    }

    pub(super) fn begin_writing<E: Exchanges>(&mut self, turn: &mut Turn<'_, E>) {
        if self.pending() == 0 {
            self.progress = turn.now;
            if self.out.capacity() == 0 {
                self.out = turn.exchanges.buffer();
            }
        }
    }
}

/// Whether the peer that the pseudo fields name is a trusted proxy.
fn trusts(config: &ServerConfig, pseudo: &[u8]) -> bool {
    let Some(peer) = pseudo.strip_prefix(b"\n@peer:") else {
        return false;
    };
    if peer.starts_with(b"unix:") {
        return config.trusted_peers.has_unix();
    }
    let address = peer.split(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(address)
        .is_ok_and(|text| text.parse().is_ok_and(|ip| config.trusted_peers.has(ip)))
}

/// When a connection of this peer, which was accepted at `now`, has reached its age: up to a tenth earlier
/// than the option says, or all that came in one burst would come again in one.
fn retirement(age: u64, pseudo: &[u8], now: u64) -> u64 {
    if age == 0 {
        return u64::MAX;
    }
    // The port of the peer is what differs. FNV-1a, because nothing is won by guessing it.
    let hash = pseudo.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let most = age / 10;
    let earlier = (hash >> 16)
        .checked_rem(most.saturating_add(1))
        .unwrap_or(0);
    now.saturating_add(age.saturating_sub(earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_grow_old_at_different_times_and_none_late() {
        let ages: Vec<u64> = (0..1_000)
            .map(|port| format!("\n@peer:127.0.0.1 {}\n@local:127.0.0.1 80", 40_000 + port))
            .map(|pseudo| retirement(60_000, pseudo.as_bytes(), 5) - 5)
            .collect();
        assert!(ages.iter().all(|age| (54_000..=60_000).contains(age)));
        for second in 54..60 {
            let share = ages.iter().filter(|age| **age / 1_000 == second).count();
            assert!((80..300).contains(&share), "{share} in second {second}");
        }
        assert_eq!(retirement(0, b"", 5), u64::MAX);
    }
}
