//! Request bodies: limits, back-pressure, 100 (Continue).

use gneiss_core::{AbortReason, Answers, BodyOutcome, Fate, ServerConfig, TakenBody};

use crate::workbench::Workbench;

#[test]
fn a_hundred_is_sent_only_when_the_application_reads() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    );
    let request = bench.request();
    assert_eq!(bench.sent(key), "");
    assert!(matches!(
        bench.table.take_body(request.id),
        TakenBody::None(BodyOutcome::Pending)
    ));
    assert_eq!(bench.sent(key), "HTTP/1.1 100 Continue\r\n\r\n");
    bench.receive(key, b"abc");
    assert_eq!(bench.chunk_event(), request.id);
    assert_eq!(bench.body(request.id), b"abc");
    bench.respond(request.id, "ok");
    bench.close_and_check(key);
}

#[test]
fn an_answer_ahead_of_its_body_ends_the_connection_and_hides_nothing() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
    );
    let request = bench.request();
    bench.respond(request.id, "no");
    assert!(bench.sent(key).contains("connection: close\r\n"));
    assert_eq!(bench.wish(key).fate, Fate::Shutdown);
    bench.table.linger(key);
    bench.receive(key, b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(bench.no_event(), "discarded, never parsed");
    bench.pass(1_100);
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_body_is_held_back_beyond_the_read_ahead() {
    let mut bench = Workbench::new(ServerConfig {
        body_read_ahead: 10,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 25\r\n\r\n1234567890abcdefghij12345",
    );
    let request = bench.request();
    assert_eq!(bench.wish(key).read, 0);
    assert_eq!(bench.held().body, 25);
    assert_eq!(bench.body(request.id), b"1234567890");
    assert_eq!(bench.held().body, 15);
    bench.advance(key);
    assert_eq!(bench.body(request.id), b"abcdefghij");
    bench.advance(key);
    assert_eq!(bench.body(request.id), b"12345");
    assert_eq!(bench.held().body, 0);
    assert!(matches!(
        bench.table.take_body(request.id),
        TakenBody::None(BodyOutcome::End)
    ));
    bench.respond(request.id, "ok");
    bench.close_and_check(key);
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_and_during() {
    let small = ServerConfig {
        max_body: 10,
        ..ServerConfig::default()
    };
    let mut bench = Workbench::new(small.clone());
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n",
    );
    assert!(bench.no_event(), "nothing of it reaches the application");
    assert!(bench.sent(key).starts_with("HTTP/1.1 413"));
    bench.close_and_check(key);

    let mut bench = Workbench::new(small);
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    let request = bench.request();
    bench.receive(key, b"6\r\nworld!\r\n");
    assert_eq!(bench.abort(), (request.id, AbortReason::BodyTooLarge));
    assert!(bench.sent(key).starts_with("HTTP/1.1 413"));
    bench.close_and_check(key);
}

#[test]
fn a_body_that_is_wrong_from_the_start_never_reaches_the_application() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
    );
    assert!(bench.no_event());
    assert!(bench.sent(key).starts_with("HTTP/1.1 400"));
    bench.close_and_check(key);
}

#[test]
fn head_and_not_modified_carry_no_body() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let request = bench.request();
    bench.respond(request.id, "four");
    let sent = bench.sent(key);
    assert!(
        sent.contains("content-length: 4\r\n") && sent.ends_with("\r\n\r\n"),
        "{sent}"
    );
    bench.close_and_check(key);
}
