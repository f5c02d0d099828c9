use proptest::prelude::*;

use super::*;
use crate::http1::head::{HeadLimits, HeadOutcome, HeadScan, parse_head};

const LIMITS: HeadLimits = HeadLimits {
    head: 64 * 1024,
    line: 8 * 1024,
    field: 64 * 1024,
    fields: 100,
};

/// What the application would see: peer, host, scheme. None when it is refused.
fn seen(trusted: &[&str], fields: &str) -> Option<(String, String, &'static str)> {
    let trusted = TrustedPeers::parse(trusted).unwrap();
    let input = format!("GET /a?b HTTP/1.1\r\nHost: own\r\n{fields}X: y\r\n\r\n");
    let mut arena = b"before".to_vec();
    let pseudo = b"\n@peer:127.0.0.1 1234\n@local:127.0.0.1 80";
    let outcome = parse_head(
        input.as_bytes(),
        &mut HeadScan::default(),
        &LIMITS,
        pseudo,
        &mut arena,
    );
    let HeadOutcome::Complete(mut head) = outcome else {
        panic!("{outcome:?}")
    };
    if !head.forwarded {
        return Some(("127.0.0.1 1234".into(), "own".into(), "-"));
    }
    apply(&mut head, &mut arena, 6, &trusted).ok()?;
    assert_eq!(arena.len(), 6 + head.target_len + head.head_len);
    assert!(arena.starts_with(b"before/a?b\n@peer:"));
    let text = String::from_utf8(arena.split_off(6 + head.target_len)).unwrap();
    assert!(text.contains("\n@local:127.0.0.1 80\n") && text.ends_with("\nx:y\n"));
    let value = |name: &str| {
        let at = text.find(&format!("\n{name}:")).unwrap() + name.len() + 2;
        assert_eq!(text.matches(&format!("\n{name}:")).count(), 1);
        text[at..].split('\n').next().unwrap().to_owned()
    };
    Some((
        value("@peer"),
        value("host"),
        if head.secure { "https" } else { "http" },
    ))
}

fn client(trusted: &[&str], fields: &str) -> Option<String> {
    seen(trusted, fields).map(|(client, ..)| client)
}

#[test]
fn the_client_is_the_rightmost_hop_that_is_no_trusted_proxy() {
    let trusted = ["127.0.0.1", "10.0.0.0/8"];
    for (fields, expected) in [
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1 0"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n", "192.0.2.1 0"),
        (
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n",
            "192.0.2.1 0",
        ),
        (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1,10.0.0.1\r\n",
            "192.0.2.1 0",
        ),
        ("X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", "10.0.0.2 0"),
        ("X-Forwarded-For: 192.0.2.1:99\r\n", "192.0.2.1 99"),
        ("X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1 0"),
        ("X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1 0"),
        ("X-Forwarded-For: [2001:db8::1]:99\r\n", "2001:db8::1 99"),
        (
            "X-Forwarded-For: ::ffff:192.0.2.1, ::ffff:10.0.0.1\r\n",
            "192.0.2.1 0",
        ),
        // Nobody knows who it is: the last known is who forwarded it.
        (
            "X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1\r\n",
            "10.0.0.1 0",
        ),
        (
            "X-Forwarded-For: 6.6.6.6, not an address\r\n",
            "127.0.0.1 1234",
        ),
        ("X-Forwarded-For: fe80::1%eth0\r\n", "127.0.0.1 1234"),
        ("X-Forwarded-For: ,, 192.0.2.1 ,\r\n", "192.0.2.1 0"),
        ("X-Forwarded-For:\r\n", "127.0.0.1 1234"),
        ("Forwarded: for=192.0.2.1\r\n", "192.0.2.1 0"),
        (
            "Forwarded: For=\"[2001:db8::1]:99\";proto=http;by=203.0.113.43\r\n",
            "2001:db8::1 99",
        ),
        (
            "Forwarded: for=6.6.6.6, for=192.0.2.1;by=x , for=10.0.0.1\r\n",
            "192.0.2.1 0",
        ),
        (
            "Forwarded: for=6.6.6.6\r\nForwarded: for=\"192.0.2.1:1\"\r\n",
            "192.0.2.1 1",
        ),
        (
            "Forwarded: for=6.6.6.6, for=_hidden, for=10.0.0.1\r\n",
            "10.0.0.1 0",
        ),
        ("Forwarded: for=6.6.6.6, proto=https\r\n", "127.0.0.1 1234"),
        ("Forwarded: , for=192.0.2.1,;\r\n", "192.0.2.1 0"),
        (
            "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n",
            "192.0.2.1 0",
        ),
    ] {
        assert_eq!(
            client(&trusted, fields).as_deref(),
            Some(expected),
            "{fields}"
        );
    }
    assert_eq!(
        client(&["*"], "X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n").unwrap(),
        "1.1.1.1 0"
    );
}

#[test]
fn at_most_32_hops_are_followed() {
    let hops = |count: usize| format!("X-Forwarded-For: 6.6.6.6{}\r\n", ", 10.0.0.1".repeat(count));
    assert_eq!(client(&["10.0.0.0/8"], &hops(31)).unwrap(), "6.6.6.6 0");
    assert_eq!(client(&["10.0.0.0/8"], &hops(32)).unwrap(), "10.0.0.1 0");
    assert_eq!(client(&["10.0.0.0/8"], &hops(3000)).unwrap(), "10.0.0.1 0");
}

