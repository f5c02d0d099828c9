//! Field lines as an application gives them, `name:value\n` repeated: judged while they are copied.

use memchr::{memchr, memchr_iter};

use super::field::{is_text, is_token};
use super::head_fault::HeadFault;

/// Appends each field as `name: value` and CRLF. `judge` sees name, value and index of a well-formed
/// one and says whether it goes out. After a fault `out` holds what was copied before it.
#[inline]
pub(super) fn push_fields(
    out: &mut Vec<u8>,
    fields: &[u8],
    count: usize,
    mut judge: impl FnMut(&[u8], &[u8], usize) -> Result<bool, HeadFault>,
) -> Result<(), HeadFault> {
    each_field(fields, count, |name, value, field| {
        if judge(name, value, field)? {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    })
}

/// Bytes that so many fields take at most. A field grows by two: a space, and a carriage return.
pub(super) fn room_for(fields: &[u8], count: usize) -> usize {
    fields.len().saturating_add(count.saturating_mul(2))
}

/// Shows each field to `see` as name, value and index, or says what is wrong with it.
#[inline]
pub(super) fn each_field(
    fields: &[u8],
    count: usize,
    mut see: impl FnMut(&[u8], &[u8], usize) -> Result<(), HeadFault>,
) -> Result<(), HeadFault> {
    let mut rest = fields;
    let mut field: usize = 0;
    while !rest.is_empty() {
        let (line, after) = split_around(b'\n', rest).ok_or(HeadFault::Count)?;
        let (name, value) = split_around(b':', line).ok_or(HeadFault::Count)?;
        if !is_token(name) {
            return Err(HeadFault::Name { field });
        }
        if !is_text(value) {
            return Err(HeadFault::Value { field });
        }
        see(name, value, field)?;
        field = field.wrapping_add(1);
        rest = after;
    }
    if field == count {
        Ok(())
    } else {
        Err(HeadFault::Count)
    }
}

/// A line feed inside of a field makes two of it, and what is wrong with the halves misleads.
#[cold]
pub(super) fn blame(fields: &[u8], count: usize, fault: HeadFault) -> HeadFault {
    if memchr_iter(b'\n', fields).count() == count {
        fault
    } else {
        HeadFault::Count
    }
}

/// What stands before and after the first `separator`.
#[inline]
fn split_around(separator: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.split_at_checked(memchr(separator, bytes)?) {
        Some((before, [_, after @ ..])) => Some((before, after)),
        _ => None,
    }
}
