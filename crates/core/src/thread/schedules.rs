//! Random schedules of the whole bridge: the real engine, a real I/O thread's tasks on real sockets, the real
//! isolate's side; only the application and the order of events are made up.
//!
//! Everything runs on one thread, so that a schedule that fails can be repeated: what crosses threads is
//! checked by the models, what the two sides make of it by this.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod app;
mod bench;
mod client;

use proptest::collection::vec;
use proptest::prelude::*;

use self::app::Say;
use self::bench::Bench;
use self::client::{Leaving, Request};
use crate::fail;

/// One step of a schedule. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Connect,
    Send(usize, Request),
    SendBody(usize, usize),
    Read(usize, usize),
    Leave(usize, Leaving),
    /// The I/O thread runs for so many rounds.
    Turn(usize),
    /// The isolate answers its bell.
    Pass,
    Say(usize, Say),
    /// The application says something to an exchange that it knows to be over.
    SayLate(usize, Say),
    Close,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        4 => any::<bool>().prop_map(|wants_done| Say::Respond { wants_done }),
        3 => Just(Say::Start),
        4 => (1_usize..20_000, any::<bool>()).prop_map(|(len, is_last)| Say::Chunk { len, is_last }),
        2 => any::<bool>().prop_map(|wants_done| Say::End { wants_done }),
        1 => Just(Say::Reset),
        1 => Just(Say::Fail),
        3 => Just(Say::TakeBody),
        1 => Just(Say::Extend),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        3 => Just(Request::Get),
        2 => (0_usize..100_000).prop_map(|length| Request::Post { length }),
        1 => Just(Request::Chunked),
        1 => Just(Request::Partial),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let leaving = prop_oneof![
        2 => Just(Leaving::Fin),
        1 => Just(Leaving::Close),
    ];
    prop_oneof![
        3 => Just(Step::Connect),
        6 => (0_usize..8, request()).prop_map(|(client, request)| Step::Send(client, request)),
        4 => (0_usize..8, 1_usize..40_000).prop_map(|(client, most)| Step::SendBody(client, most)),
        4 => (0_usize..8, 1_usize..60_000).prop_map(|(client, most)| Step::Read(client, most)),
        2 => (0_usize..8, leaving).prop_map(|(client, leaving)| Step::Leave(client, leaving)),
        10 => (1_usize..6).prop_map(Step::Turn),
        10 => Just(Step::Pass),
        12 => (0_usize..8, say()).prop_map(|(exchange, say)| Step::Say(exchange, say)),
        2 => (0_usize..8, say()).prop_map(|(exchange, say)| Step::SayLate(exchange, say)),
        1 => prop_oneof![1 => Just(Step::Close), 5 => Just(Step::Pass)],
    ]
}

/// The full measure is for the long run.
fn cases() -> u32 {
    let is_full = std::env::var("TEST_SCALE").is_ok_and(|scale| scale == "full");
    if is_full { 100_000 } else { 400 }
}

/// Does all steps, then everything that is left to do. Nothing is left.
fn play(steps: &[Step]) {
    played(steps).finish();
}

/// The same without the end.
fn played(steps: &[Step]) -> Bench {
    let mut bench = Bench::new();
    for step in steps {
        match step {
            Step::Connect => bench.connect(),
            Step::Send(client, request) => bench.send(*client, request),
            Step::SendBody(client, most) => bench.send_body(*client, *most),
            Step::Read(client, most) => bench.read(*client, *most),
            Step::Leave(client, leaving) => bench.leave(*client, *leaving),
            Step::Turn(rounds) => bench.turn(*rounds),
            Step::Pass => bench.pass(),
            Step::Say(exchange, say) => bench.say(*exchange, say),
            Step::SayLate(exchange, say) => bench.say_late(*exchange, say),
            Step::Close => bench.close(),
        }
    }
    bench.settle();
    bench
}

/// Points at which memory is refused, or room in a queue.
const POINTS: [&str; 3] = ["memory", "push", "slot"];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_exchange_ends_once_and_nothing_is_left(steps in vec(step(), 1..120)) {
        fail::plan("", 0);
        play(&steps);
    }

    #[test]
    fn the_same_where_memory_or_room_in_a_queue_is_refused_once(
        steps in vec(step(), 1..120),
        point in 0..POINTS.len(),
        number in 1_u64..40,
    ) {
        fail::plan(POINTS[point], number);
        play(&steps);
        fail::plan("", 0);
    }
}

