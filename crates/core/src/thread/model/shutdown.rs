//! `Close` and `Stop` cross with the last events of a thread.

use loom::sync::atomic::Ordering;

use super::answerer::{Answerer, Heard, SERVER, answer};
use super::check;
use crate::config::ServerConfig;
use crate::thread::worker::model::Io;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Until nothing but a cut would help; no model waits for it.
const PATIENCE: u64 = 1_000_000;

#[test]
fn closed_comes_last_and_the_numbers_are_final_then() {
    check(|| {
        let (mut answerer, mut setups) = Answerer::new(1, ServerConfig::default());
        let setup = setups.remove(0);
        let io = loom::thread::spawn(move || {
            let mut io = Io::new(setup);
            io.connect(GET);
            io.serve_to_the_end()
        });
        answerer.remote.close(SERVER, PATIENCE);
        while !answerer.is_closed {
            answerer.pass(|remote, heard| {
                if let Heard::Request(id) = heard {
                    answer(remote, id).unwrap();
                }
            });
        }
        let counters = &answerer.counters[0];
        for gauge in [
            &counters.connections,
            &counters.requests,
            &counters.slots,
            &counters.threads,
            &counters.doorbell_refs,
            &counters.file_descriptors,
        ] {
            assert_eq!(gauge.get(), 0);
        }
        answerer.assert_balance();
        let heard = io.join().unwrap();
        // Who was let in before the close is answered.
        assert!(heard[0].ends_with(b"answer"), "{}", heard[0].escape_ascii());
    });
}

#[test]
fn a_server_is_closed_when_its_last_thread_has_ended() {
    check(|| {
        let (mut answerer, setups) = Answerer::new(2, ServerConfig::default());
        let threads: Vec<_> = setups
            .into_iter()
            .map(|setup| loom::thread::spawn(move || Io::new(setup).serve_to_the_end()))
            .collect();
        answerer.remote.close(SERVER, PATIENCE);
        while !answerer.is_closed {
            answerer.pass(|_, _| {});
        }
        let threads_left = answerer
            .counters
            .iter()
            .map(|counters| counters.threads.get());
        assert_eq!(threads_left.sum::<u64>(), 0);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_thread_ends_when_nobody_answers_any_more_and_rings_nobody() {
    check(|| {
        let (mut answerer, mut setups) = Answerer::new(1, ServerConfig::default());
        let setup = setups.remove(0);
        let io = loom::thread::spawn(move || {
            let mut io = Io::new(setup);
            io.connect(GET);
            io.serve_to_the_end()
        });
        answerer.remote.stop();
        answerer.has_bell.store(false, Ordering::SeqCst);
        let Answerer {
            remote, counters, ..
        } = answerer;
        drop(remote);
        let heard = io.join().unwrap();
        assert!(heard[0].is_empty());
        assert_eq!(counters[0].threads.get() + counters[0].connections.get(), 0);
        assert_eq!(counters[0].requests.get(), 0);
    });
}
