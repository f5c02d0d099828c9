//! A timer wheel: every connection owns one entry, and every state of it a deadline.
//!
//! Entries move only to an earlier time. A later deadline leaves its entry where it is; when that
//! comes due the connection is asked again. A busy keep-alive connection, whose deadline moves
//! with each request, therefore touches the wheel about once per deadline instead of once per request.

use crate::growth::grow_to;

/// Milliseconds per bucket: deadlines are this late at most.
const TICK: u64 = 32;
/// Buckets of the wheel: one round is about 33 s, later entries stay for another round.
const BUCKETS: u64 = 1024;
const WORDS: usize = 16;
const NONE: u32 = u32::MAX;

/// The wheel. Keys are small integers, chosen by the caller.
#[derive(Debug)]
pub struct Wheel {
    nodes: Vec<Node>,
    heads: Vec<u32>,
    /// One bit per non-empty bucket, so that the next one is found without walking.
    occupied: [u64; WORDS],
    /// Buckets before this tick have been visited.
    visited: u64,
    armed: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    previous: u32,
    next: u32,
    /// Tick at which the entry is due; `u64::MAX` while not in the wheel.
    due: u64,
}

const FREE: Node = Node {
    previous: NONE,
    next: NONE,
    due: u64::MAX,
};

impl Wheel {
    /// An empty wheel that starts at `now` milliseconds.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            nodes: Vec::new(),
            heads: vec![NONE; usize::try_from(BUCKETS).unwrap_or(0)],
            occupied: [0; WORDS],
            visited: now / TICK,
            armed: 0,
        }
    }

    /// Makes room for so many keys. False if there is no memory.
    #[must_use]
    pub fn make_room(&mut self, keys: usize) -> bool {
        grow_to(&mut self.nodes, keys)
    }

    /// Makes sure that `key` comes due at `at` milliseconds or earlier.
    pub fn arm(&mut self, key: u32, at: u64) {
        // Rounded up, so that an entry is never due before its time.
        let due = at.div_ceil(TICK).max(self.visited.saturating_add(1));
        let index = key as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index.saturating_add(1), FREE);
        }
        match self.nodes.get(index) {
            Some(node) if node.due <= due => return,
            Some(node) if node.due != u64::MAX => self.unlink(key),
            _ => {}
        }
        self.link(key, due);
    }

    /// Takes `key` out.
    pub fn disarm(&mut self, key: u32) {
        if self.is_armed(key) {
            self.unlink(key);
        }
    }

    /// Whether `key` is in the wheel.
    #[must_use]
    pub fn is_armed(&self, key: u32) -> bool {
        let node = self.nodes.get(key as usize);
        node.is_some_and(|node| node.due != u64::MAX)
    }

    /// Whether `key` comes due at `at` milliseconds at the latest, or as soon after it as the wheel turns.
    #[cfg(test)]
    pub(crate) fn rings_by(&self, key: u32, at: u64) -> bool {
        let latest = at.div_ceil(TICK).max(self.visited.saturating_add(1));
        let node = self.nodes.get(key as usize);
        node.is_some_and(|node| node.due <= latest)
    }

    /// Takes every key that is due at `now` out and appends it to `due`.
    pub fn advance(&mut self, now: u64, due: &mut Vec<u32>) {
        let tick = now / TICK;
        if tick <= self.visited {
            return;
        }
        let steps = tick.saturating_sub(self.visited).min(BUCKETS);
        let first = tick.saturating_sub(steps).saturating_add(1);
        self.visited = tick;
        for step in first..=tick {
            let bucket = bucket_of(step);
            if !self.is_occupied(bucket) {
                continue;
            }
            let mut key = self.heads.get(bucket).copied().unwrap_or(NONE);
            while let Some(node) = self.nodes.get(key as usize).copied() {
                if node.due <= tick {
                    self.unlink(key);
                    due.push(key);
                }
                key = node.next;
            }
        }
    }

    /// When to look again: milliseconds at which the next non-empty bucket is reached.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        if self.armed == 0 {
            return None;
        }
        let start = self.visited.saturating_add(1);
        (start..start.saturating_add(BUCKETS))
            .find(|&tick| self.is_occupied(bucket_of(tick)))
            .map(|tick| tick.saturating_mul(TICK))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.armed
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    fn link(&mut self, key: u32, due: u64) {
        let bucket = bucket_of(due);
        let head = self.heads.get(bucket).copied().unwrap_or(NONE);
        if let Some(node) = self.nodes.get_mut(key as usize) {
            *node = Node {
                previous: NONE,
                next: head,
                due,
            };
        }
        if let Some(next) = self.nodes.get_mut(head as usize) {
            next.previous = key;
        }
        if let Some(slot) = self.heads.get_mut(bucket) {
            *slot = key;
        }
        if let Some(word) = self.occupied.get_mut(bucket / 64) {
            *word |= 1 << (bucket % 64);
        }
        self.armed = self.armed.saturating_add(1);
    }

    fn unlink(&mut self, key: u32) {
        let Some(node) = self.nodes.get(key as usize).copied() else {
            return;
        };
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.previous = node.previous;
        }
        if let Some(previous) = self.nodes.get_mut(node.previous as usize) {
            previous.next = node.next;
        } else {
            let bucket = bucket_of(node.due);
            if let Some(slot) = self.heads.get_mut(bucket) {
                *slot = node.next;
            }
            if node.next == NONE
                && let Some(word) = self.occupied.get_mut(bucket / 64)
            {
                *word &= !(1 << (bucket % 64));
            }
        }
        if let Some(slot) = self.nodes.get_mut(key as usize) {
            *slot = FREE;
        }
        self.armed = self.armed.saturating_sub(1);
    }

    fn is_occupied(&self, bucket: usize) -> bool {
        self.occupied
            .get(bucket / 64)
            .is_some_and(|word| word & (1 << (bucket % 64)) != 0)
    }
}

