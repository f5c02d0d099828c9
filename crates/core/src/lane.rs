//! One isolate's queue of events, and what wakes the side that drains it.

use crate::exchange::{Delivery, Event, Id};
use crate::fail;
use crate::growth::grow;

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

    /// Makes room for all that can be told of so many open exchanges before it is heard, so that telling it asks for
    /// none. False if there is no memory: no other exchange is to be opened then.
    #[must_use]
    pub fn admits(&mut self, exchanges: usize) -> bool {
        !fail::strikes("push") && grow(&mut self.events, exchanges.saturating_mul(EVENTS))
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

    /// All text that was collected.
    #[must_use]
    pub fn texts(&self) -> &[u8] {
        &self.arena
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

    /// The next event as it is told to whoever answers.
    pub fn deliver(&mut self) -> Option<Delivery<'_>> {
        let event = self.pop()?;
        Some(self.told(event))
    }

    /// An event that was taken out, as it is told to whoever answers.
    #[must_use]
    pub fn told(&self, event: Event) -> Delivery<'_> {
        Delivery::of(event, &self.arena)
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
        } else if self.next >= DRAINED_KEPT {
            self.close_up();
        }
    }

    /// Moves what waits to the front: under a load that never lets it be empty, the lane would grow for ever.
    #[cold]
    fn close_up(&mut self) {
        self.events.drain(..self.next);
        self.next = 0;
        // Text lies in the order of the events.
        let first = self.events.iter().find_map(|event| match event {
            Event::Request { offset, .. } => Some(*offset),
            _ => None,
        });
        let unused = first.unwrap_or(self.arena.len()).min(self.arena.len());
        self.arena.drain(..unused);
        for event in &mut self.events {
            if let Event::Request { offset, .. } = event {
                *offset = offset.saturating_sub(unused);
            }
        }
    }

    /// Whether a request waits.
    #[must_use]
    pub fn has_request(&self, request: Id) -> bool {
        let mut waiting = self.events.iter().skip(self.next);
        waiting.any(|event| matches!(event, Event::Request { id, .. } if *id == request))
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

/// What is told of an exchange before it is heard, at most: the request, body bytes, room, and its end.
const EVENTS: usize = 4;
/// One burst of large heads must not be paid for with memory for ever.
const ARENA_KEPT: usize = 256 * 1024;
/// So many drained events may lie in front of what waits.
const DRAINED_KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

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

    #[test]
    fn all_that_is_told_of_exchanges_has_its_place_when_they_begin() {
        let mut lane = Lane::new(Box::new(Count(Rc::default())));
        let id = Id::new(0, 0, 0);
        let open = 1_000;
        assert!(lane.admits(open));
        let room = lane.events.capacity();
        // Request, body bytes, room, and its end.
        for _ in 0..4 * open {
            lane.push(Event::Done { id });
        }
        assert_eq!(lane.events.capacity(), room);
    }

    #[test]
    fn a_lane_that_is_never_empty_keeps_no_more_than_what_waits() {
        let mut lane = Lane::new(Box::new(Count(Rc::default())));
        let push = |lane: &mut Lane, number: usize| {
            let target = format!("/{number:>200}");
            let offset = lane.arena().len();
            lane.arena().extend_from_slice(target.as_bytes());
            lane.push(Event::Request {
                id: Id::new(0, 0, 0),
                server: crate::exchange::ServerKey(0),
                ticket: 0,
                meta: crate::exchange::Meta(0),
                offset,
                target_len: target.len(),
                head_len: 0,
            });
        };
        push(&mut lane, 0);
        for number in 0..100_000 {
            push(&mut lane, number + 1);
            let Some(Event::Request {
                offset, target_len, ..
            }) = lane.pop()
            else {
                panic!("a request was pushed")
            };
            let text = String::from_utf8_lossy(lane.text(offset, target_len));
            assert_eq!(text, format!("/{number:>200}"));
            lane.recycle();
        }
        assert!(lane.arena.capacity() < 2 * ARENA_KEPT);
        assert!(lane.events.capacity() < 10_000);
    }
}
