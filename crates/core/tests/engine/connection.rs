//! Order, ends and framing of answers.

use gneiss_core::{AbortReason, Answers, BodyOutcome, ChunkOutcome, Fate, ServerConfig, TakenBody};

use crate::workbench::{GET, Workbench};

#[test]
fn answers_leave_in_the_order_of_pipelined_requests() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
    for number in 1..=3 {
        let request = bench.request();
        assert_eq!(request.target, format!("/{number}"));
        assert!(bench.no_event(), "one request at a time");
        bench.respond(request.id, &format!("answer {number}"));
        bench.advance(key);
    }
    let sent = bench.sent(key);
    let first = sent.find("answer 1").unwrap();
    assert!(first < sent.find("answer 2").unwrap() && sent.contains("answer 3"));
    bench.close_and_check(key);
}

#[test]
fn a_request_split_at_every_byte_is_one_request() {
    let message = b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nwor\r\n0\r\nX: y\r\n\r\n";
    for cut in 1..message.len() {
        let mut bench = Workbench::new(ServerConfig::default());
        let key = bench.connect();
        bench.receive(key, &message[..cut]);
        bench.receive(key, &message[cut..]);
        let request = bench.request();
        assert_eq!(bench.body(request.id), b"hellowor", "cut at {cut}");
        bench.respond(request.id, "ok");
        assert!(bench.sent(key).starts_with("HTTP/1.1 200 OK\r\n"));
        bench.close_and_check(key);
    }
}

#[test]
fn a_stale_id_is_a_no_op() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.respond(request.id, "ok");
    assert_eq!(bench.table.end(request.id, false), ChunkOutcome::Gone);
    assert!(!bench.table.reset(request.id));
    assert!(!bench.table.extend(request.id, 5));
    assert!(matches!(
        bench.table.chunk(request.id, b"x", false, false),
        Ok(ChunkOutcome::Gone)
    ));
    assert!(matches!(
        bench.table.take_body(request.id),
        TakenBody::None(BodyOutcome::Gone)
    ));
    bench.close_and_check(key);
}

#[test]
fn a_peer_that_closes_is_gone_and_the_application_hears_it_once() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.table.on_end(key);
    assert_eq!(bench.abort(), (request.id, AbortReason::PeerGone));
    bench.table.on_error(key);
    assert!(bench.no_event());
    assert_ne!(bench.wish(key).fate, Fate::Stay);
    bench.close_and_check(key);
}

#[test]
fn a_half_closed_peer_is_served_where_that_is_allowed() {
    let mut bench = Workbench::new(ServerConfig {
        allow_half_open: true,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.table.on_end(key);
    assert!(bench.no_event());
    assert_eq!((bench.wish(key).read, bench.wish(key).watch), (0, false));
    bench.respond(request.id, "late");
    assert!(bench.sent(key).ends_with("late"));
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_stream_is_chunked_and_tells_the_application_to_wait() {
    let mut bench = Workbench::new(ServerConfig {
        stream_buffer: 50,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.start(request.id, "");
    assert_eq!(
        bench.chunk(request.id, b"hello"),
        ChunkOutcome::Full,
        "the head alone fills a small buffer"
    );
    assert!(bench.no_event());
    let sent = bench.sent(key);
    assert!(sent.contains("transfer-encoding: chunked\r\n") && sent.ends_with("5\r\nhello\r\n"));
    assert_eq!(bench.drain_event(), request.id);
    assert_eq!(bench.chunk(request.id, b""), ChunkOutcome::Room);
    assert_eq!(bench.table.end(request.id, false), ChunkOutcome::Room);
    assert_eq!(bench.sent(key), "0\r\n\r\n");
    bench.close_and_check(key);
}

#[test]
fn too_many_bytes_are_refused_and_too_few_cut_the_connection() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.start(request.id, "content-length:5\n");
    assert_eq!(bench.chunk(request.id, b"1234"), ChunkOutcome::Room);
    assert!(bench.table.chunk(request.id, b"56", false, false).is_err());
    assert_eq!(bench.table.end(request.id, false), ChunkOutcome::Short);
    assert!(bench.sent(key).ends_with("1234"));
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_cut_answer_without_framing_is_reset() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, b"GET / HTTP/1.0\r\n\r\n");
    let request = bench.request();
    bench.start(request.id, "");
    bench.chunk(request.id, b"half");
    assert!(bench.table.reset(request.id));
    assert_eq!(bench.wish(key).fate, Fate::Reset);
    bench.close_and_check(key);
}

#[test]
fn done_is_reported_when_the_answer_was_handed_over() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, [GET, GET].concat().as_slice());
    let request = bench.request();
    bench.respond_done(request.id, "ok");
    bench.advance(key);
    assert!(
        bench.no_event(),
        "the next request waits until the answer has left"
    );
    assert!(!bench.sent(key).is_empty());
    assert_eq!(bench.done_event(), request.id);
    bench.advance(key);
    let next = bench.request();
    bench.respond(next.id, "ok");
    bench.close_and_check(key);
}

#[test]
fn a_peer_that_reads_slowly_does_not_grow_the_buffer() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.start(request.id, "");
    let piece = vec![b'x'; 64 * 1024];
    let mut most = 0;
    for _ in 0..200 {
        while bench.chunk(request.id, &piece) == ChunkOutcome::Room {}
        assert_eq!(bench.held().response, bench.table.output(key).len());
        most = most.max(bench.held().response);
        while bench.no_event() {
            bench.table.wrote(key, 10_000);
        }
        assert_eq!(bench.drain_event(), request.id);
    }
    // The limit itself: another piece of 64 KiB would not fit into it.
    assert!(most <= 192 * 1024, "{most}");
    bench.table.reset(request.id);
    bench.close_and_check(key);
}

