//! A bell dies as soon as its door is shut: no ring may be under way then, and none may follow.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::check;
use crate::thread::door::{Bell, Door};

/// A bell that knows whether it still exists.
struct Mortal {
    is_alive: Arc<AtomicBool>,
    rings: Arc<AtomicUsize>,
}

impl Bell for Mortal {
    fn ring(&self) {
        assert!(self.is_alive.load(Ordering::SeqCst), "rung after its death");
        loom::thread::yield_now();
        assert!(self.is_alive.load(Ordering::SeqCst), "died while it rang");
        self.rings.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_ring_is_under_way_when_a_door_is_shut_and_none_follows() {
    check(|| {
        let is_alive = Arc::new(AtomicBool::new(true));
        let rings = Arc::new(AtomicUsize::new(0));
        let door = Arc::new(Door::new(Box::new(Mortal {
            is_alive: Arc::clone(&is_alive),
            rings: Arc::clone(&rings),
        })));
        let ringers: Vec<_> = (0..2)
            .map(|_| {
                let door = Arc::clone(&door);
                loom::thread::spawn(move || usize::from(door.ring()) + usize::from(door.ring()))
            })
            .collect();
        door.shut();
        is_alive.store(false, Ordering::SeqCst);
        let said: usize = ringers
            .into_iter()
            .map(|ringer| ringer.join().unwrap())
            .sum();
        // Who was told that the bell rang is not mistaken.
        assert_eq!(said, rings.load(Ordering::SeqCst));
        assert!(!door.ring());
    });
}
