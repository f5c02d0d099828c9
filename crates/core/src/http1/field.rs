//! The alphabets of field lines: what a name may hold, what a value may hold, what surrounds it.
//! Used by the head parser, the trailers and the encoder, so that both directions follow one rule.

/// The lower-case form of a byte that may stand in a token (RFC 9110 section 5.6.2), 0 for any other.
#[inline]
pub(super) fn lower_token(byte: u8) -> u8 {
    LOWER_TOKEN.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Whether `name` is a token: not empty, and no separator, space, control or byte above 0x7E in it.
#[inline]
pub(super) fn is_token(name: &[u8]) -> bool {
    // No early exit: names are short and nearly always valid, so a branch a byte costs more.
    !name.is_empty()
        && name.iter().fold(0, |invalid, byte| {
            invalid | u8::from(lower_token(*byte) == 0)
        }) == 0
}

/// Whether `value` holds nothing but tab, 0x20-0x7E and 0x80-0xFF.
#[inline]
pub(super) fn is_text(value: &[u8]) -> bool {
    none(value, is_control)
}

/// Whether no byte is `bad`. Works on blocks of fixed sizes without an exit inside of them, which
/// become vector instructions; the last block overlaps the one before it.
#[inline]
pub(super) fn none(bytes: &[u8], bad: impl Fn(u8) -> bool + Copy) -> bool {
    #[inline]
    fn holds<const N: usize>(block: &[u8; N], bad: impl Fn(u8) -> bool) -> bool {
        block.iter().fold(0, |found, byte| found | u8::from(bad(*byte))) != 0
    }
    let (blocks, _) = bytes.as_chunks::<16>();
    if let Some(last) = bytes.last_chunk::<16>() {
        return blocks.iter().all(|block| !holds(block, bad)) && !holds(last, bad);
    }
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => !holds(first, bad) && !holds(last, bad),
        _ => !bytes.iter().any(|byte| bad(*byte)),
    }
}

/// How many bytes at the beginning of `bytes` a value may hold: up to the first control, which in a
/// well-formed line is the carriage return of its end.
#[inline]
pub(super) fn text_len(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<16>();
    let mut len: usize = 0;
    for block in blocks {
        let stop = first_marked(block.map(|byte| mark(is_control(byte))));
        len = len.wrapping_add(stop);
        if stop < 16 {
            return len;
        }
    }
    len.wrapping_add(rest.iter().position(|byte| is_control(*byte)).unwrap_or(rest.len()))
}

/// Appends the token at the beginning of `bytes` to `out` in lower case and returns its length.
#[inline]
pub(super) fn push_lower_token(bytes: &[u8], out: &mut Vec<u8>) -> usize {
    let (blocks, _) = bytes.as_chunks::<16>();
    let mut len: usize = 0;
    for block in blocks {
        // Bit 5 is what lower case differs in; digits and the hyphen have it anyway.
        out.extend_from_slice(&block.map(|byte| byte | 0x20));
        let stop = first_marked(block.map(|byte| mark(!is_common_token(byte))));
        len = len.wrapping_add(stop);
        if stop < 16 {
            out.truncate(out.len().wrapping_sub(16_usize.wrapping_sub(stop)));
            break;
        }
    }
    // The other signs of a token are rare, and so is a name at the very end of what was received.
    while let Some(lower) = bytes.get(len).map(|byte| lower_token(*byte)).filter(|lower| *lower != 0) {
        out.push(lower);
        len = len.wrapping_add(1);
    }
    len
}

/// Appends the first `len` bytes of `bytes`. Most values are short, and a copy of a fixed size is a
/// few instructions where one of any size is a call.
#[inline]
pub(super) fn push_front(bytes: &[u8], len: usize, out: &mut Vec<u8>) {
    match bytes.first_chunk::<32>() {
        Some(block) if len <= 32 => {
            let end = out.len().wrapping_add(len);
            out.extend_from_slice(block);
            out.truncate(end);
        }
        _ => out.extend_from_slice(bytes.get(..len).unwrap_or(bytes)),
    }
}

/// `value` without the optional white space (space and tab) around it.
#[inline]
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list, trimmed; empty ones included.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

#[inline]
const fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Letters, digits and the hyphen, of which nearly all names consist.
#[inline]
const fn is_common_token(byte: u8) -> bool {
    (byte | 0x20).wrapping_sub(b'a') < 26 || byte.wrapping_sub(b'0') < 10 || byte == b'-'
}

#[inline]
const fn mark(found: bool) -> u8 {
    if found { 0xff } else { 0 }
}

/// The position of the first marked byte, 16 if there is none.
#[inline]
const fn first_marked(marks: [u8; 16]) -> usize {
    (u128::from_le_bytes(marks).trailing_zeros() / 8) as usize
}

static LOWER_TOKEN: [u8; 256] = lower_token_table();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which would refuse to go on"
)]
const fn lower_token_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    loop {
        if byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        let Some(next) = byte.checked_add(1) else {
            return table;
        };
        byte = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_letters_digits_and_fifteen_signs() {
        let valid: Vec<u8> = (0..=255).filter(|byte| lower_token(*byte) != 0).collect();
        assert_eq!(
            valid,
            b"!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
        );
        assert!(
            valid
                .iter()
                .all(|byte| lower_token(*byte) == byte.to_ascii_lowercase())
        );
        assert!(is_token(b"X-Name"));
        assert!(!is_token(b""));
        assert!(!is_token(b"X Name"));
    }

    #[test]
    fn a_control_is_found_at_every_place_of_a_value() {
        for length in 0..50 {
            assert!(is_text(&vec![b'a'; length]));
            assert!(is_text(&vec![b'\t'; length]));
            assert!(is_text(&vec![0xff; length]));
            for at in 0..length {
                for control in (0..0x20).filter(|byte| *byte != b'\t').chain([0x7f]) {
                    let mut value = vec![b'a'; length];
                    value[at] = control;
                    assert!(!is_text(&value), "{control:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn space_and_tab_are_trimmed_and_nothing_else() {
        assert_eq!(trim(b" \t a b\t \t"), b"a b");
        assert_eq!(trim(b"\x0ba\xa0"), b"\x0ba\xa0");
        assert_eq!(trim(b" \t "), b"");
    }

    #[test]
    fn list_elements_are_trimmed() {
        let found: Vec<&[u8]> = elements(b"a ,\tb\t,,c").collect();
        assert_eq!(found, [&b"a"[..], b"b", b"", b"c"]);
    }
}
