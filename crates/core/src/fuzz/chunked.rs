//! Chunked bodies: the same payload, end and verdict as a reading of the whole text, however it is cut.

use super::Choices;
use crate::http1::body::{BodyDecoder, TrailerLimits};
use crate::http1::head::BodyFraming;

const LIMITS: TrailerLimits = TrailerLimits {
    bytes: 200,
    fields: 4,
};
/// The extension limit of the decoder, which is no option.
const EXTENSIONS: usize = 16 * 1024;

/// The first two bytes say how the rest is cut and how much room there is for payload.
pub fn chunked(data: &[u8]) {
    let mut choices = Choices(data);
    let step = usize::from(choices.byte()) + 1;
    let room = usize::from(choices.byte()) + 1;
    let input = choices.0;
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, LIMITS);
    let mut payload = Vec::new();
    let mut used = 0;
    let mut is_refused = false;
    while used < input.len() && !decoder.is_done() {
        let piece = &input[used..input.len().min(used + step)];
        let before = payload.len();
        let Ok(count) = decoder.decode(piece, room, &mut payload) else {
            is_refused = true;
            break;
        };
        assert!(count > 0 && count <= piece.len(), "no progress");
        assert!(payload.len() - before <= room);
        used += count;
    }
    match reference(input) {
        Reading::Refused => assert!(is_refused),
        Reading::Partial(expected) => {
            assert!(!is_refused && !decoder.is_done());
            assert_eq!(payload, expected);
        }
        Reading::Whole(expected, end) => {
            assert!(!is_refused && decoder.is_done());
            assert_eq!((payload, used), (expected, end));
        }
    }
}

enum Reading {
    Partial(Vec<u8>),
    Refused,
    Whole(Vec<u8>, usize),
}

/// Reads the text as a person would, by the grammar of RFC 9112 section 7.1 and the limits.
fn reference(input: &[u8]) -> Reading {
    let mut at = 0;
    let mut payload = Vec::new();
    let mut extensions = 0;
    loop {
        let digits = input[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        if digits > 16 || (digits == 0 && at < input.len()) {
            return Reading::Refused;
        }
        let size = input[at..at + digits].iter().fold(0_u64, |size, byte| {
            size << 4 | u64::from(char::from(*byte).to_digit(16).unwrap())
        });
        at += digits;
        let line = line(&input[at..]);
        let blank = line
            .text
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let has_extension = line.text.get(blank) == Some(&b';');
        let is_wrong = if has_extension {
            !is_text(line.text)
        } else {
            blank < line.text.len() || (blank > 0 && line.has_return)
        };
        extensions += line.text.len();
        if is_wrong || extensions > EXTENSIONS || line.is_wrong {
            return Reading::Refused;
        }
        if !line.is_whole {
            return Reading::Partial(payload);
        }
        at += line.text.len() + 2;
        if size == 0 {
            break;
        }
        let here = usize::try_from(size)
            .unwrap_or(usize::MAX)
            .min(input.len() - at);
        payload.extend_from_slice(&input[at..at + here]);
        at += here;
        let end = &input[at..input.len().min(at + 2)];
        if u64::try_from(here).unwrap() < size {
            return Reading::Partial(payload);
        }
        if !b"\r\n".starts_with(end) {
            return Reading::Refused;
        }
        if end.len() < 2 {
            return Reading::Partial(payload);
        }
        at += 2;
    }
    trailers(input, at, payload)
}

fn trailers(input: &[u8], mut at: usize, payload: Vec<u8>) -> Reading {
    let mut bytes = 0;
    let mut fields = 0;
    loop {
        let line = line(&input[at..]);
        if line.text.is_empty() {
            return match (line.is_wrong, line.is_whole) {
                (true, _) => Reading::Refused,
                (_, true) => Reading::Whole(payload, at + 2),
                _ => Reading::Partial(payload),
            };
        }
        fields += 1;
        let name = line.text.iter().take_while(|byte| is_token(**byte)).count();
        let value = &line.text[name..];
        bytes += line.text.len() + usize::from(line.has_return) + usize::from(line.is_whole);
        let is_wrong = match value.first() {
            Some(b':') => name == 0 || !is_text(value),
            Some(_) => true,
            None => line.has_return,
        };
        if is_wrong || line.is_wrong || fields > LIMITS.fields || bytes > LIMITS.bytes {
            return Reading::Refused;
        }
        if !line.is_whole {
            return Reading::Partial(payload);
        }
        at += line.text.len() + 2;
    }
}

struct Line<'a> {
    /// Up to the carriage return, or all that is here.
    text: &'a [u8],
    has_return: bool,
    is_whole: bool,
    /// The carriage return is followed by something else than a line feed.
    is_wrong: bool,
}

fn line(bytes: &[u8]) -> Line<'_> {
    let end = bytes.iter().position(|byte| *byte == b'\r');
    let after = end.and_then(|at| bytes.get(at + 1));
    Line {
        text: &bytes[..end.unwrap_or(bytes.len())],
        has_return: end.is_some(),
        is_whole: after == Some(&b'\n'),
        is_wrong: after.is_some_and(|byte| *byte != b'\n'),
    }
}

fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
