//! Whole connections through the table: bytes in, events and bytes out, a clock by hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "a test fails by panicking and computes with numbers of its own"
)]

mod workbench;

use gneiss_core::{AbortReason, BodyOutcome, ChunkOutcome, Fate, ServerConfig, TakenBody};
use workbench::{Workbench, text};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

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
    assert!(!bench.table.end(request.id, false));
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
    assert!(bench.table.end(request.id, false));
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
    assert!(bench.table.end(request.id, false));
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
fn every_deadline_ends_its_state() {
    let quick = ServerConfig {
        first_byte_timeout: 1_000,
        head_timeout: 2_000,
        keep_alive: 3_000,
        body_idle_timeout: 4_000,
        request_timeout: 5_000,
        response_idle_timeout: 6_000,
        write_timeout: 7_000,
        ..ServerConfig::default()
    };
    let cases: [(&str, &[u8], u64, &str, Option<AbortReason>); 4] = [
        ("no byte", b"", 1_000, "", None),
        ("half a head", b"GET / HT", 2_000, "", None),
        (
            "half a body",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
            4_000,
            "HTTP/1.1 408",
            Some(AbortReason::BodyTimeout),
        ),
        (
            "no answer",
            GET,
            5_000,
            "HTTP/1.1 504",
            Some(AbortReason::RequestTimeout),
        ),
    ];
    for (name, input, after, answer, reason) in cases {
        let mut bench = Workbench::new(quick.clone());
        let key = bench.connect();
        bench.receive(key, input);
        bench.pass(after - 100);
        assert_eq!(bench.wish(key).fate, Fate::Stay, "{name}: too early");
        bench.pass(200);
        assert!(bench.sent(key).starts_with(answer), "{name}");
        assert_ne!(bench.wish(key).fate, Fate::Stay, "{name}");
        assert_eq!(bench.any_abort(), reason, "{name}");
        bench.close_and_check(key);
    }
}

#[test]
fn an_idle_a_silent_and_a_stalled_connection_end_too() {
    let quick = ServerConfig {
        keep_alive: 3_000,
        response_idle_timeout: 4_000,
        write_timeout: 5_000,
        ..ServerConfig::default()
    };
    let mut bench = Workbench::new(quick.clone());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.respond(request.id, "ok");
    bench.sent(key);
    bench.pass(3_100);
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);

    let mut bench = Workbench::new(quick.clone());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.start(request.id, "");
    bench.sent(key);
    bench.pass(4_100);
    assert_eq!(bench.any_abort(), Some(AbortReason::ResponseIdle));
    assert_eq!(bench.wish(key).fate, Fate::Reset);
    bench.close_and_check(key);

    let mut bench = Workbench::new(quick);
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.respond(request.id, "never read");
    bench.pass(5_100);
    assert_eq!(bench.wish(key).fate, Fate::Reset);
    bench.close_and_check(key);
}

#[test]
fn the_request_clock_stands_still_while_the_application_waits_for_the_peer() {
    let mut bench = Workbench::new(ServerConfig {
        request_timeout: 1_000,
        body_idle_timeout: 60_000,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n",
    );
    let request = bench.request();
    assert!(matches!(
        bench.table.take_body(request.id),
        TakenBody::None(BodyOutcome::Pending)
    ));
    bench.pass(5_000);
    assert_eq!(bench.any_abort(), None);
    bench.receive(key, b"abc");
    bench.pass(900);
    assert_eq!(bench.any_abort(), None);
    bench.pass(300);
    assert_eq!(bench.any_abort(), Some(AbortReason::RequestTimeout));
    bench.close_and_check(key);
}

#[test]
fn an_application_may_ask_for_more_time() {
    let mut bench = Workbench::new(ServerConfig {
        request_timeout: 1_000,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    assert!(bench.table.extend(request.id, 10_000));
    bench.pass(9_000);
    assert_eq!(bench.any_abort(), None);
    assert!(bench.table.extend(request.id, 0));
    bench.pass(1_000_000);
    assert_eq!(bench.any_abort(), None);
    bench.respond(request.id, "at last");
    bench.close_and_check(key);
}

#[test]
fn a_body_below_the_least_rate_is_too_slow() {
    let mut bench = Workbench::new(ServerConfig {
        body_idle_timeout: 0,
        request_timeout: 0,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(
        key,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
    );
    bench.request();
    for _ in 0..9 {
        bench.pass(1_000);
        bench.receive(key, b"12345678901234567890");
    }
    assert_eq!(bench.any_abort(), None);
    bench.pass(1_500);
    assert_eq!(bench.any_abort(), Some(AbortReason::BodyTimeout));
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
    assert_eq!(bench.body(request.id), b"1234567890");
    bench.advance(key);
    assert_eq!(bench.body(request.id), b"abcdefghij");
    bench.advance(key);
    assert_eq!(bench.body(request.id), b"12345");
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
fn draining_lets_the_present_answer_finish_and_says_close() {
    let mut bench = Workbench::new(ServerConfig::default());
    let (busy, idle) = (bench.connect(), bench.connect());
    bench.receive(busy, GET);
    let request = bench.request();
    bench.table.begin_close(bench.server, 5_000);
    bench.table.on_drained(busy);
    bench.table.on_drained(idle);
    assert!(!bench.table.may_accept(bench.server));
    assert_eq!(bench.wish(idle).fate, Fate::Close);
    assert_eq!(bench.wish(busy).fate, Fate::Stay);
    bench.respond(request.id, "last");
    assert!(bench.sent(busy).contains("connection: close\r\n"));
    assert_eq!(bench.wish(busy).fate, Fate::Close);
    bench.table.remove(idle);
    bench.close_and_check(busy);
    assert!(bench.table.is_drained(bench.server));
}

#[test]
fn what_is_open_at_the_closing_deadline_is_cut() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.table.begin_close(bench.server, 1_000);
    bench.pass(1_100);
    bench.table.expire_servers();
    assert_eq!(bench.abort(), (request.id, AbortReason::ServerClosed));
    assert_eq!(bench.wish(key).fate, Fate::Reset);
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
        most = most.max(bench.table.output(key).len());
        while bench.no_event() {
            bench.table.wrote(key, 10_000);
        }
        assert_eq!(bench.drain_event(), request.id);
    }
    assert!(most < 512 * 1024, "{most}");
    assert!(text(bench.table.output(key)).len() < 512 * 1024);
    bench.table.reset(request.id);
    bench.close_and_check(key);
}
