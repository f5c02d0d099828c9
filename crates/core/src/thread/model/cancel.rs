//! An answer crosses with the end of its peer: however they meet, the exchange ends exactly once, the peer
//! gets a whole answer or none, and what is told is published before.

use super::answerer::{Answerer, Ending, Heard, answer, assert_stale};
use super::check;
use crate::config::ServerConfig;
use crate::thread::worker::model::{Io, Leaving};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// When the application answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// When it is called.
    AtOnce,
    /// In a later turn, in which it may have heard of the end already.
    Late,
    Never,
}

fn answer_crosses_with(leaving: Leaving, when: When) {
    check(move || {
        let (mut answerer, mut setups) = Answerer::new(1, ServerConfig::default());
        let setup = setups.remove(0);
        let io = loom::thread::spawn(move || {
            let mut io = Io::new(setup);
            let client = io.connect(GET);
            io.step();
            io.leave(client, leaving);
            io.step();
            while io.connections() > 0 {
                io.wait_and_step();
            }
            io.assert_at_rest();
            io.finish(true).swap_remove(client)
        });
        let mut waiting = None;
        let mut ending = None;
        // A request that was aborted before it was delivered is never heard of: then the end of the thread is.
        while ending.is_none() && !answerer.is_closed {
            let due = waiting.take();
            answerer.pass(|remote, heard| match heard {
                Heard::Request(id) => match when {
                    When::AtOnce => answer(remote, id).unwrap(),
                    When::Late => {
                        waiting = Some(id);
                        remote.ring();
                    }
                    When::Never => {}
                },
                Heard::Ended(id, how) => {
                    assert_stale(remote, id);
                    ending = Some(how);
                }
                Heard::Closed => {}
            });
            if let Some(id) = due {
                assert_eq!(answer(&mut answerer.remote, id).is_ok(), ending.is_none());
            }
        }
        let was_dropped = answerer.endings.is_empty();
        assert_eq!(ending.is_none(), was_dropped);
        assert!(!was_dropped || leaving == Leaving::Reset);
        if ending == Some(Ending::Done) {
            // The numbers were published before the exchange was said to be over.
            assert_eq!(answerer.counters[0].requests.get(), 0);
            assert_eq!(answerer.counters[0].slots.get(), 0);
        }
        // What was said last still has to cross.
        answerer.remote.flush();
        let heard = io.join().unwrap();
        let is_whole = heard.starts_with(b"HTTP/1.1 200") && heard.ends_with(b"\r\n\r\nanswer");
        assert!(heard.is_empty() || is_whole, "{}", heard.escape_ascii());
        if leaving == Leaving::Fin && ending == Some(Ending::Done) {
            assert!(is_whole);
        }
        answerer.assert_balance();
    });
}

#[test]
fn an_answer_that_crosses_with_a_fin_ends_its_exchange_once() {
    answer_crosses_with(Leaving::Fin, When::AtOnce);
}

#[test]
fn a_late_answer_that_crosses_with_a_fin_ends_its_exchange_once() {
    answer_crosses_with(Leaving::Fin, When::Late);
}

#[test]
fn a_fin_ends_an_exchange_that_is_never_answered() {
    answer_crosses_with(Leaving::Fin, When::Never);
}

#[test]
fn an_answer_that_crosses_with_a_closed_socket_ends_its_exchange_once() {
    answer_crosses_with(Leaving::Close, When::AtOnce);
}

#[test]
fn a_late_answer_that_crosses_with_a_closed_socket_ends_its_exchange_once() {
    answer_crosses_with(Leaving::Close, When::Late);
}

#[test]
fn an_answer_that_crosses_with_a_reset_ends_its_exchange_once() {
    answer_crosses_with(Leaving::Reset, When::AtOnce);
}

#[test]
fn a_late_answer_that_crosses_with_a_reset_ends_its_exchange_once() {
    answer_crosses_with(Leaving::Reset, When::Late);
}

#[test]
fn a_reset_ends_an_exchange_that_is_never_answered() {
    answer_crosses_with(Leaving::Reset, When::Never);
}
