use super::*;

/// A server whose application delivers when it is told to.
struct Queue {
    overload: Overload,
    counters: Arc<Counters>,
    now: u64,
}

impl Queue {
    fn new(max_queue: usize, max_queue_wait: u64) -> Self {
        let config = ServerConfig {
            max_queue,
            max_queue_wait,
            ..ServerConfig::default()
        };
        let counters = Arc::new(Counters::default());
        Self {
            overload: Overload::new(Arc::new(config), Arc::clone(&counters), Vec::new()),
            counters,
            now: 0,
        }
    }

    fn ask(&mut self) -> Option<Shed> {
        let found = self.overload.verdict(0, false).map(|found| found.shed);
        if found.is_none() {
            self.counters.requests_total.add(1);
            self.overload.mark(self.now);
        }
        found
    }

    fn deliver(&mut self, count: u64) {
        let waiting = self.counters.requests_total.get() - self.counters.delivered_total.get();
        self.counters.delivered_total.add(count.min(waiting));
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        self.overload.observe(self.now, 0);
    }
}

#[test]
fn a_full_queue_takes_nobody_until_somebody_was_delivered() {
    let mut queue = Queue::new(3, 10_000);
    let verdicts: Vec<_> = (0..5).map(|_| queue.ask()).collect();
    assert_eq!(
        verdicts,
        [
            None,
            None,
            None,
            Some(Shed::QueueFull),
            Some(Shed::QueueFull)
        ]
    );
    queue.deliver(1);
    assert_eq!((queue.ask(), queue.ask()), (None, Some(Shed::QueueFull)));
}

#[test]
fn who_would_wait_too_long_is_told_at_once() {
    let mut queue = Queue::new(0, 1_000);
    for _ in 0..20 {
        assert_eq!(queue.ask(), None);
    }
    queue.pass(1);
    // One in 100 ms: ten of them fit into a second.
    for _ in 0..15 {
        queue.pass(100);
        queue.deliver(1);
    }
    queue.pass(100);
    assert_eq!(queue.ask(), None);
    let taken = (0..20).filter(|_| queue.ask().is_none()).count();
    assert!((1..=6).contains(&taken), "{taken}");
    assert_eq!(queue.ask(), Some(Shed::QueueWait));
    // Nothing is known any more after a while of peace, so a burst of quick ones is not judged by slow ones.
    queue.deliver(100);
    queue.pass(10);
    queue.pass(FORGOTTEN);
    for _ in 0..500 {
        assert_eq!(queue.ask(), None);
    }
}

#[test]
fn one_pause_says_nothing_about_the_rate() {
    let mut queue = Queue::new(0, 1_000);
    for _ in 0..200 {
        queue.ask();
    }
    queue.pass(1);
    queue.pass(3_000);
    queue.deliver(2);
    queue.pass(1);
    assert_eq!(queue.ask(), None);
    queue.deliver(50);
    queue.pass(10);
    assert_eq!(queue.ask(), None);
}

#[test]
fn times_that_differ_are_not_taken_for_short_ones() {
    let mut queue = Queue::new(0, 1_000);
    queue.counters.requests_total.add(10_000);
    queue.pass(1);
    // 100 ms and 160 ms for 16 in turn are 8 ms each in the middle, and not the 6 ms of the shorter ones.
    for round in 0..40 {
        queue.deliver(16);
        queue.pass(if round % 2 == 0 { 100 } else { 160 });
    }
    let means: Vec<u64> = (0..6)
        .map(|round| {
            queue.deliver(16);
            queue.pass(if round % 2 == 0 { 100 } else { 160 });
            queue.overload.rate.mean
        })
        .collect();
    let average = means.iter().sum::<u64>() / 6;
    assert!((7_500..=8_700).contains(&average), "{means:?}");
}

#[test]
fn a_rare_request_says_nothing_about_the_rate() {
    let mut queue = Queue::new(0, 1_000);
    for _ in 0..100 {
        assert_eq!(queue.ask(), None);
        queue.deliver(1);
        queue.pass(500);
    }
    assert_eq!(queue.overload.rate.mean, 0);
}

#[test]
fn what_has_waited_too_long_is_not_taken() {
    let mut queue = Queue::new(0, 1_000);
    let mut shed_after = |waited| {
        queue
            .overload
            .verdict(waited, false)
            .map(|found| found.shed)
    };
    assert_eq!(
        (shed_after(999), shed_after(1_000)),
        (None, Some(Shed::QueueWait))
    );
    let mut queue = Queue::new(0, 0);
    assert_eq!(queue.overload.verdict(1_000_000, false), None);
}

/// Everybody waits for `wait` milliseconds behind a crowd; how many of a hundred are turned away after `time`.
fn turned_away(queue: &mut Queue, wait: u64, time: u64) -> usize {
    queue.counters.requests_total.add(40);
    for _ in 0..time / 50 {
        queue.overload.note_wait(queue.now, wait);
        queue.pass(50);
    }
    let shed = (0..100)
        .filter(|_| queue.overload.verdict(0, false).is_some())
        .count();
    queue.counters.requests_total.subtract(40);
    shed
}

#[test]
fn a_queue_that_stands_turns_more_and_more_away_and_none_when_it_is_gone() {
    let mut queue = Queue::new(0, 1_000_000);
    assert_eq!(turned_away(&mut queue, 150, 900), 0);
    let few = turned_away(&mut queue, 150, 400);
    let many = turned_away(&mut queue, 150, 2_000);
    assert!(0 < few && few < many && many > 80, "{few} {many}");
    assert_eq!(turned_away(&mut queue, 50, 5_000), 0);
}

#[test]
fn one_short_wait_in_a_window_shows_that_the_queue_does_not_stand() {
    let mut queue = Queue::new(0, 1_000_000);
    for _ in 0..10 {
        assert_eq!(turned_away(&mut queue, 500, 500), 0);
        assert_eq!(turned_away(&mut queue, 10, 100), 0);
    }
}

#[test]
fn few_who_wait_for_each_other_are_left_alone() {
    let mut queue = Queue::new(0, 1_000_000);
    assert!(turned_away(&mut queue, 500, 3_000) > 0);
    queue.counters.requests_total.add(CROWD);
    assert!((0..100).all(|_| queue.overload.verdict(0, false).is_none()));
}

#[test]
fn clients_are_told_different_times_within_half_a_minute() {
    let mut queue = Queue::new(1, 0);
    queue.ask();
    queue.overload.rate.mean = 8_000_000;
    let times: Vec<u64> = (0..200)
        .filter_map(|_| queue.overload.verdict(0, false))
        .map(|found| found.retry_after)
        .collect();
    assert_eq!(times.len(), 200);
    assert!(times.iter().all(|time| (8..=16).contains(time)));
    assert!(times.iter().any(|time| *time != times[0]));
    queue.overload.rate.mean = 1_000_000_000;
    let most = (0..200).filter_map(|_| queue.overload.verdict(0, false));
    assert!(
        most.map(|found| found.retry_after)
            .all(|time| (1..=30).contains(&time))
    );
}