#[test]
fn scheme_and_host_are_those_of_the_hop_that_saw_the_client() {
    let trusted = ["10.0.0.0/8"];
    for (fields, host, scheme) in [
        ("X-Forwarded-Proto: https\r\n", "own", "https"),
        ("X-Forwarded-Proto: HTTP\r\n", "own", "http"),
        ("X-Forwarded-Proto: wss\r\n", "own", "https"),
        (
            "X-Forwarded-Protocol: ssl\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Proto: https\r\n",
            "own",
            "https",
        ),
        (
            "X-Forwarded-Ssl: off\r\nX-Forwarded-Protocol: http\r\n",
            "own",
            "http",
        ),
        (
            "X-Forwarded-Host: a.example:8443\r\n",
            "a.example:8443",
            "http",
        ),
        (
            "X-Forwarded-For: 6.6.6.6, 1.1.1.1, 10.0.0.1\r\nX-Forwarded-Proto: https, https, http\r\nX-Forwarded-Host: a, b, c\r\n",
            "b",
            "https",
        ),
        (
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https, https\r\nX-Forwarded-Host: a, A\r\n",
            "A",
            "https",
        ),
        (
            "Forwarded: for=6.6.6.6;host=evil, for=1.1.1.1;host=\"a.example:1\";proto=https, for=10.0.0.1;proto=http\r\n",
            "a.example:1",
            "https",
        ),
        (
            "Forwarded: proto=https;host=b\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: B\r\n",
            "b",
            "https",
        ),
    ] {
        let found = seen(&trusted, fields).unwrap_or_else(|| panic!("{fields}"));
        assert_eq!((found.1.as_str(), found.2), (host, scheme), "{fields}");
    }
}

#[test]
fn contradictions_and_malformed_fields_are_refused() {
    for fields in [
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: https, http\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n",
        "X-Forwarded-Proto: http\r\nX-Forwarded-Protocol: ssl\r\n",
        "X-Forwarded-Proto: gopher\r\n",
        "X-Forwarded-Ssl: maybe\r\n",
        "X-Forwarded-Host: a, b\r\n",
        "X-Forwarded-Host: a/b\r\n",
        "X-Forwarded-Host: a b\r\n",
        "Forwarded: proto=https\r\nX-Forwarded-Proto: http\r\n",
        "Forwarded: host=a\r\nX-Forwarded-Host: b\r\n",
        "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
        "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: unknown\r\n",
        "Forwarded: for=unknown\r\nX-Forwarded-For: 1.1.1.1\r\n",
        "Forwarded: for=1.1.1.1;for=2.2.2.2\r\n",
        "Forwarded: for\r\n",
        "Forwarded: for=\r\n",
        "Forwarded: =a\r\n",
        "Forwarded: for=\"1.1.1.1\r\n",
        "Forwarded: for=\"a\\\"b\"\r\n",
        "Forwarded: for=a b\r\n",
        "Forwarded: for=\"a\"b\r\n",
        "Forwarded: host=\"a/b\"\r\n",
        "Forwarded: host=\"\"\r\n",
        "Forwarded: f or=a\r\n",
    ] {
        assert_eq!(seen(&["10.0.0.0/8"], fields), None, "{fields}");
    }
}

#[test]
fn other_fields_that_begin_alike_mean_nothing() {
    let fields =
        "X-Forwarded-Server: a\r\nX-Forwarded-Port: 1\r\nFoo: bar\r\nForwarded2: for=1.1.1.1\r\n";
    assert_eq!(client(&["*"], fields).unwrap(), "127.0.0.1 1234");
    assert_eq!(
        client(&["*"], &format!("{fields}X-Forwarded-Ssl: off\r\n")).unwrap(),
        "127.0.0.1 1234"
    );
}

#[test]
fn a_request_without_host_gets_the_one_that_was_forwarded() {
    let trusted = TrustedPeers::parse(&["*"]).unwrap();
    let mut arena = Vec::new();
    let input = b"GET / HTTP/1.0\r\nX-Forwarded-Host: a\r\n\r\n";
    let outcome = parse_head(
        input,
        &mut HeadScan::default(),
        &LIMITS,
        b"\n@peer:unix:",
        &mut arena,
    );
    let HeadOutcome::Complete(mut head) = outcome else {
        panic!("{outcome:?}")
    };
    apply(&mut head, &mut arena, 0, &trusted).unwrap();
    assert_eq!(arena, b"/\n@peer:unix:\nx-forwarded-host:a\nhost:a\n");
}

#[test]
fn a_hostile_field_of_64_kib_takes_less_than_a_millisecond() {
    for piece in [
        ",",
        "for=",
        "for=\"",
        "a;",
        "for=1.1.1.1,",
        "\"",
        "=",
        "for=a;,",
    ] {
        let value = piece.repeat(64 * 1024 / piece.len() - 1);
        for name in [
            "x-forwarded-for",
            "forwarded",
            "x-forwarded-proto",
            "x-forwarded-host",
        ] {
            let text = format!("\n{name}:{value}\n");
            // The machine may be busy; an algorithm that is not linear is slow each time.
            let least = (0..5)
                .map(|_| {
                    let start = std::time::Instant::now();
                    let _ = std::hint::black_box(Seen::read(text.as_bytes()).is_ok());
                    start.elapsed()
                })
                .min()
                .unwrap();
            let limit = if cfg!(debug_assertions) { 40 } else { 1 };
            assert!(least.as_millis() < limit, "{name}: {piece}: {least:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_leave_a_broken_head(value in "[ -~]{0,60}", other in "[a-f0-9.:,\\[\\]=;\" ]{0,60}") {
        for name in ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"] {
            let _ = seen(&["10.0.0.0/8"], &format!("{name}: {value}\r\n{name}: {other}\r\n"));
        }
    }
}
