//! What the gate decides, with a clock and processes of the tests.

use std::cell::Cell as Local;
use std::sync::Arc;

use super::*;

thread_local! {
    static NOW: Local<u64> = const { Local::new(10_000) };
    static DEAD: Local<u32> = const { Local::new(0) };
}

const HOST: Host = Host {
    now: || NOW.get(),
    is_alive: |pid| pid != DEAD.get(),
};

#[derive(Clone, Debug)]
struct Memory(Arc<Vec<Cell>>);

impl AsRef<[Cell]> for Memory {
    fn as_ref(&self) -> &[Cell] {
        &self.0
    }
}

/// `count` workers that accept, with the pids 100, 101 and so on.
fn workers(count: u32) -> (Memory, Vec<CellGate<Memory>>) {
    let memory = Memory(Arc::new((0..count).map(|_| Cell::default()).collect()));
    let gates = (0..count)
        .map(|index| {
            let gate = CellGate::new(memory.clone(), index as usize, HOST).unwrap();
            memory.0[index as usize].join(100 + index, NOW.get());
            gate.set_accepting(true);
            gate
        })
        .collect();
    (memory, gates)
}

fn fill(gate: &CellGate<Memory>, connections: usize) {
    for _ in 0..connections {
        gate.entered();
    }
}

fn pass(milliseconds: u64, memory: &Memory) {
    NOW.set(NOW.get() + milliseconds);
    for cell in memory.0.iter().filter(|cell| cell.read().pid != 0) {
        cell.tick(NOW.get());
    }
}

#[test]
fn a_cell_is_a_cache_line() {
    assert_eq!(size_of::<Cell>(), 64);
    assert_eq!(align_of::<Cell>(), 64);
}

#[test]
fn a_worker_accepts_up_to_one_more_than_the_least_loaded() {
    let (_, gates) = workers(3);
    fill(&gates[1], 5);
    fill(&gates[2], 4);
    assert!(gates[0].admits());
    assert!(!gates[1].admits());
    fill(&gates[0], 3);
    assert!(!gates[1].admits());
    assert!(gates[2].admits());
    gates[0].entered();
    assert!(gates[1].admits());
    gates[0].left();
    assert!(!gates[1].admits());
}

#[test]
fn one_worker_alone_always_accepts() {
    let (_, gates) = workers(1);
    fill(&gates[0], 1_000);
    assert!(gates[0].admits());
}

#[test]
fn only_workers_that_accept_count() {
    let (memory, gates) = workers(2);
    fill(&gates[0], 10);
    gates[1].set_accepting(false);
    assert!(gates[0].admits());
    gates[1].set_accepting(true);
    assert!(!gates[0].admits());
    memory.0[1].join(101, NOW.get());
    assert!(gates[0].admits(), "one that boots has not begun");
    assert!(!gates[1].admits());
    gates[1].set_accepting(true);
    gates[1].retire();
    assert!(gates[0].admits());
    gates[1].set_accepting(true);
    assert!(gates[0].admits(), "nobody comes back from draining");
}

#[test]
fn a_dead_worker_does_not_count_even_before_the_master_has_seen_it() {
    let (memory, gates) = workers(2);
    fill(&gates[0], 10);
    assert!(!gates[0].admits());
    DEAD.set(101);
    assert!(gates[0].admits());
    DEAD.set(0);
    memory.0[1].clear(2);
    assert!(gates[0].admits());
    assert_eq!(memory.0[1].read().generation, 2);
    assert_eq!(memory.0[1].read().state, WorkerState::Empty);
}

#[test]
fn a_stopped_process_does_not_count() {
    let (memory, gates) = workers(2);
    fill(&gates[0], 10);
    NOW.set(NOW.get() + TICK_MOST + 1);
    memory.0[0].tick(NOW.get());
    assert!(gates[0].admits());
}

