//! Slots are freed and reused while commands for their last exchange are under way.

use super::answerer::{Answerer, Ending, Heard, answer, assert_stale};
use super::check;
use crate::answers::Answers;
use crate::config::ServerConfig;
use crate::exchange::Id;
use crate::thread::worker::model::{Io, Leaving};

const FIRST: &[u8] = b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n";
const SECOND: &[u8] = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n";

/// What the application says to the first exchange, whether that is still there or not.
fn stale_commands_reach_nobody(
    say: impl Fn(&mut crate::Remote, Id) + Copy + Send + Sync + 'static,
) {
    check(move || {
        let (mut answerer, mut setups) = Answerer::new(1, ServerConfig::default());
        let setup = setups.remove(0);
        let io = loom::thread::spawn(move || {
            let mut io = Io::new(setup);
            let first = io.connect(FIRST);
            io.step();
            io.leave(first, Leaving::Reset);
            io.step();
            // The only slot that was ever used is used again.
            let second = io.connect(SECOND);
            io.step();
            while io.connections() > 0 {
                io.wait_and_step();
                io.step();
            }
            io.assert_at_rest();
            (io.heard(first).to_vec(), io.heard(second).to_vec())
        });
        let mut first: Option<Id> = None;
        let mut is_over = false;
        while !is_over {
            answerer.pass(|remote, heard| match heard {
                Heard::Request(id) if id.generation() == 0 => {
                    first = Some(id);
                    say(remote, id);
                }
                // The first one is never heard of when it was aborted before it was delivered.
                Heard::Request(id) => {
                    assert_eq!(id.slot(), 0, "the slot is reused");
                    if let Some(stale) = first {
                        assert_stale(remote, stale);
                    }
                    answer(remote, id).unwrap();
                    if let Some(stale) = first {
                        assert_stale(remote, stale);
                    }
                }
                Heard::Ended(id, how) if id.generation() == 1 => {
                    assert_eq!(how, Ending::Done);
                    is_over = true;
                }
                Heard::Ended(..) => {}
                Heard::Closed => unreachable!(),
            });
        }
        answerer.remote.flush();
        let (_, second) = io.join().unwrap();
        assert!(
            second.ends_with(b"\r\n\r\nanswer"),
            "{}",
            second.escape_ascii()
        );
        assert_eq!(
            second
                .windows(12)
                .filter(|part| part == b"HTTP/1.1 200")
                .count(),
            1
        );
        assert!(!answerer.remote.is_busy());
    });
}

#[test]
fn a_stale_answer_never_reaches_the_next_exchange_of_its_slot() {
    stale_commands_reach_nobody(|remote, id| {
        let _ = answer(remote, id);
    });
}

#[test]
fn a_stale_reset_never_reaches_the_next_exchange_of_its_slot() {
    stale_commands_reach_nobody(|remote, id| {
        remote.reset(id);
    });
}

#[test]
fn a_stale_failure_never_reaches_the_next_exchange_of_its_slot() {
    stale_commands_reach_nobody(|remote, id| remote.fail(id));
}
