//! How a connection ends when its server does: nobody who is about to ask is turned away.

use super::connection::{Connection, Ending, Phase};

impl Connection {
    /// The server is being closed: a busy connection ends after its answer, an idle one when no
    /// request is to be expected on it any more. Call it after what the kernel already holds was read.
    pub fn drain(&mut self, now: u64) {
        self.draining = true;
        match self.phase {
            Phase::FirstByte | Phase::Idle if self.expected_until() <= now => {
                self.leave(now, Ending::Close);
            }
            Phase::Exchange => {
                if let Some(open) = &mut self.open {
                    open.keep_alive = false;
                }
            }
            Phase::FirstByte | Phase::Idle | Phase::Head | Phase::Flush | Phase::Linger => {}
        }
    }

    /// Until when a draining connection that says nothing is kept, in milliseconds.
    ///
    /// A client learns from `connection: close` of an answer that it should go elsewhere. One that was
    /// accepted a moment ago has had none; one that asks every so often will have its chance within
    /// twice the longest pause it has made. What both send after that would be lost, and so would a
    /// request that crosses our end on the way.
    pub(super) fn expected_until(&self) -> u64 {
        let patience = if self.phase == Phase::FirstByte {
            FRESH
        } else {
            self.longest_gap
                .saturating_mul(2)
                .clamp(GAP_LEAST, GAP_MOST)
        };
        self.since.saturating_add(patience)
    }

    /// Whether it waits for a request although its server is being closed.
    pub(super) fn is_awaited(&self) -> bool {
        self.draining && matches!(self.phase, Phase::FirstByte | Phase::Idle)
    }

    /// The first byte of a request is here: remembers how long the client has paused.
    pub(super) fn end_gap(&mut self, now: u64) {
        if self.phase == Phase::Idle {
            self.longest_gap = self.longest_gap.max(now.saturating_sub(self.since));
        }
    }
}

/// Milliseconds after it was accepted in which a connection's first request is expected.
const FRESH: u64 = 1_000;
/// Milliseconds in which the next request is expected of a client that has never paused.
const GAP_LEAST: u64 = 50;
/// Milliseconds that a client is waited for at most.
const GAP_MOST: u64 = 5_000;
