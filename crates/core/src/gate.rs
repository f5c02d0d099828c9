//! Which worker takes the next connection of a listener that several share.
//!
//! One with listeners of its own is in a cell as well, but waits for nobody's turn.
//!
//! Whoever is woken first would take everything: the kernel knows nothing of load. So each worker
//! publishes in a cell of shared memory how many connections it has, and accepts only while it has
//! at most one more than the least-loaded worker that is able to accept.
//!
//! Nothing here waits for another process and nothing is locked. Every field of a cell is an atomic
//! of its own with one writer (the worker; the master only while no worker lives in the cell), and
//! no decision needs two fields to be of the same moment: a stale read lets one connection go to the
//! wrong worker. Only `state` is ordered, so that of workers that stop together one sees that it is
//! the last ([`Gate::retire`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Decides whether this worker may accept now. Asked from any thread of the worker.
pub trait Gate: std::fmt::Debug + Send + Sync {
    /// Whether other workers accept from the same listeners.
    fn is_shared(&self) -> bool;

    /// Whether the next connection is this worker's; never before the first `set_accepting`. When it is
    /// not, ask again within a
    /// millisecond while connections wait: a worker that does not take them is found out by that.
    fn admits(&self) -> bool;

    /// A connection was accepted. [`Seat::take`] calls it, and `left` at the end.
    fn entered(&self);

    /// A connection has ended.
    fn left(&self);

    /// Whether the worker accepts at all; not while it is full or out of descriptors.
    fn set_accepting(&self, is_accepting: bool);

    /// The worker stops accepting for good. True when no other is left that takes what waits in the
    /// queue of the shared listener, so that this one has to; never for one that has not begun to accept.
    fn retire(&self) -> bool;

    /// The loop has woken and works.
    fn busy(&self);

    /// The loop is about to wait for events; `inflight` exchanges are open.
    fn polling(&self, inflight: usize);
}

/// A connection's place in the count of its worker, given back when it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<dyn Gate>);

impl Seat {
    /// Counts a connection that was accepted.
    #[must_use]
    pub fn take(gate: &Arc<dyn Gate>) -> Self {
        gate.entered();
        Self(Arc::clone(gate))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// What one worker lets the others know: a cache line, so that no two workers write to the same.
/// All zeroes is a cell in which nobody lives. Times are milliseconds of the machine's monotonic clock.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Cell {
    native_tick: AtomicU64,
    loop_busy_since: AtomicU64,
    accepted: AtomicU64,
    turns: AtomicU64,
    connections: AtomicU32,
    inflight: AtomicU32,
    state: AtomicU32,
    generation: AtomicU32,
    pid: AtomicU32,
}

/// A copy of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellReading {
    /// When a thread of the worker has last shown that the process runs.
    pub native_tick: u64,
    /// Since when the event loop has not waited for events; 0 while it waits.
    pub loop_busy_since: u64,
    /// Connections accepted since the worker began.
    pub accepted: u64,
    /// Open connections.
    pub connections: u32,
    /// Open exchanges when the loop last went to wait.
    pub inflight: u32,
    /// How far the worker is.
    pub state: WorkerState,
    /// What the master gave to it.
    pub generation: u32,
    /// Its process; 0 for nobody.
    pub pid: u32,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum WorkerState {
    /// Nobody lives in the cell.
    Empty = 0,
    /// Starting: it does not accept yet.
    Booting = 1,
    /// Accepting.
    Accepting = 2,
    /// Serving what it has, and not accepting for now.
    Paused = 3,
    /// On its way out.
    Draining = 4,
}

impl Cell {
    /// A worker moves in.
    pub fn join(&self, pid: u32, now: u64) {
        self.accepted.store(0, Ordering::Relaxed);
        self.connections.store(0, Ordering::Relaxed);
        self.inflight.store(0, Ordering::Relaxed);
        self.loop_busy_since.store(0, Ordering::Relaxed);
        self.native_tick.store(now, Ordering::Relaxed);
        self.pid.store(pid, Ordering::Relaxed);
        self.set_state(WorkerState::Booting);
    }