#[test]
fn a_busy_loop_does_not_count_and_one_that_waits_always_does() {
    let (memory, gates) = workers(2);
    fill(&gates[0], 10);
    gates[1].busy();
    pass(BUSY_MOST, &memory);
    assert!(!gates[0].admits());
    pass(1, &memory);
    assert!(gates[0].admits());
    gates[1].polling(3);
    assert_eq!(memory.0[1].read().inflight, 3);
    pass(60_000, &memory);
    assert!(!gates[0].admits());
}

#[test]
fn a_worker_that_leaves_connections_waiting_is_found_out_until_it_goes_on() {
    let (memory, gates) = workers(2);
    fill(&gates[0], 10);
    assert!(!gates[0].admits());
    pass(PATIENCE - 1, &memory);
    assert!(!gates[0].admits());
    pass(1, &memory);
    assert!(gates[0].admits());
    assert!(gates[0].admits(), "the next one does not wait again");
    gates[1].entered();
    assert!(!gates[0].admits());
    pass(PATIENCE, &memory);
    assert!(gates[0].admits());
    gates[1].busy();
    gates[1].polling(0);
    assert!(!gates[0].admits(), "its loop turns");
}

#[test]
fn patience_begins_anew_whenever_somebody_accepts() {
    let (memory, gates) = workers(2);
    fill(&gates[0], 10);
    for _ in 0..5 {
        assert!(!gates[0].admits());
        pass(PATIENCE * 3 / 4, &memory);
        gates[1].entered();
    }
    // A refusal of long ago is no reason either: what waited then was taken.
    pass(10_000, &memory);
    assert!(!gates[0].admits());
}

#[test]
fn a_stuck_worker_leaves_connections_to_the_others() {
    let (memory, gates) = workers(2);
    gates[0].busy();
    pass(BUSY_MOST + 1, &memory);
    assert!(!gates[0].admits());
    gates[1].busy();
    pass(BUSY_MOST + 1, &memory);
    assert!(gates[0].admits(), "there is nobody better");
}

#[test]
fn the_last_of_those_who_retire_takes_what_waits() {
    let (_, gates) = workers(3);
    assert!(!gates[1].retire());
    DEAD.set(102);
    assert!(gates[0].retire());
    DEAD.set(0);
}

#[test]
fn a_seat_is_given_back_when_its_connection_is_dropped() {
    let (memory, mut gates) = workers(1);
    let gate: Arc<dyn Gate> = Arc::new(gates.remove(0));
    let seats = [Seat::take(&gate), Seat::take(&gate)];
    assert_eq!(memory.0[0].read().connections, 2);
    drop(seats);
    let reading = memory.0[0].read();
    assert_eq!((reading.connections, reading.accepted), (0, 2));
    gate.left();
    assert_eq!(memory.0[0].read().connections, 0);
}

#[test]
fn there_is_no_gate_beyond_the_cells() {
    let (memory, _) = workers(2);
    assert!(CellGate::new(memory, 2, HOST).is_none());
}

#[test]
fn a_worker_with_listeners_of_its_own_waits_for_nobody_and_empties_them_itself() {
    let (memory, mut gates) = workers(2);
    let own = gates.remove(0).alone();
    assert!(!own.is_shared());
    fill(&own, 1_000);
    assert!(own.admits());
    assert!(own.retire());
    assert_eq!(memory.0[0].read().state, WorkerState::Draining);
    assert!(!own.admits());
}

#[test]
fn a_worker_with_listeners_of_its_own_accepts_nothing_before_it_is_open_and_while_its_loop_stands_still()
 {
    let (memory, mut gates) = workers(2);
    memory.0[0].join(100, NOW.get());
    let own = gates.remove(0).alone();
    assert!(!own.admits());
    own.set_accepting(true);
    own.busy();
    pass(SUSPECT, &memory);
    assert!(own.admits());
    pass(1, &memory);
    assert!(!own.admits());
    own.polling(0);
    assert!(own.admits());
}

#[test]
fn a_worker_that_never_accepted_leaves_who_waits_to_those_who_will() {
    let (memory, gates) = workers(2);
    for cell in memory.0.iter() {
        cell.join(100, NOW.get());
    }
    assert!(!gates[0].retire());
    gates[1].set_accepting(true);
    assert!(gates[1].retire());
}
