//! Limits of the head, and properties that hold for any bytes: cuts change nothing, nothing panics, and
//! whatever is accepted means the same to another parser.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow in a test fails the test"
)]

use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    head: 32 * 1024,
    line: 8 * 1024,
    field: 8 * 1024,
    fields: 100,
};

/// The verdict on `input` when it arrives in pieces that end at `ends`, and how many bytes were here by then.
fn judge_pieces(
    input: &[u8],
    ends: impl Iterator<Item = usize>,
    limits: &HeadLimits,
) -> (HeadOutcome, Vec<u8>, usize) {
    let mut scan = HeadScan::default();
    let mut arena = Vec::new();
    for end in ends.chain([input.len()]) {
        let outcome = parse_head(&input[..end], &mut scan, limits, b"\n@peer:p 1", &mut arena);
        if outcome != HeadOutcome::Incomplete {
            return (outcome, arena, end);
        }
        assert_eq!(arena, b"");
    }
    (HeadOutcome::Incomplete, arena, input.len())
}

fn judge(input: &[u8], limits: &HeadLimits) -> HeadOutcome {
    judge_pieces(input, std::iter::empty(), limits).0
}

#[test]
fn row_28_long_heads_are_refused() {
    let field = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(20 * 1024)
    );
    assert_eq!(
        judge(field.as_bytes(), &LIMITS),
        HeadOutcome::Refused(Refusal::FieldTooLong)
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70 * 1024));
    assert_eq!(
        judge(target.as_bytes(), &LIMITS),
        HeadOutcome::Refused(Refusal::RequestLineTooLong)
    );
    let fields = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "a: b\r\n".repeat(1500)
    );
    assert_eq!(
        judge(fields.as_bytes(), &LIMITS),
        HeadOutcome::Refused(Refusal::FieldsTooMany)
    );
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        format!("a: {}\r\n", "b".repeat(8000)).repeat(5)
    );
    assert_eq!(
        judge(head.as_bytes(), &LIMITS),
        HeadOutcome::Refused(Refusal::HeadTooLong)
    );
}

#[test]
fn a_line_without_an_end_is_refused_one_byte_past_its_limit() {
    let limits = HeadLimits {
        head: 1000,
        line: 100,
        field: 50,
        fields: 3,
    };
    let request_line = format!("GET /{}", "x".repeat(200));
    let (outcome, _, seen) = judge_pieces(request_line.as_bytes(), 1..request_line.len(), &limits);
    assert_eq!(
        (outcome, seen),
        (HeadOutcome::Refused(Refusal::RequestLineTooLong), 101)
    );
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(200));
    let (outcome, _, seen) = judge_pieces(field.as_bytes(), 1..field.len(), &limits);
    assert_eq!(
        (outcome, seen),
        (HeadOutcome::Refused(Refusal::FieldTooLong), 16 + 9 + 51)
    );
    let short = HeadLimits { head: 20, ..limits };
    let (outcome, _, seen) = judge_pieces(field.as_bytes(), 1..field.len(), &short);
    assert_eq!(
        (outcome, seen),
        (HeadOutcome::Refused(Refusal::HeadTooLong), 21)
    );
}

#[test]
fn limits_are_exact() {
    let input = b"GET /56789 HTTP/1.1\r\nHost: a\r\nX: 45678\r\n\r\n";
    let exact = HeadLimits {
        head: input.len(),
        line: 19,
        field: 8,
        fields: 2,
    };
    assert!(
        matches!(judge(input, &exact), HeadOutcome::Complete(head) if head.consumed == input.len())
    );
    for (limits, expected) in [
        (
            HeadLimits {
                head: exact.head - 1,
                ..exact
            },
            Refusal::HeadTooLong,
        ),
        (
            HeadLimits {
                line: exact.line - 1,
                ..exact
            },
            Refusal::RequestLineTooLong,
        ),
        (
            HeadLimits {
                field: exact.field - 1,
                ..exact
            },
            Refusal::FieldTooLong,
        ),
        (
            HeadLimits {
                fields: exact.fields - 1,
                ..exact
            },
            Refusal::FieldsTooMany,
        ),
    ] {
        assert_eq!(judge(input, &limits), HeadOutcome::Refused(expected));
        assert_eq!(
            judge_pieces(input, 1..input.len(), &limits).0,
            HeadOutcome::Refused(expected)
        );
    }
}

#[test]
fn of_two_limits_that_are_broken_the_first_counts() {
    for head in 6..14 {
        let limits = HeadLimits {
            head,
            line: 8,
            ..LIMITS
        };
        for input in [
            "GET /567890123",
            "GET /567\r\n9",
            "GET /567\r901234",
            "GET /567\r\r01234",
            "GET /5678\r\n0",
            "GET /56\r\n\r\n",
        ] {
            let whole = judge(input.as_bytes(), &limits);
            let bytewise = judge_pieces(input.as_bytes(), 1..input.len(), &limits).0;
            assert_eq!(whole, bytewise, "{input:?} with {head} bytes of head");
        }
    }
}

#[test]
fn a_scan_serves_one_request_after_another() {
    let input = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    let mut scan = HeadScan::default();
    let mut arena = Vec::new();
    let mut start = 0;
    let mut heads = 0;
    for end in 1..=input.len() {
        if let HeadOutcome::Complete(head) =
            parse_head(&input[start..end], &mut scan, &LIMITS, b"", &mut arena)
        {
            start += head.consumed;
            heads += 1;
        }
    }
    assert_eq!((heads, start), (2, input.len()));
    assert_eq!(arena, b"/1\nhost:a\n/2\nhost:b\n");
}

