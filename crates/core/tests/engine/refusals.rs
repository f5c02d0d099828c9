//! The server's own answers: small, complete, and with nothing of what was wrong.

use gneiss_core::{Answers, Fate, ServerConfig};

use crate::workbench::{GET, Workbench};

/// The whole answer to bytes that are refused.
fn refusal(config: ServerConfig, input: &[u8]) -> String {
    let mut bench = Workbench::new(config);
    let key = bench.connect();
    bench.receive(key, input);
    assert!(bench.no_event(), "the application has heard of it");
    let answer = bench.sent(key);
    assert_eq!(bench.wish(key).fate, Fate::Shutdown);
    bench.close_and_check(key);
    answer
}

#[test]
fn every_refusal_is_one_small_answer_that_closes_the_connection() {
    let long = "x".repeat(9_000);
    let cases: [(u16, &str, String); 9] = [
        (400, "Bad Request", "GET / HTTP/1.1\r\n\r\n".into()),
        (
            400,
            "Bad Request",
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: a\r\n\r\n".into(),
        ),
        (
            405,
            "Method Not Allowed",
            "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
        (
            413,
            "Content Too Large",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".into(),
        ),
        (
            414,
            "URI Too Long",
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
        (
            417,
            "Expectation Failed",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n".into(),
        ),
        (
            431,
            "Request Header Fields Too Large",
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
        ),
        (
            501,
            "Not Implemented",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".into(),
        ),
        (
            505,
            "HTTP Version Not Supported",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(),
        ),
    ];
    for (status, reason, input) in cases {
        let allow = if status == 405 {
            "allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
        } else {
            ""
        };
        let length = reason.len();
        let expected = format!(
            "HTTP/1.1 {status} {reason}\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n{allow}content-type: text/plain\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{reason}"
        );
        assert_eq!(refusal(ServerConfig::default(), input.as_bytes()), expected);
        assert!(expected.len() < 300);
    }
}

#[test]
fn a_refused_head_request_gets_no_body() {
    for head in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: a\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
    ] {
        let answer = refusal(ServerConfig::default(), head.as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.ends_with("connection: close\r\n\r\n"),
            "{answer}"
        );
    }
}

#[test]
fn a_fault_before_the_head_is_a_500_and_after_it_a_cut() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.table.fail(request.id);
    let answer = bench.sent(key);
    assert!(
        answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n")
            && answer.ends_with("\r\n\r\nInternal Server Error")
    );
    assert_eq!(bench.wish(key).fate, Fate::Shutdown);
    bench.any_abort();
    bench.close_and_check(key);

    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.start(request.id, "");
    bench.table.fail(request.id);
    assert_eq!(
        (bench.sent(key).as_str(), bench.wish(key).fate),
        ("", Fate::Reset)
    );
    bench.any_abort();
    bench.close_and_check(key);
}
