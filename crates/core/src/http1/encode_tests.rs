//! What leaves: which fields an application may set, which the server adds, and how the body ends.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow in a test fails the test"
)]

use proptest::prelude::*;

use memchr::memchr_iter;

use super::super::field::is_text;
use super::*;

pub(super) const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
pub(super) const DATE_LINE: &str = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

pub(super) const PLAIN: AnswerHead<'static> = AnswerHead {
    status: 200,
    headers: b"",
    count: 0,
    body: AnswerBody::Whole(5),
    is_head: false,
    version: Version::Http11,
    keep_alive: true,
    date: DATE,
    server: b"",
};

/// `PLAIN` with the fields of an application.
pub(super) fn with(headers: &str) -> AnswerHead<'_> {
    AnswerHead {
        headers: headers.as_bytes(),
        count: headers.matches('\n').count(),
        ..PLAIN
    }
}

/// The text after the status line, and the plan. A date is expected and left out, unless the application set it.
pub(super) fn encoded(head: &AnswerHead<'_>) -> (String, AnswerPlan) {
    let mut out = b"before".to_vec();
    let plan = encode_head(&mut out, head).unwrap();
    let text = String::from_utf8(out).unwrap();
    let (_, fields) = text
        .strip_prefix("before")
        .unwrap()
        .split_once("\r\n")
        .unwrap();
    (fields.replacen(DATE_LINE, "", 1), plan)
}

pub(super) fn fault(head: &AnswerHead<'_>) -> HeadFault {
    let mut out = b"before".to_vec();
    let fault = encode_head(&mut out, head).unwrap_err();
    assert_eq!(out, b"before");
    fault
}

pub(super) fn plan(framing: AnswerFraming, keep_alive: bool) -> AnswerPlan {
    AnswerPlan {
        framing,
        keep_alive,
    }
}

