//! Every state of a connection that a few dozen acts of its surroundings lead to, breadth first.
//!
//! Two ways into one state are taken for one, so that the walk ends. From each state the connection is also
//! left alone: deadline after deadline, it must end.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::Choices;
use super::connection::Bench;
use crate::http1::state::State;

/// What the walk finds, in the words of `summary`. A new state belongs here when it is known how it ends.
pub(super) const STATES: [&str; 49] = [
    "exchange / chunked",
    "exchange / chunked / for room",
    "exchange / chunked / full",
    "exchange / chunked / full / for room",
    "exchange / chunked / held back",
    "exchange / chunked / held back / for room",
    "exchange / chunked / owed",
    "exchange / chunked / owed / for bytes",
    "exchange / chunked / owed / for room",
    "exchange / complete",
    "exchange / complete / for room",
    "exchange / complete / full",
    "exchange / complete / full / for room",
    "exchange / complete / held back",
    "exchange / complete / held back / for room",
    "exchange / complete / owed",
    "exchange / complete / owed / for bytes",
    "exchange / complete / owed / for room",
    "exchange / length",
    "exchange / length / for room",
    "exchange / length / full",
    "exchange / length / full / for room",
    "exchange / length / held back",
    "exchange / length / held back / for room",
    "exchange / length / owed",
    "exchange / length / owed / for bytes",
    "exchange / length / owed / for room",
    "exchange / no body",
    "exchange / no body / for room",
    "exchange / no body / full",
    "exchange / no body / full / for room",
    "exchange / no body / held back",
    "exchange / no body / held back / for room",
    "exchange / no body / owed",
    "exchange / no body / owed / for bytes",
    "exchange / no body / owed / for room",
    "exchange / no head",
    "exchange / no head / full",
    "exchange / no head / held back",
    "exchange / no head / owed",
    "exchange / no head / owed / for bytes",
    "exchange / until close",
    "exchange / until close / for room",
    "first byte",
    "flush, then close",
    "flush, then linger",
    "head",
    "idle",
    "linger",
];

/// Steps of a schedule, each a kind and a choice; see `Bench::step`.
const ACTS: [&[u8]; 45] = [
    // What the peer says.
    &[2, 0],
    &[2, 1],
    &[2, 2],
    &[2, 3],
    &[2, 4],
    &[2, 5],
    &[2, 6],
    &[2, 7],
    &[2, 8],
    &[2, 9],
    &[2, 10],
    &[2, 11],
    &[2, 13],
    &[2, 14],
    &[2, 15],
    &[4, 255],
    &[4, 255, 4, 255, 4, 255],
    // It closes its sending side, or breaks off.
    &[5, 0],
    &[6, 0],
    // The kernel takes some of what waits, or all.
    &[7, 1],
    &[7, 80],
    &[7, 255, 7, 255],
    // Time passes.
    &[8, 1],
    &[8, 2],
    &[8, 3],
    // The server is being closed.
    &[9, 0],
    // The application cuts, fails, answers, with and without asking to be told.
    &[9, 16],
    &[9, 17],
    &[10, 0],
    &[10, 2],
    &[10, 4],
    // It streams.
    &[12, 0],
    &[12, 2],
    &[12, 16],
    &[13, 0],
    &CHUNKS,
    &[13, 4],
    &[13, 6],
    &[14, 0],
    &[14, 5],
    &[14, 7],
    // It asks for time: for ever, and some.
    &[14, 1],
    &[14, 9],
    // It takes its body.
    &[15, 0],
    &[15, 0, 15, 0],
];

/// More than the buffer of an answer holds.
const CHUNKS: [u8; 72] = {
    let mut steps = [13; 72];
    let mut at = 1;
    while at < steps.len() {
        steps[at] = 1;
        at += 2;
    }
    steps
};

/// The walk from an accepted connection with this configuration, until there is nothing new.
pub(super) fn explore(config: [u8; 2]) -> HashSet<State> {
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([Vec::new()]);
    while let Some(way) = queue.pop_front() {
        let Some(bench) = walk(config, &way) else {
            continue;
        };
        if !seen.insert(bench.connection.state()) {
            continue;
        }
        bench.leave_alone();
        queue.extend((0..ACTS.len()).map(|act| [way.as_slice(), &[act]].concat()));
    }
    seen
}

/// The connection behind these acts; none if it has ended.
fn walk(config: [u8; 2], way: &[usize]) -> Option<Bench> {
    let mut bench = Bench::new(config[0], config[1]);
    for &act in way {
        let mut choices = Choices(ACTS[act]);
        while !choices.is_empty() && bench.is_alive {
            bench.step(&mut choices);
            bench.settle();
            bench.check();
        }
    }
    bench.is_alive.then_some(bench)
}

/// The states in the words that a reader needs: phase, answer, body, and what the application waits for.
pub(super) fn summary(states: &HashSet<State>) -> BTreeSet<String> {
    let text = |state: &State| {
        let parts = [state.phase, state.answer, state.body, state.waits];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" / ")
    };
    states.iter().map(text).collect()
}
