//! Requests and answers, one and many.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use gneiss_core::{Answers, Bind, Remote, Reply, ServerConfig};

use crate::isolate::{Event, PATIENCE, Server, echo, get, read_answer};

#[test]
fn a_request_over_tcp_is_answered() {
    let server = Server::tcp(1, ServerConfig::default(), echo());
    let mut client = server.connect();
    get(&mut client, "/hello");
    assert_eq!(read_answer(&mut client), (200, "/hello".to_owned()));
}

#[test]
fn a_request_over_a_unix_socket_is_answered_and_the_file_goes_with_the_server() {
    let path = std::env::temp_dir().join(format!("gneiss-thread-{}", std::process::id()));
    let server = Server::start(
        2,
        ServerConfig::default(),
        &[Bind::Unix(path.clone())],
        echo(),
    );
    let mut client = UnixStream::connect(server.path()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    get(&mut client, "/hello");
    assert_eq!(read_answer(&mut client), (200, "/hello".to_owned()));
    drop(client);
    drop(server);
    assert!(!path.exists());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const COUNT: usize = 200;
    let server = Server::tcp(1, ServerConfig::default(), echo());
    let mut client = server.connect();
    let one = |number| format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n");
    let all = (0..COUNT).map(one).collect::<Vec<_>>().concat();
    client.write_all(all.as_bytes()).unwrap();
    for number in 0..COUNT {
        assert_eq!(read_answer(&mut client), (200, format!("/{number}")));
    }
}

#[test]
fn a_request_that_is_refused_behind_an_answer_that_has_just_left_is_answered_at_once() {
    let handler = Box::new(|remote: &mut Remote, event: &Event| {
        if let Event::Request { id, .. } = event {
            let head = Reply {
                status: 200,
                fields: b"",
                count: 0,
            };
            remote.respond(*id, &head, b"whole", true).unwrap();
        }
    });
    let server = Server::tcp(1, ServerConfig::default(), handler);
    let mut client = server.connect();
    let requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nno field\r\n\r\n";
    client.write_all(requests).unwrap();
    assert_eq!(read_answer(&mut client), (200, "whole".to_owned()));
    assert_eq!(read_answer(&mut client).0, 400);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_one_request() {
    let server = Server::tcp(1, ServerConfig::default(), echo());
    let mut client = server.connect();
    client.set_nodelay(true).unwrap();
    for byte in b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" {
        client.write_all(&[*byte]).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(read_answer(&mut client), (200, "/slow".to_owned()));
    assert_eq!(server.sum(|counters| &counters.requests_total), 1);
}

#[test]
fn clients_of_many_threads_get_their_own_answers() {
    let server = Server::tcp(3, ServerConfig::default(), echo());
    std::thread::scope(|scope| {
        for number in 0..16 {
            let mut client = server.connect();
            scope.spawn(move || {
                for round in 0..100 {
                    let target = format!("/{number}/{round}");
                    get(&mut client, &target);
                    assert_eq!(read_answer(&mut client), (200, target));
                }
            });
        }
    });
    assert_eq!(server.sum(|counters| &counters.requests_total), 1_600);
}

#[test]
fn what_is_no_request_is_refused_by_the_thread_alone() {
    let server = Server::tcp(1, ServerConfig::default(), echo());
    let mut client = server.connect();
    client.write_all(b"nonsense\r\n\r\n").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert!(server.events.try_recv().is_err());
}
