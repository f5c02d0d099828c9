//! Every state ends by itself, and none too early.

use gneiss_core::{AbortReason, Answers, BodyOutcome, Fate, ServerConfig, TakenBody};

use crate::workbench::{GET, Workbench};

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
fn draining_lets_the_present_answer_finish_and_says_close() {
    let mut bench = Workbench::new(ServerConfig::default());
    let (busy, idle) = (bench.connect(), bench.connect());
    bench.receive(idle, GET);
    let earlier = bench.request();
    bench.respond(earlier.id, "idle from here on");
    bench.sent(idle);
    bench.pass(50);
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
fn draining_waits_twice_as_long_as_a_client_has_paused() {
    for (pause, patience) in [(0, 50), (20, 50), (400, 800), (20_000, 5_000)] {
        let mut bench = Workbench::new(ServerConfig::default());
        let (asking, silent) = (bench.connect(), bench.connect());
        for pause in [pause, 0, 0] {
            for key in [asking, silent] {
                bench.receive(key, GET);
                let request = bench.request();
                bench.respond(request.id, "an answer");
                bench.sent(key);
            }
            bench.pass(pause);
        }
        bench.table.begin_close(bench.server, 30_000);
        for key in [asking, silent] {
            bench.table.on_drained(key);
            bench.table.arm(key);
        }
        bench.pass(patience - 30);
        assert_eq!(bench.wish(silent).fate, Fate::Stay, "after {pause} ms");
        bench.receive(asking, GET);
        let request = bench.request();
        bench.respond(request.id, "last");
        assert!(bench.sent(asking).contains("connection: close\r\n"));
        // The wheel is 32 ms late at most.
        bench.pass(62);
        assert_eq!(bench.wish(silent).fate, Fate::Close, "after {pause} ms");
        bench.table.remove(silent);
        bench.close_and_check(asking);
    }
}

#[test]
fn draining_waits_a_second_for_the_request_of_a_connection_that_was_just_accepted() {
    let mut bench = Workbench::new(ServerConfig {
        first_byte_timeout: 0,
        ..ServerConfig::default()
    });
    let old = bench.connect();
    bench.pass(1_000);
    let (late, silent, partial) = (bench.connect(), bench.connect(), bench.connect());
    bench.receive(partial, b"GET / HT");
    bench.table.begin_close(bench.server, 5_000);
    for key in [old, late, silent, partial] {
        bench.table.on_drained(key);
        bench.table.arm(key);
    }
    assert_eq!(bench.wish(old).fate, Fate::Close);
    bench.pass(900);
    assert_eq!(bench.wish(late).fate, Fate::Stay);
    bench.receive(late, GET);
    let request = bench.request();
    bench.respond(request.id, "last");
    assert!(bench.sent(late).contains("connection: close\r\n"));
    bench.receive(partial, b"TP/1.1\r\nHost: x\r\n\r\n");
    let request = bench.request();
    bench.respond(request.id, "last");
    assert!(bench.sent(partial).contains("connection: close\r\n"));
    bench.pass(200);
    assert_eq!(bench.wish(silent).fate, Fate::Close);
    assert_eq!(
        bench
            .table
            .counters(bench.server)
            .unwrap()
            .timeouts_total
            .get(),
        0
    );
    for key in [old, late, silent] {
        bench.table.remove(key);
    }
    bench.close_and_check(partial);
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
fn what_follows_a_refusal_is_discarded_for_one_second() {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert!(bench.sent(key).starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert_eq!(bench.wish(key).fate, Fate::Shutdown);
    bench.table.linger(key);
    bench.table.arm(key);
    // Whoever goes on sending does not make it longer.
    for _ in 0..9 {
        bench.pass(100);
        bench.receive(key, GET);
        assert_eq!((bench.wish(key).fate, bench.no_event()), (Fate::Stay, true));
    }
    bench.pass(200);
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}

#[test]
fn a_peer_that_still_reads_its_answer_is_not_idle() {
    let mut bench = Workbench::new(ServerConfig {
        keep_alive: 3_000,
        ..ServerConfig::default()
    });
    let key = bench.connect();
    bench.receive(key, GET);
    let request = bench.request();
    bench.respond(request.id, &"x".repeat(10_000));
    for _ in 0..4 {
        bench.pass(2_000);
        assert_eq!(bench.wish(key).fate, Fate::Stay);
        bench.table.wrote(key, 1_000);
        bench.table.arm(key);
    }
    // It asks again 8 seconds after the answer was given, and long before it was idle for 3.
    bench.sent(key);
    bench.receive(key, GET);
    let request = bench.request();
    bench.respond(request.id, "again");
    assert!(bench.sent(key).ends_with("again"));
    bench.pass(3_001);
    assert_eq!(bench.wish(key).fate, Fate::Close);
    bench.close_and_check(key);
}
