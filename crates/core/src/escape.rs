//! What a peer has sent, as logs may have it.

/// Appends text of which nothing ends a line, leaves its quotes, or reaches a terminal as it is. A byte that is no
/// printable ASCII is its two hexadecimal digits behind `prefix`.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &[u8], prefix: &[u8]) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => {
                out.extend_from_slice(prefix);
                push_hex(out, byte);
            }
        }
    }
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    for digit in [byte >> 4, byte & 0xf] {
        let base = if digit < 10 { b'0' } else { b'a' - 10 };
        out.push(base.saturating_add(digit));
    }
}
