//! Heads and targets: one verdict however the bytes arrive, and a text that cannot be misread.

use super::Choices;
use crate::http1::head::{BodyFraming, Head, HeadLimits, HeadOutcome, HeadScan, parse_head};

const PSEUDO: &[u8] = b"\n@peer:127.0.0.1 1\n@local:127.0.0.1 2";

const LIMITS: HeadLimits = HeadLimits {
    head: 1024,
    line: 200,
    field: 300,
    fields: 20,
};

/// The first byte cuts the rest in two.
pub fn head(data: &[u8]) {
    let mut choices = Choices(data);
    let cut = usize::from(choices.byte());
    judge(choices.0, cut);
}

/// A request line around any target, in origin form and as it is.
pub fn target(data: &[u8]) {
    for (before, method) in [
        ("", "GET"),
        ("/", "POST"),
        ("http://", "X"),
        ("", "OPTIONS"),
    ] {
        let mut input = format!("{method} {before}").into_bytes();
        input.extend_from_slice(data);
        input.extend_from_slice(b" HTTP/1.1\r\nHost: own\r\n\r\n");
        if let Some((head, text)) = judge(&input, data.len() / 2) {
            let target = &text[..head.target_len];
            assert!(target[0] == b'/' || (target == b"*" && method == "OPTIONS"));
            assert!(
                target
                    .iter()
                    .all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#')
            );
            let is_absolute = find(&text, b"\n@target:").is_some();
            assert_eq!(
                is_absolute,
                before == "http://"
                    || find(data, b"://").is_some() && !data.starts_with(b"/") && before.is_empty()
            );
        }
    }
}

/// The verdict on `input`, asserted to be the same when it comes in two pieces.
fn judge(input: &[u8], cut: usize) -> Option<(Head, Vec<u8>)> {
    let mut arena = b"before".to_vec();
    let mut scan = HeadScan::default();
    let whole = parse_head(input, &mut scan, &LIMITS, PSEUDO, &mut arena);
    let mut pieces_arena = b"before".to_vec();
    let mut pieces_scan = HeadScan::default();
    let first = &input[..cut.min(input.len())];
    let mut pieces = parse_head(first, &mut pieces_scan, &LIMITS, PSEUDO, &mut pieces_arena);
    if pieces == HeadOutcome::Incomplete {
        assert_eq!(pieces_arena, b"before");
        pieces = parse_head(input, &mut pieces_scan, &LIMITS, PSEUDO, &mut pieces_arena);
    }
    assert_eq!(whole, pieces);
    assert_eq!(arena, pieces_arena);
    let head = match whole {
        HeadOutcome::Complete(head) => head,
        HeadOutcome::Incomplete => {
            assert_eq!(arena, b"before");
            return None;
        }
        HeadOutcome::Refused(refusal) => {
            assert_eq!(arena, b"before");
            assert!(matches!(refusal.status(), 400..=505) && !refusal.to_string().is_empty());
            return None;
        }
    };
    let text = arena.split_off(6);
    check(input, &head, &text);
    Some((head, text))
}

fn check(input: &[u8], head: &Head, text: &[u8]) {
    let consumed = &input[..head.consumed];
    assert!(consumed.ends_with(b"\r\n\r\n") && consumed.len() <= LIMITS.head);
    assert!(
        consumed
            .windows(2)
            .all(|pair| pair[1] != b'\n' || pair[0] == b'\r')
    );
    assert_eq!(text.len(), head.target_len + head.head_len);
    let fields = &text[head.target_len..];
    assert!(fields.starts_with(PSEUDO) && fields.ends_with(b"\n"));
    let lines: Vec<&[u8]> = fields[1..fields.len() - 1]
        .split(|byte| *byte == b'\n')
        .collect();
    assert!(lines.len() <= LIMITS.fields + 5);
    for line in &lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let (name, value) = line.split_at(colon);
        assert!(
            !name.is_empty()
                && !name
                    .iter()
                    .any(|byte| byte.is_ascii_uppercase() || *byte <= b' ' || *byte >= 0x7f)
        );
        assert!(
            value
                .iter()
                .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
        );
        assert!(!value[1..].starts_with(b" ") && !value[1..].ends_with(b" "));
    }
    let count = |name: &[u8]| lines.iter().filter(|line| line.starts_with(name)).count();
    assert!(
        count(b"host:") <= 1 && count(b"content-length:") <= 1 && count(b"transfer-encoding:") <= 1
    );
    assert_eq!(
        head.framing == BodyFraming::Chunked,
        count(b"transfer-encoding:") == 1
    );
    assert!(count(b"content-length:") + count(b"transfer-encoding:") <= 1);
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len())
        .position(|window| window == needle)
}