/// Everything that makes something grow: uploads, streams, answers that are large, requests that wait, many at once.
fn all_there_is() -> Vec<Step> {
    let chunk = |exchange| {
        let (len, is_last) = (15_000, false);
        Step::Say(exchange, Say::Chunk { len, is_last })
    };
    let end = |exchange| Step::Say(exchange, Say::End { wants_done: true });
    let mut steps = Vec::new();
    for client in 0..6 {
        steps.extend([Step::Connect, Step::Turn(2)]);
        let length = 30_000;
        let request = [Request::Post { length }, Request::Chunked, Request::Get];
        steps.push(Step::Send(client, request[client % 3].clone()));
        // Two batches in one, on the way to the isolate and back.
        steps.extend([Step::SendBody(client, 20_000), Step::Turn(3)]);
    }
    steps.extend([Step::Pass, Step::Turn(3)]);
    for exchange in 0..6 {
        steps.extend([Step::Say(exchange, Say::TakeBody), Step::Pass]);
        steps.push(Step::Say(exchange, Say::Start));
        steps.extend([chunk(exchange), Step::Pass, chunk(exchange), Step::Turn(1)]);
    }
    for client in 0..6 {
        steps.extend([Step::SendBody(client, 10_000), Step::Read(client, 60_000)]);
        steps.extend([Step::Turn(2), Step::Pass]);
    }
    steps.extend([Step::Leave(0, Leaving::Fin), Step::Turn(2)]);
    steps.extend([Step::Leave(1, Leaving::Close), Step::Turn(2), Step::Pass]);
    for exchange in 0..4 {
        steps.extend([
            end(0),
            Step::Pass,
            Step::Turn(3),
            Step::Read(exchange + 2, 60_000),
        ]);
    }
    steps.extend([Step::Turn(3), Step::Pass, Step::Close, Step::Turn(2)]);
    steps
}

/// Requests that are told in one batch, each with a body that came along.
fn all_at_once() -> Vec<Step> {
    let mut steps: Vec<Step> = (0..8)
        .flat_map(|_| [Step::Connect, Step::Turn(2)])
        .collect();
    steps.extend((0..8).map(|client| Step::Send(client, Request::Chunked)));
    steps.extend([Step::Turn(3), Step::Pass]);
    steps.extend((0..8).map(|exchange| Step::Say(exchange, Say::TakeBody)));
    steps
}

/// A body that is asked for again and again, in pieces that are larger each time.
fn a_body_in_pieces() -> Vec<Step> {
    let length = 30_000;
    let mut steps = vec![Step::Connect, Step::Turn(2)];
    steps.extend([Step::Send(0, Request::Post { length }), Step::Turn(3)]);
    for piece in 1..6 {
        steps.extend([Step::Pass, Step::Say(0, Say::TakeBody)]);
        steps.extend([Step::Say(0, Say::TakeBody), Step::Pass, Step::Turn(2)]);
        steps.extend([Step::SendBody(0, piece * 1_000), Step::Turn(3)]);
    }
    steps
}

#[test]
fn each_refusal_of_memory_and_of_room_in_a_queue_ends_one_exchange_and_leaves_nothing() {
    let schedules = [
        (all_there_is(), 5),
        (all_at_once(), 5),
        (a_body_in_pieces(), 1),
    ];
    for (steps, least) in schedules {
        for point in POINTS {
            fail::plan(point, 0);
            play(&steps);
            let passes = fail::passes();
            assert!(passes >= least, "{point}: {passes}");
            for number in 1..=passes {
                fail::plan(point, number);
                play(&steps);
                assert!(fail::passes() >= number, "{point}:{number} is never passed");
            }
        }
    }
    fail::plan("", 0);
}

#[test]
fn a_request_that_the_application_never_hears_of_is_refused_with_503() {
    for point in POINTS {
        fail::plan(point, 0);
        played(&all_at_once()).finish();
        for number in 1..=fail::passes() {
            fail::plan(point, number);
            let bench = played(&all_at_once());
            let failed = bench.failed_unheard();
            assert!(
                failed.iter().all(|status| status == "503"),
                "{point}:{number}: {failed:?}"
            );
            bench.finish();
        }
    }
    fail::plan("", 0);
}
