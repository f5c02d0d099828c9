//! The way from the connections to the thread that writes: bounded, and nobody waits on it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::format::Format;
use super::record::Batch;
use super::sink::{Sink, Target};
use super::writer;

/// An access log. Dropping it waits a moment for its thread to write what lies there.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    format: Arc<Format>,
}

/// What the log and its thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// The thread is to look.
    pub(super) wake: Condvar,
    /// The thread has written what it took.
    written: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact of one log"
)]
pub(super) struct State {
    pub(super) batch: Batch,
    /// The thread waits for something to do.
    pub(super) is_idle: bool,
    /// The thread has lines in hand.
    pub(super) is_writing: bool,
    pub(super) is_closed: bool,
    pub(super) is_reopening: bool,
    /// Somebody waits: no time for gathering.
    pub(super) is_hurried: bool,
}

/// Every log of the process, for signals and for its end.
static LOGS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

impl AccessLog {
    /// Opens a log and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened, or the system refuses a thread.
    pub fn open(target: &Target, format: Format) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let (shared, format) = (Arc::<Shared>::default(), Arc::new(format));
        let (theirs, lines) = (Arc::clone(&shared), Arc::clone(&format));
        Builder::new()
            .name("gneiss-log".to_owned())
            .spawn(move || writer::run(&theirs, &lines, sink))?;
        let mut logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(&shared));
        Ok(Self { shared, format })
    }

    /// Lines that could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn format(&self) -> Arc<Format> {
        Arc::clone(&self.format)
    }

    /// Hands records over. What a log that is behind cannot take is dropped and counted.
    pub(super) fn post(&self, batch: &mut Batch) {
        let mut state = self.shared.lock();
        if state.batch.text.len().saturating_add(batch.text.len()) > QUEUE_MOST {
            self.shared.drop_lines(batch.records.len());
        } else if state.batch.records.is_empty() {
            std::mem::swap(&mut state.batch, batch);
        } else {
            state.batch.records.append(&mut batch.records);
            state.batch.text.append(&mut batch.text);
        }
        let was_idle = std::mem::take(&mut state.is_idle);
        drop(state);
        batch.records.clear();
        batch.text.clear();
        if was_idle {
            self.shared.wake.notify_one();
        }
    }
}

/// The same log is the same file.
impl PartialEq for AccessLog {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for AccessLog {}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.flush(CLOSE_MOST);
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn drop_lines(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The thread has nothing in hand.
    pub(super) fn set_written(&self) {
        self.lock().is_writing = false;
        self.written.notify_all();
    }

    /// Waits until everything is written, but no longer than `most`: a pipe that nobody reads stands still.
    fn flush(&self, most: Duration) {
        let mut state = self.lock();
        state.is_hurried = true;
        state.is_idle = false;
        self.wake.notify_one();
        let is_busy = |state: &mut State| state.is_writing || !state.batch.records.is_empty();
        let waited = self.written.wait_timeout_while(state, most, is_busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_hurried = false;
    }
}

/// Opens every log file of the process anew, for whoever has moved them away.
pub fn reopen_all() {
    for log in logs() {
        let mut state = log.lock();
        state.is_reopening = true;
        state.is_idle = false;
        drop(state);
        log.wake.notify_one();
    }
}

/// The process ends: what was handed over is written, but nobody waits longer than `most`.
pub fn flush_all(most: Duration) {
    let began = Instant::now();
    for log in logs() {
        log.flush(most.saturating_sub(began.elapsed()));
    }
}

fn logs() -> Vec<Arc<Shared>> {
    let logs = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    logs.iter().filter_map(Weak::upgrade).collect()
}

/// Bytes that may wait for the thread.
const QUEUE_MOST: usize = 4 * 1024 * 1024;
/// How long the end of a log waits for its thread.
const CLOSE_MOST: Duration = Duration::from_millis(200);
