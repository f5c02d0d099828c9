//! The clock of a driver: monotonic milliseconds for deadlines, wall clock seconds for the date.
//! The engine itself is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Read once a turn, so that everything in a turn happens at the same time.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    now: u64,
    unix_seconds: u64,
    unix_read_at: Option<u64>,
}

impl Clock {
    /// A clock that begins at 0 milliseconds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            now: 0,
            unix_seconds: 0,
            unix_read_at: None,
        }
    }

    /// Reads the time. In a model it stands still: a way that depends on it could not be gone twice.
    pub fn read(&mut self) {
        if cfg!(gneiss_loom) {
            return;
        }
        self.now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_old = |at: u64| self.now.saturating_sub(at) >= UNIX_EVERY;
        if self.unix_read_at.is_none_or(is_old) {
            self.unix_read_at = Some(self.now);
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            self.unix_seconds = since.map_or(0, |since| since.as_secs());
        }
    }

    /// Monotonic milliseconds at the last reading.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Seconds since the epoch, a tenth of a second old at most.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.unix_seconds
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Milliseconds between two looks at the wall clock: the date has a resolution of a second.
const UNIX_EVERY: u64 = 100;