    /// Nobody lives here any more; the next one belongs to `generation`.
    pub fn clear(&self, generation: u32) {
        self.set_state(WorkerState::Empty);
        self.pid.store(0, Ordering::Relaxed);
        self.connections.store(0, Ordering::Relaxed);
        self.inflight.store(0, Ordering::Relaxed);
        self.loop_busy_since.store(0, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// The worker accepts nothing more, whatever its loop does.
    pub fn leave(&self) {
        self.set_state(WorkerState::Draining);
    }

    /// The process runs.
    pub fn tick(&self, now: u64) {
        self.native_tick.store(now, Ordering::Relaxed);
    }

    /// A copy, field by field.
    #[must_use]
    pub fn read(&self) -> CellReading {
        CellReading {
            native_tick: self.native_tick.load(Ordering::Relaxed),
            loop_busy_since: self.loop_busy_since.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            inflight: self.inflight.load(Ordering::Relaxed),
            state: self.state(),
            generation: self.generation.load(Ordering::Relaxed),
            pid: self.pid.load(Ordering::Relaxed),
        }
    }

    fn set_state(&self, state: WorkerState) {
        self.state.store(state as u32, Ordering::SeqCst);
    }

    fn state(&self) -> WorkerState {
        match self.state.load(Ordering::SeqCst) {
            1 => WorkerState::Booting,
            2 => WorkerState::Accepting,
            3 => WorkerState::Paused,
            4 => WorkerState::Draining,
            _ => WorkerState::Empty,
        }
    }

    /// Changes whenever the worker's loop turns or it accepts; never 0.
    fn progress(&self) -> u64 {
        let turns = self.turns.load(Ordering::Relaxed);
        let accepted = self.accepted.load(Ordering::Relaxed);
        turns.wrapping_add(accepted).wrapping_add(1)
    }

    /// Whether it accepts, and neither its process nor its loop is known to stand still.
    fn is_able(&self, now: u64) -> bool {
        let busy_since = self.loop_busy_since.load(Ordering::Relaxed);
        self.state() == WorkerState::Accepting
            && now.saturating_sub(self.native_tick.load(Ordering::Relaxed)) <= TICK_MOST
            && (busy_since == 0 || now.saturating_sub(busy_since) <= BUSY_MOST)
    }
}

/// What a gate asks of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Milliseconds of a monotonic clock that all workers share.
    pub now: fn() -> u64,
    /// Whether a process exists.
    pub is_alive: fn(u32) -> bool,
}

/// The gate over shared cells.
#[derive(Debug)]
pub struct CellGate<M> {
    memory: M,
    index: usize,
    host: Host,
    is_shared: bool,
    /// Since when this worker has been refused while nobody accepted anything; 0 when it is not.
    refused_since: AtomicU64,
    /// Connections that the others had accepted by then.
    refused_at: AtomicU64,
    /// By cell: the progress of that worker when it was found out; 0 for nothing. It does not count
    /// until it has made some.
    blamed: Box<[AtomicU64]>,
}

impl<M: AsRef<[Cell]>> CellGate<M> {
    /// The gate of the worker in cell `index`; `None` if there is no such cell.
    pub fn new(memory: M, index: usize, host: Host) -> Option<Self> {
        let count = memory.as_ref().len();
        (index < count).then(|| Self {
            memory,
            index,
            host,
            is_shared: true,
            refused_since: AtomicU64::new(0),
            refused_at: AtomicU64::new(0),
            blamed: (0..count).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// The same for a worker that has its listeners for itself.
    #[must_use]
    pub fn alone(self) -> Self {
        Self {
            is_shared: false,
            ..self
        }
    }

    fn own(&self) -> Option<&Cell> {
        self.memory.as_ref().get(self.index)
    }

    fn others(&self) -> impl Iterator<Item = (&Cell, &AtomicU64)> {
        let cells = self.memory.as_ref().iter().zip(&self.blamed).enumerate();
        cells
            .filter(|(index, _)| *index != self.index)
            .map(|(_, pair)| pair)
    }

    /// Workers that are able to accept. The process is looked for last, because that is a system call.
    fn able(&self, now: u64) -> impl Iterator<Item = (&Cell, &AtomicU64)> {
        self.others().filter(move |(cell, blamed)| {
            cell.is_able(now) && blamed.load(Ordering::Relaxed) != cell.progress()
        })
    }

    fn exists(&self, cell: &Cell) -> bool {
        (self.host.is_alive)(cell.pid.load(Ordering::Relaxed))
    }
}

impl<M: AsRef<[Cell]> + std::fmt::Debug + Send + Sync> Gate for CellGate<M> {
    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn admits(&self) -> bool {
        let Some(own) = self.own() else { return true };
        if matches!(own.state(), WorkerState::Booting | WorkerState::Draining) {
            return false;
        }
        let now = (self.host.now)();
        let mine = own.connections.load(Ordering::Relaxed);
        // Possible where another thread accepts than the one that serves.
        let busy_since = own.loop_busy_since.load(Ordering::Relaxed);
        let busy = if busy_since == 0 {
            0
        } else {
            now.saturating_sub(busy_since)
        };
        if !self.is_shared {
            return busy <= SUSPECT;
        }
        let is_stuck = busy > BUSY_MOST;
        let is_next = |cell: &Cell| {
            is_stuck || cell.connections.load(Ordering::Relaxed).saturating_add(1) < mine
        };
        let mut next = self
            .able(now)
            .filter(|(cell, _)| is_next(cell) && self.exists(cell))
            .peekable();
        if next.peek().is_none() {
            self.refused_since.store(0, Ordering::Relaxed);
            return true;
        }
        let accepted = self.others().fold(0_u64, |sum, (cell, _)| {
            sum.wrapping_add(cell.accepted.load(Ordering::Relaxed))
        });
        let since = self.refused_since.load(Ordering::Relaxed);
        if since == 0 || self.refused_at.swap(accepted, Ordering::Relaxed) != accepted {
            self.refused_at.store(accepted, Ordering::Relaxed);
            self.refused_since.store(now.max(1), Ordering::Relaxed);
            return false;
        }
        if now.saturating_sub(since) < PATIENCE {
            return false;
        }
        // Connections wait, and those whose turn it is take none, for whatever reason.
        for (cell, blamed) in next {
            blamed.store(cell.progress(), Ordering::Relaxed);
        }
        self.refused_since.store(0, Ordering::Relaxed);
        true
    }

    fn entered(&self) {
        if let Some(own) = self.own() {
            own.connections.fetch_add(1, Ordering::Relaxed);
            own.accepted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn left(&self) {
        if let Some(own) = self.own() {
            // The master may have cleared the cell; then there is nothing to give back.
            let _ = own
                .connections
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    count.checked_sub(1)
                });
        }
    }

    fn set_accepting(&self, is_accepting: bool) {
        let Some(own) = self.own() else { return };
        let state = if is_accepting {
            WorkerState::Accepting
        } else {
            WorkerState::Paused
        };
        if own.state() != WorkerState::Draining && own.state() != state {
            own.set_state(state);
        }
    }

    fn retire(&self) -> bool {
        let Some(own) = self.own() else { return true };
        let has_accepted = own.state() != WorkerState::Booting;
        own.set_state(WorkerState::Draining);
        // What waits has waited for the others, and they may be about to start.
        if !self.is_shared || !has_accepted {
            return has_accepted;
        }
        let now = (self.host.now)();
        !self.able(now).any(|(cell, _)| self.exists(cell))
    }

    fn busy(&self) {
        if let Some(own) = self.own() {
            own.turns.fetch_add(1, Ordering::Relaxed);
            own.loop_busy_since
                .store((self.host.now)().max(1), Ordering::Relaxed);
        }
    }

    fn polling(&self, inflight: usize) {
        if let Some(own) = self.own() {
            let inflight = u32::try_from(inflight).unwrap_or(u32::MAX);
            own.inflight.store(inflight, Ordering::Relaxed);
            own.loop_busy_since.store(0, Ordering::Relaxed);
        }
    }
}

/// Milliseconds of work in one go after which a loop does not count as able to accept: connections
/// wait for it no longer than that while another is idle.
const BUSY_MOST: u64 = 50;
/// Milliseconds of work in one go after which a worker with listeners of its own accepts nothing more for
/// the time being: nobody else can, but what it has not accepted is not lost with it where the kernel hands
/// queues on.
const SUSPECT: u64 = 1_000;
/// Milliseconds without a tick, of which there are ten a second, after which a process stands still.
const TICK_MOST: u64 = 1_000;
/// Milliseconds that waiting connections are left to another worker that does not take them. It
/// covers what no cell shows, such as a loop that stands still in a callback of its poll phase.
const PATIENCE: u64 = 50;

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
