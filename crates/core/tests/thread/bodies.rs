//! Bodies in both directions, with a side that is slower than the other.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gneiss_core::{Answers, BodyOutcome, ChunkOutcome, Notice, ServerConfig, TakenBody};

use crate::isolate::{Event, OK, Server, get, read_answer, read_head, respond, silent, take};

const MEGABYTE: usize = 1024 * 1024;

#[test]
fn an_upload_waits_for_an_application_that_does_not_take_it_and_arrives_whole() {
    const LENGTH: usize = 8 * MEGABYTE;
    let config = ServerConfig {
        body_read_ahead: 64 * 1024,
        ..ServerConfig::default()
    };
    let server = Server::tcp(1, config, silent());
    let mut client = server.connect();
    write!(
        client,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LENGTH}\r\n\r\n"
    )
    .unwrap();
    let mut upload = client.try_clone().unwrap();
    let uploading = std::thread::spawn(move || {
        upload.write_all(&vec![b'u'; LENGTH]).unwrap();
    });
    let id = server.request();
    // Nobody takes: the thread holds what it may and no more.
    server.wait_for(1, |counters| &counters.bodies);
    let total = Arc::new(AtomicUsize::new(0));
    loop {
        let total = Arc::clone(&total);
        let (tell, outcome) = std::sync::mpsc::channel();
        server.say(move |remote| {
            tell.send(loop {
                match take(remote, id) {
                    TakenBody::Bytes(bytes) => {
                        assert!(bytes.iter().all(|&byte| byte == b'u'));
                        assert!(bytes.len() <= 3 * 64 * 1024, "{} bytes ahead", bytes.len());
                        total.fetch_add(bytes.len(), Ordering::Relaxed);
                    }
                    TakenBody::None(outcome) => break outcome,
                }
            })
            .unwrap();
        });
        match outcome.recv().unwrap() {
            BodyOutcome::Pending => assert_eq!(server.notice(id), Notice::Chunk),
            BodyOutcome::End => break,
            BodyOutcome::Gone => panic!("the exchange is gone"),
        }
    }
    uploading.join().unwrap();
    assert_eq!(total.load(Ordering::Relaxed), LENGTH);
    server.say(move |remote| respond(remote, id, b"thanks"));
    assert_eq!(read_answer(&mut client), (200, "thanks".to_owned()));
}

#[test]
fn a_download_waits_for_a_client_that_does_not_read_and_goes_on_when_it_does() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 256;
    let config = ServerConfig {
        stream_buffer: 128 * 1024,
        ..ServerConfig::default()
    };
    let mut sent = 0;
    let full = Arc::new(AtomicUsize::new(0));
    let seen_full = Arc::clone(&full);
    let server = Server::tcp(
        1,
        config,
        Box::new(move |remote, event| {
            let id = match event {
                Event::Request { id, .. } => {
                    Answers::start(remote, *id, &OK).unwrap();
                    *id
                }
                Event::Notice {
                    id,
                    kind: Notice::Drain,
                } => *id,
                Event::Notice { .. } => return,
            };
            while sent < CHUNKS {
                sent += 1;
                let is_last = sent == CHUNKS;
                let outcome = remote
                    .chunk(id, &vec![b'd'; CHUNK], is_last, is_last)
                    .unwrap();
                if outcome == ChunkOutcome::Full {
                    seen_full.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }),
    );
    let mut client = server.connect();
    write!(client, "GET / HTTP/1.0\r\n\r\n").unwrap();
    let id = server.request();
    read_head(&mut client);
    let mut body = Vec::new();
    client.read_to_end(&mut body).unwrap();
    assert_eq!(body.len(), CHUNK * CHUNKS);
    assert!(body.iter().all(|&byte| byte == b'd'));
    assert!(
        full.load(Ordering::Relaxed) > 1,
        "the application was never told to wait"
    );
    let mut kinds = std::iter::from_fn(|| Some(server.notice(id)));
    assert!(kinds.any(|kind| kind == Notice::Done));
}

#[test]
fn a_client_that_finishes_sending_is_gone_unless_half_open_connections_are_served() {
    for allow_half_open in [false, true] {
        let config = ServerConfig {
            allow_half_open,
            ..ServerConfig::default()
        };
        let server = Server::tcp(1, config, silent());
        let mut client = server.connect();
        get(&mut client, "/");
        let id = server.request();
        client.shutdown(Shutdown::Write).unwrap();
        if allow_half_open {
            server.say(move |remote| respond(remote, id, b"still here"));
            assert_eq!(read_answer(&mut client), (200, "still here".to_owned()));
        } else {
            assert_eq!(server.notice(id), Notice::Abort);
            server.say(move |remote| {
                assert!(remote.respond(id, &OK, b"too late", false).is_err());
            });
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest);
            assert!(rest.is_empty());
        }
    }
}

#[test]
fn an_answer_that_is_under_way_when_its_client_finishes_still_leaves() {
    let server = Server::tcp(1, ServerConfig::default(), crate::isolate::echo());
    for round in 0..200 {
        let mut client = server.connect();
        get(&mut client, "/whole");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            read_answer(&mut client),
            (200, "/whole".to_owned()),
            "round {round}"
        );
    }
}

#[test]
fn a_stream_whose_client_resets_is_aborted_once() {
    let server = Server::tcp(
        1,
        ServerConfig::default(),
        Box::new(|remote, event| {
            if let Event::Request { id, .. } = event {
                Answers::start(remote, *id, &OK).unwrap();
                remote.chunk(*id, b"first", false, false).unwrap();
            }
        }),
    );
    let mut client = server.connect();
    get(&mut client, "/");
    let id = server.request();
    read_head(&mut client);
    socket2::SockRef::from(&client)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    assert_eq!(server.notice(id), Notice::Abort);
    server.wait_for(0, |counters| &counters.connections);
    // The harness fails if another ending follows.
}
