//! The bell of an isolate behind a door that can be shut: nothing rings after it was.

use crate::sync::{Mutex, lock};

/// Wakes the side that answers. Called from any thread, under the door's lock: it must neither block nor
/// call back.
pub trait Bell: Send {
    /// Asks for one pass of the answering side.
    fn ring(&self);
}

/// The bell while it may be rung.
///
/// The lock is held across the ring: who shuts the door knows that no ring is under way and that none
/// follows, which is what lets the bell's owner die. It is the only lock that is held across a foreign call.
pub struct Door {
    bell: Mutex<Option<Box<dyn Bell>>>,
}

impl Door {
    /// An open door.
    #[must_use]
    pub fn new(bell: Box<dyn Bell>) -> Self {
        Self {
            bell: Mutex::new(Some(bell)),
        }
    }

    /// Rings unless the door is shut; says whether it did.
    pub fn ring(&self) -> bool {
        let bell = lock(&self.bell);
        if let Some(bell) = bell.as_ref() {
            bell.ring();
        }
        bell.is_some()
    }

    /// Shuts the door for good. When this returns no ring is under way.
    pub fn shut(&self) {
        let bell = lock(&self.bell).take();
        drop(bell);
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Door").finish_non_exhaustive()
    }
}