#[test]
fn empty_lines_alone_begin_no_request() {
    let mut scan = HeadScan::default();
    let mut begun = Vec::new();
    let input = b"\r\n\r\nGET / HTTP/1.1\r\nH";
    for end in 0..=input.len() {
        parse_head(&input[..end], &mut scan, &LIMITS, b"", &mut Vec::new());
        begun.push(scan.has_begun());
    }
    assert_eq!(begun[..6], [false, true, false, true, false, true]);
    assert!(begun[5..].iter().all(|begun| *begun));
}

/// A request that is nearly right: valid pieces with a few bytes replaced, put in or taken out.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1",
        "POST /a?b HTTP/1.0",
        "OPTIONS * HTTP/1.1",
        "GET http://h:1/p HTTP/1.1",
        "QUERY /x HTTP/1.1",
    ]);
    let field = prop::sample::select(vec![
        "Host: a",
        "Host: b:80",
        "Content-Length: 12",
        "Transfer-Encoding: chunked",
        "Connection: close, x",
        "Expect: 100-continue",
        "Upgrade: h2c",
        "Accept: text/html,application/xhtml+xml;q=0.9",
        "X-A_b: \tc ",
        "Y:",
        "Cookie: a=b; c=d; e=0123456789012345678901234567890123456789",
    ]);
    let edit = (
        0..3_u8,
        any::<prop::sample::Index>(),
        prop::sample::select(b"\r\n\t :,\0\x7f\x80a/#@".to_vec()),
    );
    (
        line,
        prop::collection::vec(field, 0..8),
        prop::collection::vec(edit, 0..3),
    )
        .prop_map(|(line, fields, edits)| {
            let mut bytes = format!("{line}\r\n").into_bytes();
            for field in fields {
                bytes.extend_from_slice(field.as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"\r\n");
            for (kind, index, byte) in edits {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => drop(bytes.remove(at)),
                }
            }
            bytes
        })
}

/// Small limits, so that they are met often and together.
fn any_limits() -> impl Strategy<Value = HeadLimits> {
    let small = (20..200_usize, 10..40_usize, 10..60_usize, 1..8_usize);
    let small = small.prop_map(|(head, line, field, fields)| HeadLimits {
        head,
        line,
        field,
        fields,
    });
    prop_oneof![Just(LIMITS), small]
}

/// What httparse makes of an accepted head, in our form.
fn oracle(input: &[u8]) -> (usize, String, Vec<u8>) {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(consumed)) = request.parse(input) else {
        panic!("refused by httparse: {}", input.escape_ascii());
    };
    let mut fields = Vec::new();
    for header in request.headers {
        fields.extend_from_slice(format!("\n{}:", header.name.to_ascii_lowercase()).as_bytes());
        fields.extend_from_slice(header.value);
    }
    fields.push(b'\n');
    (consumed, request.path.unwrap().to_owned(), fields)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cuts_change_nothing(
        input in nearly_valid(),
        limits in any_limits(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = judge_pieces(&input, std::iter::empty(), &limits);
        let bytewise = judge_pieces(&input, 1..input.len(), &limits);
        prop_assert_eq!((&whole.0, &whole.1), (&bytewise.0, &bytewise.1));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        ends.sort_unstable();
        let pieces = judge_pieces(&input, ends.into_iter(), &limits);
        prop_assert_eq!((&whole.0, &whole.1), (&pieces.0, &pieces.1));
    }

    #[test]
    fn what_is_accepted_means_the_same_to_httparse(input in nearly_valid()) {
        let mut arena = Vec::new();
        let outcome = parse_head(&input, &mut HeadScan::default(), &LIMITS, b"", &mut arena);
        if let HeadOutcome::Complete(head) = outcome {
            let (consumed, target, fields) = oracle(&input);
            prop_assert_eq!(head.consumed, consumed);
            if target.starts_with('/') || target == "*" {
                prop_assert_eq!(&arena[..head.target_len], target.as_bytes());
                let ours = arena[head.target_len..].strip_prefix(b"\n@method:");
                let ours = ours.map_or(&arena[head.target_len..], |rest| {
                    &rest[rest.iter().position(|byte| *byte == b'\n').unwrap()..]
                });
                prop_assert_eq!(ours, &fields[..]);
            }
        }
    }

    #[test]
    fn the_text_is_always_lines_of_name_and_value(input in nearly_valid()) {
        let mut arena = Vec::new();
        if let HeadOutcome::Complete(head) = parse_head(&input, &mut HeadScan::default(), &LIMITS, b"\n@p:q", &mut arena) {
            let text = &arena[head.target_len..];
            prop_assert!(text.starts_with(b"\n@p:q\n") && text.ends_with(b"\n"));
            for line in text[1..text.len() - 1].split(|byte| *byte == b'\n') {
                let colon = line.iter().position(|byte| *byte == b':');
                prop_assert!(colon.is_some_and(|at| at > 0));
                prop_assert!(!line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f));
            }
            let hosts = text.windows(6).filter(|window| window == b"\nhost:").count();
            prop_assert!(hosts == 1 || (hosts == 0 && head.version == Version::Http10));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(input in prop::collection::vec(any::<u8>(), 0..300), limits in any_limits()) {
        let whole = judge_pieces(&input, std::iter::empty(), &limits);
        let bytewise = judge_pieces(&input, 1..input.len().max(1), &limits);
        prop_assert_eq!((whole.0, whole.1), (bytewise.0, bytewise.1));
    }
}
