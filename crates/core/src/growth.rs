//! Memory whose size others decide: clients by what they send, applications by what they answer. Where it is
//! refused, one exchange ends for it. What is as small as one exchange's own record is allocated as everywhere in
//! Rust, where a refusal ends the process.

use crate::fail;

/// Makes room for `more` items, and for as many again where that saves copying later. False if there is none.
#[inline]
#[must_use]
pub(crate) fn grow<T>(items: &mut Vec<T>, more: usize) -> bool {
    has_room(items, more) || grow_by(items, more)
}

/// Makes room for `length` items in all. False if there is none.
#[must_use]
pub fn grow_to<T>(items: &mut Vec<T>, length: usize) -> bool {
    let more = length.saturating_sub(items.len());
    grow(items, more)
}

/// Makes room for `more` items and no others. False if there is none.
#[inline]
#[must_use]
pub(crate) fn grow_exactly<T>(items: &mut Vec<T>, more: usize) -> bool {
    has_room(items, more) || (!fail::strikes("memory") && items.try_reserve_exact(more).is_ok())
}

fn has_room<T>(items: &Vec<T>, more: usize) -> bool {
    items.capacity().wrapping_sub(items.len()) >= more
}

#[cold]
fn grow_by<T>(items: &mut Vec<T>, more: usize) -> bool {
    !fail::strikes("memory") && items.try_reserve(more).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused_and_leaves_everything_as_it_was() {
        let mut bytes = b"kept".to_vec();
        assert!(!grow(&mut bytes, usize::MAX) && !grow_exactly(&mut bytes, usize::MAX / 2));
        assert_eq!(bytes, b"kept");
        assert!(grow(&mut bytes, 100) && bytes.capacity() >= 104);
    }
}
