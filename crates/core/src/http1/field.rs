//! The alphabets of field lines: what a name may hold, what a value may hold, what surrounds it.
//! Used by the head parser, the trailers and the encoder, so that both directions follow one rule.

use super::scan::text_len;

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
    text_len(value) == value.len()
}

/// `value` without the optional white space (space and tab) around it.
#[inline]
pub(super) fn trim(value: &[u8]) -> &[u8] {
    trim_end(trim_start(value))
}

/// `value` without the optional white space before it.
#[inline]
pub(super) fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    value
}

/// `value` without the optional white space after it.
#[inline]
pub(super) fn trim_end(mut value: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list, trimmed; empty ones included.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
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
