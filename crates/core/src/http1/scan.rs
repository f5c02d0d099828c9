//! Finds where a run of allowed bytes ends, eight bytes at a time in one integer.
//!
//! A class of bytes is a function from eight bytes to marks: bit 7 of each byte that stops the run.
//! No sum below carries from one byte into the next, so every mark is exact. A zero byte stops every
//! class, which is why the last, incomplete word needs no care: it is filled up with zeros.

use super::field::lower_token;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const LOW_7: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// How many bytes at the beginning of `bytes` a field value may hold: up to the first control but tab,
/// which in a well-formed line is the carriage return of its end.
#[inline]
pub(super) fn text_len(bytes: &[u8]) -> usize {
    // Values are long enough for vector instructions, which a block of a fixed size without an exit
    // inside becomes.
    let (blocks, _) = bytes.as_chunks::<16>();
    let clean = blocks
        .iter()
        .take_while(|block| block.iter().fold(0, |found, byte| found | control(*byte)) == 0);
    let len = clean.count().wrapping_mul(16);
    len.wrapping_add(run_len(bytes.get(len..).unwrap_or_default(), |word| {
        let marks = controls(word);
        // Tabs are rare, so what they cost is paid only when a control was found.
        if marks == 0 {
            0
        } else {
            marks & !equal(word, b'\t')
        }
    }))
}

/// How many bytes at the beginning of `bytes` a request target may hold: 0x21 to 0x7E but `#`.
#[inline]
pub(super) fn target_len(bytes: &[u8]) -> usize {
    run_len(bytes, |word| {
        (!at_least(word, 0x21) | at_least(word, 0x7f) | word | equal(word, b'#')) & HIGH
    })
}

/// Appends the token at the beginning of `bytes` to `out` in lower case and returns its length.
#[inline]
pub(super) fn push_lower_token(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let len = run_len(bytes, uncommon);
    if bytes.get(len) == Some(&b':') {
        // Bit 5 is what lower case differs in; digits and the hyphen have it anyway.
        push_front(bytes, len, 0x20, out);
        len
    } else {
        push_any_token(bytes, out)
    }
}

/// Appends the first `len` bytes of `bytes` with `bits` added to each. Names and most values are short,
/// and a copy of a fixed size is a few instructions where one of any size is a call or a loop.
#[inline]
pub(super) fn push_front(bytes: &[u8], len: usize, bits: u8, out: &mut Vec<u8>) {
    match bytes.first_chunk::<32>() {
        Some(block) if len <= 32 => {
            let end = out.len().wrapping_add(len);
            out.extend_from_slice(&block.map(|byte| byte | bits));
            out.truncate(end);
        }
        _ => out.extend(bytes.iter().take(len).map(|byte| byte | bits)),
    }
}

/// As `push_lower_token`, for a name that holds one of the rare signs, or is none.
#[cold]
fn push_any_token(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend(
        bytes
            .iter()
            .map(|byte| lower_token(*byte))
            .take_while(|lower| *lower != 0),
    );
    out.len().wrapping_sub(start)
}

#[inline]
fn run_len(bytes: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut len: usize = 0;
    for word in words {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return len.wrapping_add(first_mark(marks));
        }
        len = len.wrapping_add(8);
    }
    len.wrapping_add(first_mark(marks(last_word(rest))))
}

/// Up to seven bytes, filled up with zeros.
#[inline]
fn last_word(rest: &[u8]) -> u64 {
    rest.iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// The position of the first marked byte, 8 if there is none.
#[inline]
const fn first_mark(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

#[inline]
fn control(byte: u8) -> u8 {
    u8::from((byte < 0x20 && byte != b'\t') || byte == 0x7f)
}

/// Marks 0x00 to 0x1F, and 0x7F.
#[inline]
const fn controls(word: u64) -> u64 {
    (!at_least(word, 0x20) | at_least(word, 0x7f)) & !word & HIGH
}

/// Marks what is neither a letter nor a digit nor the hyphen, of which nearly all names consist.
#[inline]
const fn uncommon(word: u64) -> u64 {
    let lower = word | (ONES << 5);
    let letter = at_least(lower, b'a') & !at_least(lower, b'z' + 1);
    let digit = at_least(word, b'0') & !at_least(word, b'9' + 1);
    (!(letter | digit | equal(word, b'-')) | word) & HIGH
}

/// Marks bytes whose lower seven bits are `least` or more; the other bits of the result mean nothing.
#[inline]
const fn at_least(word: u64, least: u8) -> u64 {
    (word & LOW_7).wrapping_add(ONES.wrapping_mul(0x80_u64.wrapping_sub(least as u64)))
}

/// Marks bytes whose lower seven bits are `byte`; the other bits of the result mean nothing.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    !((word ^ ONES.wrapping_mul(byte as u64)) & LOW_7).wrapping_add(LOW_7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(bytes: &[u8], allowed: impl Fn(u8) -> bool) -> usize {
        bytes.iter().take_while(|byte| allowed(**byte)).count()
    }

    fn is_text(byte: u8) -> bool {
        byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
    }

    fn is_target(byte: u8) -> bool {
        (0x21..=0x7e).contains(&byte) && byte != b'#'
    }

    fn assert_as_naive(bytes: &[u8]) {
        assert_eq!(
            text_len(bytes),
            naive(bytes, is_text),
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(
            target_len(bytes),
            naive(bytes, is_target),
            "{}",
            bytes.escape_ascii()
        );
        let mut out = b"x".to_vec();
        let len = push_lower_token(bytes, &mut out);
        assert_eq!(
            len,
            naive(bytes, |byte| lower_token(byte) != 0),
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(out[1..], bytes[..len].to_ascii_lowercase());
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        for byte in 0..=255 {
            for length in 1..50 {
                for before in [b'a', b'\t', b'Z', 0xff] {
                    let mut bytes = vec![before; length];
                    bytes[length - 1] = byte;
                    assert_as_naive(&bytes);
                    bytes.extend_from_slice(b": value");
                    assert_as_naive(&bytes);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_as_one_by_one(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            assert_as_naive(&bytes);
        }

        #[test]
        fn likely_bytes_are_judged_as_one_by_one(bytes in "[\t\r\n :#A-Za-z0-9_-]{0,80}") {
            assert_as_naive(bytes.as_bytes());
        }
    }
}
