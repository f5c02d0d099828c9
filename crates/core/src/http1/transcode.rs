//! From the text of the application to the bytes of a header field.

use super::head_fault::HeadFault;

/// Turns UTF-8 into Latin-1 in place and returns the new length, which is never larger.
///
/// Header text crosses the border as UTF-8, because reading it as Latin-1 would cut U+010A down to a
/// line feed. Each character up to U+00FF becomes one byte, anything above is a fault of the field
/// it stands in. After a fault the content of `text` is unspecified.
///
/// # Errors
/// A character above U+00FF.
pub fn transcode_utf8(text: &mut [u8]) -> Result<usize, HeadFault> {
    if text.is_ascii() {
        return Ok(text.len());
    }
    transcode_wide(text)
}

fn transcode_wide(text: &mut [u8]) -> Result<usize, HeadFault> {
    let mut read: usize = 0;
    let mut written: usize = 0;
    let mut field: usize = 0;
    while let Some(&first) = text.get(read) {
        let (byte, width) = match first {
            0..=0x7f => (first, 1),
            // Two bytes carry 11 bits; those up to U+00FF begin with one of these.
            0xc2 | 0xc3 => match text.get(read.wrapping_add(1)) {
                Some(&second @ 0x80..=0xbf) => ((first << 6) | (second & 0x3f), 2),
                _ => return Err(HeadFault::Value { field }),
            },
            _ => return Err(HeadFault::Value { field }),
        };
        if byte == b'\n' {
            field = field.wrapping_add(1);
        }
        if let Some(place) = text.get_mut(written) {
            *place = byte;
        }
        read = read.wrapping_add(width);
        written = written.wrapping_add(1);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn transcoded(text: &[u8]) -> Result<Vec<u8>, HeadFault> {
        let mut bytes = text.to_vec();
        let length = transcode_utf8(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    #[test]
    fn every_character_up_to_ff_becomes_its_byte() {
        for code in 0..=0xff_u8 {
            let text = format!("a:{}\n", char::from(code));
            assert_eq!(
                transcoded(text.as_bytes()),
                Ok(vec![b'a', b':', code, b'\n'])
            );
        }
    }

    #[test]
    fn a_character_above_ff_is_a_fault_of_its_field() {
        for character in [
            '\u{100}',
            '\u{10a}',
            '\u{10d}',
            '\u{20ac}',
            '\u{fffd}',
            '\u{1f600}',
            '\u{10ffff}',
        ] {
            let text = format!("a:\u{e9}\nb:{character}\n");
            assert_eq!(
                transcoded(text.as_bytes()),
                Err(HeadFault::Value { field: 1 }),
                "{character:?}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_fault() {
        for text in [
            &b"a:\xc3"[..],
            b"a:\xc3\n",
            b"a:\x80",
            b"a:\xc0\x8a",
            b"a:\xc1\xbf",
            b"a:\xff",
            b"a:\xc2\xc2",
        ] {
            assert_eq!(
                transcoded(text),
                Err(HeadFault::Value { field: 0 }),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn text_of_latin_1_comes_out_as_its_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            prop_assert_eq!(transcoded(text.as_bytes()), Ok(bytes));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = transcoded(&bytes);
        }
    }
}
