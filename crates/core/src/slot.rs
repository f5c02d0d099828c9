//! The record of every open exchange: which connection it belongs to, under which generation.

use crate::exchange::Id;
use crate::fail;
use crate::growth::grow;

/// Slots with generations, reused first in, first out.
///
/// Last in, first out would hand the same slot out again and again and wrap its generation within
/// minutes of load, so that a stale id could name a living exchange.
#[derive(Debug)]
pub struct Slots {
    entries: Vec<Slot>,
    free_head: u32,
    free_tail: u32,
    open: usize,
    owner: u8,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    generation: u32,
    /// Key of the connection while open, next free slot while free.
    link: u32,
    is_open: bool,
}

const NONE: u32 = u32::MAX;

impl Slots {
    /// No slots yet; `owner` is written into every id.
    #[must_use]
    pub fn new(owner: u8) -> Self {
        Self {
            entries: Vec::new(),
            free_head: NONE,
            free_tail: NONE,
            open: 0,
            owner,
        }
    }

    /// Opens a slot for a connection; none when all 2^24 are taken, or there is no memory for one more.
    pub fn open(&mut self, connection: u32) -> Option<Id> {
        if fail::strikes("slot") {
            return None;
        }
        let index = if self.free_head == NONE {
            let index = u32::try_from(self.entries.len())
                .ok()
                .filter(|&index| index < Id::SLOTS)?;
            if !grow(&mut self.entries, 1) {
                return None;
            }
            self.entries.push(Slot {
                generation: 0,
                link: connection,
                is_open: true,
            });
            index
        } else {
            let index = self.free_head;
            let slot = self.entries.get_mut(index as usize)?;
            self.free_head = slot.link;
            if self.free_head == NONE {
                self.free_tail = NONE;
            }
            slot.link = connection;
            slot.is_open = true;
            index
        };
        self.open = self.open.saturating_add(1);
        let generation = self.entries.get(index as usize)?.generation;
        Some(Id::new(index, generation, self.owner))
    }

    /// The connection of an open exchange; none for a stale id.
    #[must_use]
    pub fn connection(&self, id: Id) -> Option<u32> {
        let slot = self.entries.get(id.slot() as usize)?;
        (slot.is_open && Id::new(id.slot(), slot.generation, self.owner) == id).then_some(slot.link)
    }

    /// Frees a slot; false for a stale id.
    pub fn close(&mut self, id: Id) -> bool {
        if self.connection(id).is_none() {
            return false;
        }
        let index = id.slot();
        if let Some(slot) = self.entries.get_mut(index as usize) {
            slot.is_open = false;
            slot.generation = slot.generation.wrapping_add(1) % Id::GENERATIONS;
            slot.link = NONE;
        }
        if self.free_tail == NONE {
            self.free_head = index;
        } else if let Some(tail) = self.entries.get_mut(self.free_tail as usize) {
            tail.link = index;
        }
        self.free_tail = index;
        self.open = self.open.saturating_sub(1);
        true
    }

    /// The connection of every open exchange.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        self.entries
            .iter()
            .filter(|slot| slot.is_open)
            .map(|slot| slot.link)
    }

    /// An exchange that a connection has open. Walks all slots: for what went wrong, not for requests.
    #[must_use]
    pub fn opened_by(&self, connection: u32) -> Option<Id> {
        let index = self
            .entries
            .iter()
            .position(|slot| slot.is_open && slot.link == connection)?;
        let generation = self.entries.get(index)?.generation;
        u32::try_from(index)
            .ok()
            .map(|index| Id::new(index, generation, self.owner))
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_names_nothing() {
        let mut slots = Slots::new(3);
        let first = slots.open(7).unwrap();
        assert_eq!(slots.connection(first), Some(7));
        assert!(slots.close(first));
        assert!(!slots.close(first));
        let second = slots.open(8).unwrap();
        assert_eq!(second.slot(), first.slot());
        assert_eq!(slots.connection(first), None);
        assert_eq!(slots.connection(second), Some(8));
        assert_eq!(
            slots.connection(Id::new(second.slot(), second.generation(), 4)),
            None
        );
    }

    #[test]
    fn slots_are_reused_first_in_first_out() {
        let mut slots = Slots::new(0);
        let ids: Vec<Id> = (0..4)
            .map(|connection| slots.open(connection).unwrap())
            .collect();
        for id in [ids[2], ids[0], ids[3]] {
            slots.close(id);
        }
        let reused: Vec<u32> = (0..3).map(|_| slots.open(9).unwrap().slot()).collect();
        assert_eq!(reused, vec![2, 0, 3]);
        assert_eq!(slots.open(9).unwrap().slot(), 4);
        assert_eq!(slots.len(), 5);
    }

    #[test]
    fn a_generation_wraps_without_reviving_the_present_one() {
        let mut slots = Slots::new(0);
        let first = slots.open(1).unwrap();
        slots.close(first);
        slots.entries[0].generation = Id::GENERATIONS - 1;
        let last = slots.open(1).unwrap();
        slots.close(last);
        let wrapped = slots.open(1).unwrap();
        assert_eq!(wrapped.generation(), 0);
        assert_eq!(slots.connection(last), None);
    }
}
