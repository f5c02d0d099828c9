//! The rows of the HTTP/1 grid that concern the head. Every row is also fed byte by byte, so none can
//! depend on how the network cuts it.

use super::*;
use crate::http1::refusal::Refusal as R;

const LIMITS: HeadLimits = HeadLimits {
    head: 32 * 1024,
    line: 8 * 1024,
    field: 8 * 1024,
    fields: 100,
};
const PSEUDO: &[u8] = b"\n@peer:127.0.0.1 50000\n@local:127.0.0.1 8000";

/// What a head became: the facts, the target, and the fields without the pseudo fields they begin with.
pub(super) type Accepted = (Head, String, String);

pub(super) fn judge(input: &[u8]) -> Result<Accepted, R> {
    let mut arena = b"before".to_vec();
    let whole = parse_head(input, &mut HeadScan::default(), &LIMITS, PSEUDO, &mut arena);
    let mut scan = HeadScan::default();
    let mut pieces_arena = b"before".to_vec();
    let pieces = (1..=input.len())
        .map(|end| parse_head(&input[..end], &mut scan, &LIMITS, PSEUDO, &mut pieces_arena))
        .find(|outcome| *outcome != HeadOutcome::Incomplete);
    assert_eq!(
        pieces.as_ref(),
        Some(&whole),
        "byte by byte: {}",
        input.escape_ascii()
    );
    assert_eq!(pieces_arena, arena);
    let HeadOutcome::Complete(head) = whole else {
        assert_eq!(arena, b"before");
        let HeadOutcome::Refused(refusal) = whole else {
            panic!("incomplete: {}", input.escape_ascii())
        };
        return Err(refusal);
    };
    let text = String::from_utf8(arena[6..].iter().map(|byte| byte & 0x7f).collect()).unwrap();
    let (target, fields) = text.split_at(head.target_len);
    assert_eq!(fields.len(), head.head_len);
    let fields = fields
        .strip_prefix(std::str::from_utf8(PSEUDO).unwrap())
        .unwrap();
    Ok((head, target.to_owned(), fields.to_owned()))
}

pub(super) fn accepted(input: &str) -> Accepted {
    judge(input.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}: {input:?}"))
}

/// A request for `/` with `fields` besides Host.
pub(super) fn with(fields: &str) -> Result<Accepted, R> {
    judge(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
}

pub(super) fn assert_refused(rows: &[(&str, R)]) {
    for (input, expected) in rows {
        assert_eq!(judge(input.as_bytes()).err(), Some(*expected), "{input:?}");
    }
}

pub(super) fn assert_field_refused(rows: &[(&str, R)]) {
    for (fields, expected) in rows {
        assert_eq!(with(fields).err(), Some(*expected), "{fields:?}");
    }
}

#[test]
fn a_plain_request_becomes_its_text_and_facts() {
    let input = "GET /a?b=c HTTP/1.1\r\nHost: example.org:80\r\nX-Two: \t a  b \t\r\nx-two:\r\nX_3!:\"q\"\r\n\r\nrest";
    let (head, target, fields) = accepted(input);
    assert_eq!(target, "/a?b=c");
    assert_eq!(
        fields,
        "\nhost:example.org:80\nx-two:a  b\nx-two:\nx_3!:\"q\"\n"
    );
    let expected = Head {
        forwarded: false,
        secure: false,
        consumed: input.len() - 4,
        method: 1,
        is_head: false,
        version: Version::Http11,
        framing: BodyFraming::None,
        keep_alive: true,
        upgrade: false,
        expect_continue: false,
        target_len: 6,
        head_len: PSEUDO.len() + fields.len(),
    };
    assert_eq!(head, expected);
}

#[test]
fn values_keep_the_bytes_above_ascii() {
    let mut arena = Vec::new();
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9 \xc3\xa9\r\n\r\n";
    parse_head(input, &mut HeadScan::default(), &LIMITS, b"", &mut arena);
    assert_eq!(arena, b"/\nhost:a\nx:caf\xe9 \xc3\xa9\n");
}

#[test]
fn names_and_values_of_every_length_come_out_whole() {
    for length in 1..70 {
        let name: String = "X-ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789."
            .chars()
            .cycle()
            .take(length)
            .collect();
        for value_length in 0..70 {
            let value = "v".repeat(value_length);
            let (_, _, fields) = with(&format!("{name}: {value}\r\n")).unwrap();
            assert_eq!(
                fields,
                format!("\nhost:a\n{}:{value}\n", name.to_lowercase())
            );
        }
    }
}

#[test]
fn methods_have_codes_and_others_are_named() {
    for (code, name) in METHODS.iter().enumerate().skip(1) {
        let (head, _, fields) = accepted(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            (usize::from(head.method), head.is_head),
            (code, *name == "HEAD")
        );
        assert_eq!(fields, "\nhost:a\n");
    }
    for name in ["QUERY", "get", "M-SEARCH", "A"] {
        let (head, _, fields) = accepted(&format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.method, 0);
        assert_eq!(fields, format!("\n@method:{name}\nhost:a\n"));
    }
}

#[test]
fn rows_10_to_13_lines() {
    assert_field_refused(&[
        ("X : b\r\n", R::FieldName),
        ("X\t: b\r\n", R::FieldName),
        ("X\ty: b\r\n", R::FieldName),
        ("X y: b\r\n", R::FieldName),
        ("X[]: b\r\n", R::FieldName),
        ("no colon\r\n", R::FieldName),
        (": b\r\n", R::FieldName),
        ("X\0: b\r\n", R::FieldName),
        ("@peer: b\r\n", R::FieldName),
        ("X\u{e9}: b\r\n", R::FieldName),
        ("X: b\r\n c\r\n", R::FieldFolded),
        ("X: b\r\n\tc: d\r\n", R::FieldFolded),
        ("X: b\nY: c\r\n", R::BareLineFeed),
        ("X: b\n", R::BareLineFeed),
        ("\nX: b\r\n", R::BareLineFeed),
        ("X: b\rc\r\n", R::FieldValue),
        ("X: b\r\r\n", R::FieldValue),
        ("X: b\r\n\rY: c\r\n", R::FieldName),
        ("X: \0\r\n", R::FieldValue),
        ("X: a\x7f\r\n", R::FieldValue),
        ("X: a\x1b\r\n", R::FieldValue),
    ]);
    assert_refused(&[
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", R::FieldFolded),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", R::BareLineFeed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", R::BareLineFeed),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", R::BareLineFeed),
    ]);
}

