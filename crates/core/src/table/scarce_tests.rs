//! The n-th refusal of memory, or of room in the lane, for each n that there is: one connection ends for it, in a
//! way that its client can tell, and nothing is left. The same scenario without a fault says what is right.

mod place_tests;
mod stage;

use self::stage::Stage;
use crate::fail;

/// What has become of a client.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    got: Vec<u8>,
    /// Its connection went on until the server was stopped.
    goes_on: bool,
}

/// Everything that makes something grow. Gives what has become of each client.
fn scenario() -> Vec<Outcome> {
    let mut stage = Stage::new();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let plain = stage.connect();
    stage.send(plain, &get("/one"), usize::MAX);
    stage.send(plain, &get("/large"), usize::MAX);
    // A head in pieces, with a large field.
    let cut = stage.connect();
    let field = "f".repeat(6_000);
    let head = format!("GET http://x/cut HTTP/1.1\r\nHost: x\r\nX-Field: {field}\r\n\r\n");
    stage.send(cut, head.as_bytes(), 1_000);
    // Uploads: with a length, in chunks, and one that nobody takes.
    let upload = stage.connect();
    let head = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n";
    stage.send(upload, &[&head[..], &b"u".repeat(30_000)].concat(), 7_000);
    let chunked = stage.connect();
    let head = b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = [b"2710\r\n", &[b'c'; 10_000][..], b"\r\n0\r\n\r\n"].concat();
    stage.send(chunked, &[&head[..], &body].concat(), 3_000);
    let untaken = stage.connect();
    let head = b"POST /silent HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    stage.send(untaken, &[&head[..], &body[..5_000]].concat(), 1_000);
    // Requests behind one that is being answered, and more of them than there was room for.
    let pipelined = stage.connect();
    let many: Vec<u8> = (0..40)
        .flat_map(|number| get(&format!("/{number}")))
        .collect();
    stage.send(pipelined, &many, 500);
    let waiting = stage.connect();
    stage.send(waiting, &[get("/silent"), many.repeat(3)].concat(), 5_000);
    // Streams: one to its end, one whose client leaves.
    let stream = stage.connect();
    stage.send(stream, &get("/stream"), usize::MAX);
    let left = stage.connect();
    stage.send(left, &get("/silent"), usize::MAX);
    stage.finish(left);
    // Many at once, so that slots, events and connections grow.
    for _ in 0..40 {
        let client = stage.connect();
        stage.send(client, &get("/silent"), usize::MAX);
    }
    let last = stage.connect();
    stage.send(last, &get("/last"), usize::MAX);
    let goes_on: Vec<bool> = (0..stage.clients.len())
        .map(|client| stage.is_open(client))
        .collect();
    stage.stop();
    let outcomes = stage.clients.into_iter().zip(goes_on);
    outcomes
        .map(|(got, goes_on)| Outcome { got, goes_on })
        .collect()
}

/// Whether what a client got shows that it is not whole: cut where it stands, or 500 or 503 after whole answers.
fn shows(got: &[u8], right: &[u8]) -> bool {
    let is_refusal = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"HTTP/1.1 50");
    (0..=got.len().min(right.len())).any(|at| got[..at] == right[..at] && is_refusal(&got[at..]))
}

#[test]
fn one_connection_ends_for_a_refusal_and_nothing_is_left() {
    fail::plan("", 0);
    let right = scenario();
    assert!(
        right
            .iter()
            .filter(|client| client.got.starts_with(b"HTTP/1.1 200"))
            .count()
            > 5
    );
    for point in ["memory", "push", "slot"] {
        fail::plan(point, 0);
        assert_eq!(scenario(), right, "a scenario that is not the same twice");
        let passes = fail::passes();
        // A point that is never passed would prove nothing.
        assert!(passes > 10, "{point}: {passes}");
        for number in 1..=passes {
            fail::plan(point, number);
            let got = scenario();
            let hit: Vec<usize> = (0..right.len())
                .filter(|&client| got[client] != right[client])
                .collect();
            assert!(hit.len() <= 1, "{point}:{number} hits {hit:?}");
            for client in hit {
                let text = got[client].got.escape_ascii();
                assert!(!got[client].goes_on, "{point}:{number} is lost: {text}");
                assert!(
                    shows(&got[client].got, &right[client].got),
                    "{point}:{number}: {text}"
                );
            }
        }
        fail::plan("", 0);
    }
}

#[test]
fn a_refusal_is_503_before_the_application_has_heard_of_the_request_and_500_after_it() {
    let fields = format!("X-Field: {}\r\n", "f".repeat(5_000)).repeat(2);
    let large = format!("GET /silent HTTP/1.1\r\nHost: x\r\n{fields}\r\n").into_bytes();
    let upload = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n";
    let chunked = b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let more = [&upload[..], &[b'u'; 15_000]].concat();
    let cases: [(&[u8], &[u8], u64, &str); 5] = [
        // The text of the request, its slot, its body, what waits behind that, and a piece after it was heard of.
        (b"", &large, 1, "503"),
        (b"", upload, 1, "503"),
        (b"", upload, 2, "503"),
        (b"", &more, 4, "503"),
        (
            chunked,
            &[&b"1388\r\n"[..], &[b'c'; 5_000]].concat(),
            1,
            "500",
        ),
    ];
    for (before, bytes, number, status) in cases {
        let mut stage = Stage::new();
        let client = stage.connect();
        stage.send(client, before, usize::MAX);
        fail::plan("memory", number);
        stage.send(client, bytes, usize::MAX);
        assert!(fail::has_struck(), "{status}: {number}");
        fail::plan("", 0);
        let text = stage.clients[client].escape_ascii().to_string();
        let begin = format!("HTTP/1.1 {status} ");
        assert!(text.starts_with(&begin), "{status}: {number}: {text}");
        let has_heard = u64::from(status == "500");
        assert_eq!(stage.delivered, has_heard);
        assert_eq!(stage.counters.refused_total.get(), 1 - has_heard);
        stage.stop();
    }
}
