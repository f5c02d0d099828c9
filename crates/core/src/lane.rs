//! One isolate's queue of events, and what wakes the side that drains it.

use crate::exchange::Event;

/// Wakes the draining side of a lane.
///
/// Rung only when the lane turns from empty to non-empty, because a wake-up costs microseconds
/// and an event does not. The loop driver raises a flag; a driver with threads rings across them.
pub trait Doorbell {
    /// Called after the first event of a batch was queued.
    fn ring(&self);
}

/// Events in order, with the text of requests in one arena that is cleared when all are drained.
///
/// Allocated once and reused: nothing is allocated per request.
pub struct Lane {
    events: Vec<Event>,
    next: usize,
    arena: Vec<u8>,
    bell: Box<dyn Doorbell>,
}

impl Lane {
    /// An empty lane that rings `bell`.
    #[must_use]
    pub fn new(bell: Box<dyn Doorbell>) -> Self {
        Self {
            events: Vec::with_capacity(64),
            next: 0,
            arena: Vec::with_capacity(16 * 1024),
            bell,
        }
    }

    /// Queues an event.
    pub fn push(&mut self, event: Event) {
        let was_empty = self.is_empty();
        self.events.push(event);
        if was_empty {
            self.bell.ring();
        }
    }

    /// Where the text of requests is collected.
    pub fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// Text of a request, by the offsets of its event.
    #[must_use]
    pub fn text(&self, offset: usize, len: usize) -> &[u8] {
        self.arena
            .get(offset..offset.saturating_add(len))
            .unwrap_or_default()
    }

    /// The next event; its text stays until `recycle`.
    pub fn pop(&mut self) -> Option<Event> {
        let event = self.events.get(self.next).copied()?;
        self.next = self.next.saturating_add(1);
        Some(event)
    }

    /// Forgets what was drained. Call it when no text is needed any more.
    pub fn recycle(&mut self) {
        if self.is_empty() {
            self.events.clear();
            self.next = 0;
            self.arena.clear();
            if self.arena.capacity() > ARENA_KEPT {
                self.arena.shrink_to(ARENA_KEPT);
            }
        }
    }

    /// Events that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len().saturating_sub(self.next)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lane")
            .field("waiting", &self.len())
            .finish_non_exhaustive()
    }
}

/// One burst of large heads must not be paid for with memory for ever.
const ARENA_KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::exchange::Id;

    struct Count(Rc<Cell<u32>>);

    impl Doorbell for Count {
        fn ring(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn the_bell_rings_once_a_batch() {
        let rings = Rc::new(Cell::new(0));
        let mut lane = Lane::new(Box::new(Count(Rc::clone(&rings))));
        let event = Event::Drain {
            id: Id::new(0, 0, 0),
        };
        lane.push(event);
        lane.push(event);
        assert_eq!(rings.get(), 1);
        assert_eq!(
            (lane.pop(), lane.pop(), lane.pop()),
            (Some(event), Some(event), None)
        );
        lane.recycle();
        lane.push(event);
        assert_eq!(rings.get(), 2);
    }
}
