//! The end of a server while exchanges are open.

use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

use gneiss_core::{Answers, Bell, Bind, Door, Listener, Notice, Remote, ServerConfig};

use crate::isolate::{Event, OK, PATIENCE, Server, get, read_answer, respond, silent};

#[test]
fn a_server_that_closes_waits_for_the_answers_that_are_open() {
    let server = Server::tcp(2, ServerConfig::default(), silent());
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        get(client, "/");
    }
    let ids: Vec<_> = (0..8).map(|_| server.request()).collect();
    server.close(60_000);
    server.say(move |remote| {
        for id in ids {
            respond(remote, id, b"last");
        }
    });
    for client in &mut clients {
        assert_eq!(read_answer(client), (200, "last".to_owned()));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn what_is_open_at_the_deadline_is_aborted_once_and_cut() {
    let server = Server::tcp(1, ServerConfig::default(), silent());
    let mut client = server.connect();
    get(&mut client, "/");
    let id = server.request();
    server.close(50);
    assert_eq!(server.notice(id), Notice::Abort);
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn an_idle_connection_is_closed_at_once_and_a_queued_one_is_answered() {
    let config = ServerConfig {
        worker_connections: 1,
        ..ServerConfig::default()
    };
    let server = Server::tcp(1, config, crate::isolate::echo());
    let mut idle = server.connect();
    get(&mut idle, "/1");
    read_answer(&mut idle);
    server.close(60_000);
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}

#[test]
fn an_isolate_that_goes_away_takes_its_threads_with_it_and_is_not_rung_any_more() {
    struct Once(std::sync::mpsc::Sender<()>);
    impl Bell for Once {
        fn ring(&self) {
            self.0.send(()).expect("rung although the isolate has gone");
        }
    }
    let (sender, bell) = std::sync::mpsc::channel();
    let mut remote = Remote::new(Arc::new(Door::new(Box::new(Once(sender)))));
    let bind = Bind::Tcp("127.0.0.1".to_owned(), 0);
    let listener = Arc::new(Listener::bind(&bind, 16).unwrap());
    let gneiss_core::Endpoint::Tcp(address) = listener.address().clone() else {
        panic!("no TCP address")
    };
    let server = remote
        .start(&Arc::default(), &[Arc::clone(&listener)], 2, None)
        .unwrap();
    drop(listener);
    let counters = remote.counters(server);
    let mut clients: Vec<_> = (0..8).map(|_| crate::isolate::connect(address)).collect();
    for client in &mut clients {
        get(client, "/");
    }
    bell.recv_timeout(PATIENCE).unwrap();
    remote.stop();
    // From here on a ring would panic on its I/O thread, and the thread would never say that it ended.
    drop(bell);
    for mut client in clients {
        // A reset or an end, but no answer.
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let started = Instant::now();
    while counters.iter().any(|counters| counters.threads.get() > 0) {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    for counters in counters {
        let left = counters.connections.get() + counters.requests.get() + counters.tasks.get();
        assert_eq!((left, counters.panics_total.get()), (0, 0));
        assert_eq!(counters.file_descriptors.get(), 0);
    }
}

#[test]
fn at_the_end_of_the_process_what_was_said_is_offered_to_the_kernel() {
    let server = Server::tcp(
        2,
        ServerConfig::default(),
        Box::new(|remote, event| {
            if let Event::Request { id, .. } = event {
                remote.respond(*id, &OK, b"goodbye", false).unwrap();
                remote.flush_at_exit(PATIENCE);
            }
        }),
    );
    let mut client = server.connect();
    get(&mut client, "/");
    assert_eq!(read_answer(&mut client), (200, "goodbye".to_owned()));
}

#[test]
fn servers_that_come_and_go_in_one_isolate_leave_nothing() {
    for round in 0..50 {
        let server = Server::tcp(
            1 + round % 3,
            ServerConfig::default(),
            crate::isolate::echo(),
        );
        let mut client = server.connect();
        get(&mut client, "/");
        assert_eq!(read_answer(&mut client).0, 200);
    }
}
