//! What a connection wants of its driver, derived from its state and never stored.

use super::answer::Answer;
use super::connection::{Connection, Ending, Phase};
use crate::config::PIPELINE_AHEAD;

/// What the driver should do for a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Bytes to read at most; 0 means not to read.
    pub read: usize,
    /// The peer's end is not known yet and must be noticed even while nothing is read.
    pub watch: bool,
    /// Bytes wait to be written.
    pub write: bool,
    /// An exchange is open or bytes wait: the connection keeps the process alive.
    pub busy: bool,
    /// Whether the connection goes on.
    pub fate: Fate,
}

/// How a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Close the socket: everything was sent and nothing is unread.
    Close,
    /// Close with a reset, so that a cut answer never looks complete.
    Reset,
    /// Send FIN, then call `linger` and discard what still arrives.
    Shutdown,
    /// Nothing changes.
    Stay,
}

impl Connection {
    /// What the driver should do now.
    #[must_use]
    pub fn wish(&self) -> Wish {
        let pending = self.pending();
        let fate = match (self.phase, self.ending) {
            (Phase::Flush, Ending::Reset) => Fate::Reset,
            (Phase::Flush, Ending::Close) if pending == 0 => Fate::Close,
            (Phase::Flush, Ending::Linger) if pending == 0 => Fate::Shutdown,
            _ => Fate::Stay,
        };
        Wish {
            read: self.read_budget(),
            watch: !self.ended && !self.hung_up,
            write: pending > 0,
            busy: self.open.is_some() || pending > 0,
            fate,
        }
    }

    fn read_budget(&self) -> usize {
        match self.phase {
            _ if self.ended => 0,
            Phase::FirstByte | Phase::Idle | Phase::Head
                if self.pending() > self.config.stream_buffer =>
            {
                0
            }
            Phase::FirstByte | Phase::Idle | Phase::Head | Phase::Linger => READ_MOST,
            Phase::Flush => 0,
            Phase::Exchange => match &self.open {
                Some(open) if open.decoder.is_some() => {
                    // Nobody reads the rest of a body that was answered over.
                    if self.has_input() || open.answer == Answer::Complete {
                        0
                    } else {
                        self.config
                            .body_read_ahead
                            .saturating_sub(open.body.len())
                            .min(READ_MOST)
                    }
                }
                _ => PIPELINE_AHEAD.saturating_sub(self.input.len()),
            },
        }
    }
}

/// One read of a socket.
const READ_MOST: usize = 64 * 1024;