#[test]
fn a_whole_answer_is_written_as_given() {
    let mut out = Vec::new();
    let head =
        with("Content-Type:text/plain\nX-Two:\nx-two: \t b:c\t\nSet-Cookie:a\nset-cookie:b\n");
    assert_eq!(
        encode_head(&mut out, &head),
        Ok(plan(AnswerFraming::Length(5), true))
    );
    let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Two: \r\nx-two:  \t b:c\t\r\nSet-Cookie: a\r\n\
        set-cookie: b\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn the_status_line_has_the_phrase_or_at_least_its_space() {
    for (status, line) in [
        (200, "200 OK"),
        (404, "404 Not Found"),
        (413, "413 Content Too Large"),
        (299, "299 "),
        (999, "999 "),
    ] {
        let mut out = Vec::new();
        encode_head(&mut out, &AnswerHead { status, ..PLAIN }).unwrap();
        assert!(
            out.starts_with(format!("HTTP/1.1 {line}\r\n").as_bytes()),
            "{status}"
        );
    }
    for status in [0, 99, 100, 101, 199, 1000, u16::MAX] {
        assert_eq!(fault(&AnswerHead { status, ..PLAIN }), HeadFault::Status);
    }
}

#[test]
fn fields_of_the_application_replace_those_of_the_server() {
    let server = AnswerHead {
        server: b"gneiss",
        ..PLAIN
    };
    assert_eq!(
        encoded(&server).0,
        "content-length: 5\r\nserver: gneiss\r\n\r\n"
    );
    let head = AnswerHead {
        server: b"gneiss",
        ..with("SERVER:mine\nDate:then\nContent-Length:5\n")
    };
    assert_eq!(
        encoded(&head).0,
        "SERVER: mine\r\nDate: then\r\nContent-Length: 5\r\n\r\n"
    );
}

#[test]
fn bad_names_and_values_are_faults_of_their_field() {
    for (headers, expected) in [
        ("a:b\nc d:e\n", HeadFault::Name { field: 1 }),
        (":b\n", HeadFault::Name { field: 0 }),
        ("a\r:b\n", HeadFault::Name { field: 0 }),
        ("\u{e9}:b\n", HeadFault::Name { field: 0 }),
        ("a\0:b\n", HeadFault::Name { field: 0 }),
        ("a:b\nc:d\r\n", HeadFault::Value { field: 1 }),
        ("a:b\r\n", HeadFault::Value { field: 0 }),
        ("a:\0\n", HeadFault::Value { field: 0 }),
        ("a:b\x7f\n", HeadFault::Value { field: 0 }),
        ("a:0123456789012345678\x01\n", HeadFault::Value { field: 0 }),
        ("a\n", HeadFault::Count),
        ("a:b", HeadFault::Count),
        ("a:b\nc:d", HeadFault::Count),
    ] {
        assert_eq!(fault(&with(headers)), expected, "{headers:?}");
    }
    let mut out = Vec::new();
    let bytes = AnswerHead {
        headers: b"a:\t\x80\xff ~\n",
        count: 1,
        ..PLAIN
    };
    assert!(encode_head(&mut out, &bytes).is_ok());
    assert!(
        out.windows(10)
            .any(|window| window == b"a: \t\x80\xff ~\r\n")
    );
}

#[test]
fn a_line_feed_inside_of_a_field_never_becomes_a_field() {
    for headers in [
        "a:b\nset-cookie:c\n",
        "a:b\nc d\n",
        "a:b\nc d:e\n",
        "a:b\r\nc:d\n",
        "a:b\n\n",
        "a\nb:c\n",
    ] {
        assert_eq!(
            fault(&AnswerHead {
                count: 1,
                ..with(headers)
            }),
            HeadFault::Count,
            "{headers:?}"
        );
    }
    assert_eq!(
        fault(&AnswerHead {
            count: 2,
            ..with("a:b\n")
        }),
        HeadFault::Count
    );
    assert_eq!(fault(&AnswerHead { count: 1, ..PLAIN }), HeadFault::Count);
}

#[test]
fn fields_of_the_connection_belong_to_the_server() {
    for headers in [
        "Transfer-Encoding:chunked\n",
        "transfer-encoding:\n",
        "Upgrade:h2c\n",
        "Keep-Alive:timeout=5\n",
        "connection:keep-alive\n",
        "connection:upgrade\n",
        "connection:close, x\n",
        "connection:\n",
    ] {
        assert_eq!(
            fault(&with(headers)),
            HeadFault::Forbidden { field: 0 },
            "{headers:?}"
        );
    }
    assert_eq!(
        encoded(&with("Connection: Close\nconnection:close\n")),
        (
            "Connection:  Close\r\ncontent-length: 5\r\n\r\n".to_owned(),
            plan(AnswerFraming::Length(5), false)
        )
    );
    assert!(encode_head(&mut Vec::new(), &with("Trailer:a\nTE:b\nX-Upgrade:c\n")).is_ok());
}

#[test]
fn content_length_is_checked() {
    for headers in [
        "content-length:4\n",
        "Content-Length:+5\n",
        "content-length:\n",
        "content-length:5,5\n",
        "content-length:5x\n",
    ] {
        assert_eq!(
            fault(&with(headers)),
            HeadFault::ContentLength { field: 0 },
            "{headers:?}"
        );
    }
    let twice = with("content-length:5\nContent-Length:5\n");
    assert_eq!(fault(&twice), HeadFault::ContentLength { field: 1 });
    assert_eq!(
        encoded(&with("content-length: 5 \n")).1,
        plan(AnswerFraming::Length(5), true)
    );
}

#[test]
fn trailers_follow_the_last_chunk_and_belong_in_no_head() {
    let mut out = Vec::new();
    encode_trailers(&mut out, b"x-sum:abc\nserver-timing:db\n", 2).unwrap();
    assert_eq!(out, b"0\r\nx-sum: abc\r\nserver-timing: db\r\n\r\n");
    for (fields, count, fault) in [
        (
            &b"content-length:3\n"[..],
            1,
            HeadFault::Forbidden { field: 0 },
        ),
        (
            b"a:b\nTransfer-Encoding:chunked\n",
            2,
            HeadFault::Forbidden { field: 1 },
        ),
        (b"a b:c\n", 1, HeadFault::Name { field: 0 }),
        (b"a:\x00\n", 1, HeadFault::Value { field: 0 }),
        (b"a:b\nc:d\n", 1, HeadFault::Count),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(encode_trailers(&mut out, fields, count), Err(fault));
        assert_eq!(out, b"before");
    }
}

proptest! {
    #[test]
    fn an_answer_is_read_back_as_it_was_given(
        status in 200..1000_u16,
        fields in prop::collection::vec(("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,40}", "[\t -~\u{80}-\u{ff}]{0,80}"), 0..12),
        stream in any::<bool>(),
    ) {
        let text = fields.iter().fold(String::new(), |text, (name, value)| text + name + ":" + value + "\n");
        let latin1: Vec<u8> = text.chars().map(|character| u8::try_from(character).unwrap()).collect();
        let body = if stream { AnswerBody::Stream } else { AnswerBody::Whole(5) };
        let head = AnswerHead { status, headers: &latin1, count: fields.len(), body, ..PLAIN };
        let mut out = Vec::new();
        encode_head(&mut out, &head).unwrap();
        let mut parsed = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut parsed);
        prop_assert_eq!(response.parse(&out), Ok(httparse::Status::Complete(out.len())));
        prop_assert_eq!(response.code, Some(status));
        for ((name, value), header) in fields.iter().zip(&*response.headers) {
            let value: Vec<u8> = value.chars().map(|character| u8::try_from(character).unwrap()).collect();
            prop_assert_eq!(name, header.name);
            prop_assert_eq!(trim(&value), trim(header.value));
        }
        let own = usize::from(status != 204 && status != 304);
        prop_assert_eq!(response.headers.len(), fields.len() + 1 + own);
    }

    #[test]
    fn no_fields_make_it_panic_or_leave_half_a_head(
        headers in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "([a-c]{0,2}:?[ -~\r\u{0}]{0,5}\n?){0,6}".prop_map(String::into_bytes),
        ],
        count in 0..4_usize,
    ) {
        let mut out = b"before".to_vec();
        if encode_head(&mut out, &AnswerHead { headers: &headers, count, ..PLAIN }).is_err() {
            prop_assert_eq!(out, b"before");
        } else {
            prop_assert_eq!(memchr_iter(b'\n', &headers).count(), count);
            let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
            prop_assert!(lines[..lines.len() - 1].iter().all(|line| line.ends_with(b"\r")));
            prop_assert!(lines.iter().all(|line| line.strip_suffix(b"\r").is_none_or(is_text)));
        }
    }
}

#[test]
#[ignore = "prints a time: run it alone, in release"]
fn time_of_an_answer_head_with_one_field() {
    let head = with("content-type:text/plain; charset=utf-8\n");
    let mut out = Vec::with_capacity(4096);
    let round = |out: &mut Vec<u8>| {
        let start = std::time::Instant::now();
        for _ in 0..10_000 {
            out.clear();
            assert!(encode_head(out, std::hint::black_box(&head)).is_ok());
            std::hint::black_box(&*out);
        }
        start.elapsed().as_nanos() / 10_000
    };
    let best = (0..200).map(|_| round(&mut out)).min();
    println!("1 field: {best:?} ns");
}
