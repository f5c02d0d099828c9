//! How the threads of a server share its connections, and what becomes of those that do not fit.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use gneiss_core::ServerConfig;

use crate::isolate::{Server, echo, get, read_answer};

fn say_hello(client: &mut TcpStream) {
    get(client, "/");
    assert_eq!(read_answer(client).0, 200);
}

#[test]
fn sixty_four_connections_are_shared_evenly() {
    for threads in [2, 4] {
        let server = Server::tcp(threads, ServerConfig::default(), echo());
        let mut clients: Vec<_> = (0..64).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(say_hello);
        let mean = 64 / threads as u64;
        for counters in &server.counters {
            let open = counters.connections.get();
            assert!(
                open.abs_diff(mean) <= 2,
                "{open} of 64 with {threads} threads"
            );
        }
    }
}

#[test]
fn the_cap_of_connections_is_exact_and_who_waits_gets_the_place_of_who_leaves() {
    const CAP: usize = 10;
    let config = ServerConfig {
        worker_connections: CAP,
        ..ServerConfig::default()
    };
    let server = Server::tcp(3, config, echo());
    let mut clients: Vec<_> = (0..CAP).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(say_hello);
    let mut waiting = server.connect();
    get(&mut waiting, "/waited");
    waiting
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(waiting.read(&mut [0]).is_err(), "let in beyond the cap");
    assert_eq!(server.sum(|counters| &counters.connections), CAP as u64);
    assert_eq!(
        server.sum(|counters| &counters.connections_total),
        CAP as u64
    );
    drop(clients.pop());
    waiting
        .set_read_timeout(Some(crate::isolate::PATIENCE))
        .unwrap();
    assert_eq!(read_answer(&mut waiting), (200, "/waited".to_owned()));
    assert_eq!(server.sum(|counters| &counters.connections), CAP as u64);
}

/// In a process of its own, because the limit is the process's.
#[test]
fn running_out_of_descriptors_is_survived() {
    let name = "crowd::running_out_of_descriptors_is_survived";
    if std::env::var_os("GNEISS_TEST_ALONE").is_none() {
        let outcome = std::process::Command::new("sh")
            .args([
                "-c",
                "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture",
            ])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env("GNEISS_TEST_ALONE", "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert!(
            outcome.status.success() && output.contains("1 passed"),
            "{output}"
        );
        return;
    }
    let server = Server::tcp(2, ServerConfig::default(), echo());
    let mut first = server.connect();
    say_hello(&mut first);
    // Everything but two descriptors is taken: one for a client, one that its accept needs.
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    drop(taken.pop());
    let mut second = server.connect();
    get(&mut second, "/second");
    server_has_failed_to_accept(&server);
    // The connection that is open is not touched by it.
    say_hello(&mut first);
    drop(taken);
    assert_eq!(read_answer(&mut second), (200, "/second".to_owned()));
}

fn server_has_failed_to_accept(server: &Server) {
    let started = std::time::Instant::now();
    while server.sum(|counters| &counters.accept_errors_total) == 0 {
        assert!(started.elapsed() < crate::isolate::PATIENCE);
        std::thread::yield_now();
    }
}