fn bucket_of(tick: u64) -> usize {
    usize::try_from(tick % BUCKETS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due_at(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.advance(now, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn an_entry_is_due_at_its_time_and_not_before() {
        let mut wheel = Wheel::new(1_000);
        wheel.arm(3, 1_100);
        assert!(due_at(&mut wheel, 1_099).is_empty());
        assert_eq!(due_at(&mut wheel, 1_100 + TICK), vec![3]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn an_earlier_deadline_moves_an_entry_and_a_later_one_does_not() {
        let mut wheel = Wheel::new(0);
        wheel.arm(1, 75_000);
        wheel.arm(1, 500);
        wheel.arm(1, 60_000);
        assert_eq!(wheel.len(), 1);
        assert_eq!(due_at(&mut wheel, 600), vec![1]);
    }

    #[test]
    fn an_entry_beyond_one_round_waits_for_its_round() {
        let mut wheel = Wheel::new(0);
        wheel.arm(5, 80_000);
        assert!(due_at(&mut wheel, 33_000).is_empty());
        assert!(due_at(&mut wheel, 66_000).is_empty());
        assert_eq!(due_at(&mut wheel, 81_000), vec![5]);
    }

    #[test]
    fn a_jump_over_many_rounds_finds_everything() {
        let mut wheel = Wheel::new(0);
        for key in 0..100 {
            wheel.arm(key, u64::from(key) * 1_000 + 10);
        }
        assert_eq!(due_at(&mut wheel, 10_000_000).len(), 100);
    }

    proptest! {
        #[test]
        fn every_armed_key_comes_due_once_and_in_time(
            deadlines in proptest::collection::vec(1_u64..200_000, 1..60),
            step in 1_u64..5_000,
        ) {
            let mut wheel = Wheel::new(0);
            for (key, at) in deadlines.iter().enumerate() {
                wheel.arm(u32::try_from(key).unwrap(), *at);
            }
            let mut seen = vec![None; deadlines.len()];
            let mut now = 0;
            while now < 200_000 + 2 * TICK + step {
                now += step;
                if let Some(next) = wheel.next() {
                    prop_assert!(next + step + TICK > now);
                }
                for key in due_at(&mut wheel, now) {
                    prop_assert_eq!(seen[key as usize].replace(now), None);
                }
            }
            for (at, due) in deadlines.iter().zip(&seen) {
                let due = due.expect("came due");
                prop_assert!(due >= *at && due < at + 2 * TICK + step);
            }
        }
    }
}
