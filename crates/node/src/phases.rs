//! The handles that give the driver its phases of the event loop.

use crate::env::EnvState;
use crate::uv::{Handle, Kind};

/// Prepare (write before the loop sleeps), check (turns), timer (deadlines), idle (stay awake).
///
/// None of them keeps the process alive: listeners and busy connections do.
pub(crate) struct Phases {
    /// Held for its phase only.
    _prepare: Handle,
    check: Handle,
    timer: Handle,
    idle: Handle,
    is_awake: bool,
    is_alive: bool,
    /// When the timer fires, in the driver's milliseconds.
    fires_at: Option<u64>,
}

impl Phases {
    /// Opens and starts them; `None` if libuv refuses one.
    pub(crate) fn new(state: &EnvState) -> Option<Self> {
        let prepare = Handle::new(state, Kind::Prepare)?;
        let check = Handle::new(state, Kind::Check)?;
        let timer = Handle::new(state, Kind::Timer)?;
        let idle = Handle::new(state, Kind::Idle)?;
        prepare.start(Kind::Prepare);
        check.start(Kind::Check);
        for handle in [&prepare, &check, &timer, &idle] {
            handle.set_ref(false);
        }
        Some(Self {
            _prepare: prepare,
            check,
            timer,
            idle,
            is_awake: false,
            is_alive: false,
            fires_at: None,
        })
    }

    /// Keeps the loop from sleeping while work waits for the check phase.
    pub(crate) fn keep_awake(&mut self, is_awake: bool) {
        if is_awake == self.is_awake {
            return;
        }
        self.is_awake = is_awake;
        if is_awake {
            self.idle.start(Kind::Idle);
        } else {
            self.idle.stop_idle();
        }
    }

    /// Keeps the process alive although nothing else does.
    pub(crate) fn keep_alive(&mut self, is_alive: bool) {
        if is_alive != self.is_alive {
            self.is_alive = is_alive;
            self.check.set_ref(is_alive);
        }
    }

    /// Fires the timer at `at` milliseconds or earlier.
    pub(crate) fn wake_at(&mut self, at: u64, now: u64) {
        if self.fires_at.is_none_or(|armed| at < armed) {
            self.fires_at = Some(at);
            self.timer.start_timer(at.saturating_sub(now).max(1));
        }
    }

    /// The timer has fired.
    pub(crate) fn timer_fired(&mut self) {
        self.fires_at = None;
    }
}
