//! Batches from one thread to another: swapped, never copied item by item, and announced once.

use crate::sync::{Mutex, MutexGuard, lock};

/// What is handed over as a whole.
pub(super) trait Batch {
    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool;
    /// How many things are in it.
    fn len(&self) -> usize;
    /// Bytes of text and bodies in it.
    fn bytes(&self) -> usize;
    /// Makes room for what is in `other`. False if there is no memory.
    fn make_room(&mut self, other: &Self) -> bool;
    /// Takes over what is in `other`, behind its own.
    fn append(&mut self, other: &mut Self);
    /// Gives memory back that one burst has needed and nobody else will.
    fn trim(&mut self);
}

/// A place for one batch under way.
///
/// Three buffers go round: the writer fills one, one lies here, the reader empties one. They grow on the
/// writer's thread and shrink there, so that no allocation is freed on a thread that did not make it
/// while both sides live.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    shared: Mutex<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    batch: T,
    /// The reader was told and has not come yet.
    is_announced: bool,
}

impl<T: Batch> Mailbox<T> {
    /// An empty one around an empty batch.
    pub(super) fn new(batch: T) -> Self {
        Self {
            shared: Mutex::new(Shared {
                batch,
                is_announced: false,
            }),
        }
    }

    /// Hands over what is in `mine`, which is empty afterwards, unless there is no memory to put it behind what lies
    /// here: then it stays, and has to be posted again. True when the reader has to be woken: it was not told since
    /// it last came.
    #[must_use]
    pub(super) fn post(&self, mine: &mut T) -> bool {
        if mine.is_empty() {
            return false;
        }
        let mut shared = lock(&self.shared);
        if !shared.batch.is_empty() && !shared.batch.make_room(mine) {
            return false;
        }
        Self::put(shared, mine)
    }

    /// The same for what cannot be posted again.
    #[must_use]
    pub(super) fn post_at_last(&self, mine: &mut T) -> bool {
        if mine.is_empty() {
            return false;
        }
        Self::put(lock(&self.shared), mine)
    }

    fn put(mut shared: MutexGuard<'_, Shared<T>>, mine: &mut T) -> bool {
        if shared.batch.is_empty() {
            std::mem::swap(&mut shared.batch, mine);
        } else {
            shared.batch.append(mine);
        }
        let was_announced = std::mem::replace(&mut shared.is_announced, true);
        drop(shared);
        mine.trim();
        !was_announced
    }

    /// Fetches what lies here into `mine`, which must be empty. Whatever is posted from now on is announced again.
    pub(super) fn take(&self, mine: &mut T) {
        let mut shared = lock(&self.shared);
        shared.is_announced = false;
        std::mem::swap(&mut shared.batch, mine);
    }

    /// Fetches what lies here behind what is in `mine`. False, and it lies here still, when there is no memory for it.
    pub(super) fn add_to(&self, mine: &mut T) -> bool {
        let mut shared = lock(&self.shared);
        if !mine.make_room(&shared.batch) {
            return false;
        }
        shared.is_announced = false;
        mine.append(&mut shared.batch);
        true
    }

    /// How many things lie here.
    pub(super) fn len(&self) -> usize {
        lock(&self.shared).batch.len()
    }

    /// Bytes that lie here.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.shared).batch.bytes()
    }
}
