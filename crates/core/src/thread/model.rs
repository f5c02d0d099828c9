//! Models of what crosses threads, checked in every interleaving: the real parts, the real engine and real
//! sockets, with the application and the poller played by the model.
//!
//! Built with `--cfg gneiss_loom` only: `npm test` runs them with bounded preemption, `npm run test:long`
//! with more. What a model waits for with `Flag` it waits for without a time limit, so a wake-up that is
//! lost is a deadlock, which the checker reports.

mod answerer;
mod cancel;
mod door;
mod mailbox;
mod shutdown;
mod slots;

use std::sync::Arc;
use std::task::Wake;

use loom::sync::{Condvar, Mutex};

/// Something to wait for: a bell, a waker. It stays set until somebody has waited.
#[derive(Default)]
pub(super) struct Flag {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    pub(super) fn set(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub(super) fn wait(&self) {
        let mut is_set = self.is_set.lock().unwrap();
        while !std::mem::take(&mut *is_set) {
            is_set = self.changed.wait(is_set).unwrap();
        }
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}

/// Checks a model. `LOOM_MAX_PREEMPTIONS` sets how many times a thread may be interrupted where it need not.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.max_branches = 100_000;
    builder.check(model);
}