#[test]
fn row_22_absolute_form() {
    for (target, expected, host) in [
        ("http://b.org:81/c?d", "/c?d", "b.org:81"),
        ("HTTP://b", "/", "b"),
        ("https://b?d=/e", "/?d=/e", "b"),
        ("http://[::1]:80//c", "//c", "[::1]:80"),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nX: 1\r\nHost: other\r\nY: 2\r\n\r\n");
        let (_, found, fields) = accepted(&input);
        assert_eq!(found, expected);
        assert_eq!(
            fields,
            format!("\n@target:{target}\nx:1\nhost:{host}\ny:2\n")
        );
    }
    let (_, _, fields) = accepted("LINK http://b/ HTTP/1.0\r\nX: 1\r\n\r\n");
    assert_eq!(fields, "\n@method:LINK\n@target:http://b/\nx:1\nhost:b\n");
    for (target, expected) in [
        ("ftp://a/", R::TargetScheme),
        ("ws://a/", R::TargetScheme),
        ("http://", R::HostInvalid),
        ("http:///a", R::HostInvalid),
        ("http://user@a/", R::HostInvalid),
        ("http:a", R::TargetForm),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(judge(input.as_bytes()).err(), Some(expected), "{target:?}");
    }
    assert_refused(&[(
        "GET http://a/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
        R::HostInvalid,
    )]);
}

#[test]
fn rows_23_to_27_request_line() {
    assert_refused(&[
        ("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
        ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetForm),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", R::MethodNotAllowed),
        (
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            R::MethodNotAllowed,
        ),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", R::VersionUnsupported),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", R::VersionUnsupported),
        ("PRI * HTTP/2.0\r\n\r\n", R::VersionUnsupported),
        ("GET /\r\n", R::VersionMissing),
        ("GET\r\n", R::VersionMissing),
        ("GET / \r\n", R::Version),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", R::Version),
        ("GET / HTTP/2\r\nHost: a\r\n\r\n", R::Version),
        ("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", R::VersionMissing),
        ("GET /\u{80} HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("GET  HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("GET HTTP/1.1\r\nHost: a\r\n\r\n", R::TargetText),
        ("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        ("\r GET / HTTP/1.1\r\nHost: a\r\n\r\n", R::Method),
        ("\x16\x03\x01", R::Method),
    ]);
    let (head, target, _) = accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.method, target.as_str()), (6, "*"));
}

#[test]
fn row_29_two_empty_lines_are_forgiven() {
    for (prefix, verdict) in [
        ("", None),
        ("\r\n", None),
        ("\r\n\r\n", None),
        ("\r\n\r\n\r\n", Some(R::EmptyLines)),
    ] {
        let input = format!("{prefix}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(judge(input.as_bytes()).err(), verdict);
        if verdict.is_none() {
            assert_eq!(accepted(&input).0.consumed, input.len());
        }
    }
}

#[test]
#[ignore = "prints a time: run it alone, in release"]
fn time_of_a_head() {
    let ten = "GET /path/to/resource?query=value HTTP/1.1\r\nHost: localhost:8000\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n\
        Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nUpgrade-Insecure-Requests: 1\r\n\
        Sec-Fetch-Dest: document\r\nCache-Control: max-age=0\r\n\r\n";
    for (name, input) in [
        ("10 fields", ten),
        ("1 field", "GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n"),
    ] {
        let mut arena = Vec::with_capacity(64 * 1024);
        let round = |arena: &mut Vec<u8>| {
            let start = std::time::Instant::now();
            for _ in 0..10_000 {
                arena.clear();
                let input = std::hint::black_box(input.as_bytes());
                let outcome = parse_head(input, &mut HeadScan::default(), &LIMITS, PSEUDO, arena);
                assert!(matches!(
                    std::hint::black_box(outcome),
                    HeadOutcome::Complete(_)
                ));
            }
            start.elapsed().as_nanos() / 10_000
        };
        let best = (0..200).map(|_| round(&mut arena)).min();
        println!("{name}, {} bytes: {best:?} ns", input.len());
    }
}