#[test]
fn trailers_end_a_chunked_answer_and_are_dropped_from_any_other() {
    for (version, fields, tail) in [
        ("1.1", "", "0\r\nx-sum: 5\r\n\r\n"),
        ("1.1", "content-length:5\n", "hello"),
        ("1.0", "", "hello"),
    ] {
        let mut bench = Workbench::new(ServerConfig::default());
        let key = bench.connect();
        bench.receive(
            key,
            format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n").as_bytes(),
        );
        let request = bench.request();
        bench.start(request.id, fields);
        bench.chunk(request.id, b"hello");
        assert!(
            bench
                .table
                .end_with_trailers(request.id, b"bad\n", 1, false)
                .is_err()
        );
        bench
            .table
            .end_with_trailers(request.id, b"x-sum:5\n", 1, false)
            .unwrap();
        assert!(bench.sent(key).ends_with(tail));
        assert!(
            bench
                .table
                .end_with_trailers(request.id, b"", 0, false)
                .is_err()
        );
        bench.close_and_check(key);
    }
}

#[test]
fn done_is_reported_although_the_end_of_the_answer_had_nothing_to_write() {
    for (method, fields, body) in [
        ("HEAD", "", &b""[..]),
        ("GET", "content-length:5\n", b"hello"),
    ] {
        let mut bench = Workbench::new(ServerConfig::default());
        let key = bench.connect();
        bench.receive(
            key,
            format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
        let request = bench.request();
        bench.start(request.id, fields);
        bench.chunk(request.id, body);
        bench.sent(key);
        assert_eq!(bench.table.end(request.id, true), ChunkOutcome::Room);
        assert_eq!(bench.done_event(), request.id, "{method}");
        assert!(!bench.table.is_open(request.id), "{method}");
        bench.close_and_check(key);
    }
}

#[test]
fn an_application_that_was_told_to_wait_hears_of_room_although_it_sent_more() {
    let mut bench = Workbench::new(ServerConfig {
        stream_buffer: 1_000,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.start(request.id, "");
    assert_eq!(bench.chunk(request.id, &[b'x'; 1_500]), ChunkOutcome::Full);
    let waiting = bench.table.output(key).len();
    bench.table.wrote(key, waiting - 700);
    assert!(bench.no_event());
    assert_eq!(bench.chunk(request.id, b"more"), ChunkOutcome::Room);
    bench.sent(key);
    assert_eq!(bench.drain_event(), request.id);
    bench.table.reset(request.id);
    bench.close_and_check(key);
}

#[test]
fn requests_pipelined_before_a_half_close_are_all_served_where_that_is_allowed() {
    let mut bench = Workbench::new(ServerConfig {
        allow_half_open: true,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(key, [GET, GET, b"GET / HT"].concat().as_slice());
    let first = bench.request();
    bench.table.on_end(key);
    bench.respond(first.id, "one");
    bench.advance(key);
    let second = bench.request();
    assert_eq!(bench.wish(key).fate, Fate::Stay);
    bench.respond(second.id, "two");
    bench.advance(key);
    assert!(bench.sent(key).ends_with("two"));
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_peer_that_closes_while_the_whole_answer_leaves_gets_it_and_done_is_reported() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.respond_done(request.id, "whole");
    bench.table.on_end(key);
    assert!(bench.no_event());
    assert!(bench.sent(key).ends_with("whole"));
    assert_eq!(bench.done_event(), request.id);
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_malformed_rest_of_a_body_takes_no_answer_back() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let request = bench.request();
    bench.respond_done(request.id, "whole");
    bench.receive(key, b"no chunk at all");
    assert!(bench.sent(key).ends_with("whole"));
    assert_eq!(bench.done_event(), request.id);
    assert_eq!(bench.wish(key).fate, Fate::Shutdown);
    bench.close_and_check(key);
}

#[test]
fn what_a_leaving_peer_has_sent_is_discarded_before_the_close() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc",
    );
    let request = bench.request();
    bench.respond(request.id, "no");
    bench.table.on_hang_up(key);
    assert!(!bench.wish(key).watch, "the end need not be told twice");
    bench.sent(key);
    assert_eq!(bench.wish(key).fate, Fate::Shutdown);
    bench.table.linger(key);
    assert!(bench.wish(key).read > 0);
    bench.table.on_end(key);
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_peer_that_has_closed_already_is_not_waited_for() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    // The second request is never looked at: the peer has gone when its turn would come.
    bench.receive(key, &[GET, GET].concat());
    let request = bench.request();
    bench.respond_done(request.id, "whole");
    bench.table.on_end(key);
    assert!(bench.sent(key).ends_with("whole"));
    assert_eq!(bench.done_event(), request.id);
    assert_eq!(
        bench.wish(key).fate,
        Fate::Close,
        "a close that lingers would wait for an end that it has seen"
    );
    bench.close_and_check(key);
}
