//! Whether one more request is taken for the application: how many wait for it, how long they have waited
//! and would wait.
//!
//! Whoever comes when there is no time for him is told so at once and by the engine, because a request that
//! is refused after a second costs its client a second and everybody else the work.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::config::ServerConfig;
use crate::counters::Counters;

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// As many requests wait as may.
    QueueFull,
    /// It has waited too long, or would.
    QueueWait,
    /// Everybody has been waiting for a while: some are turned away, so that the rest need not.
    LoopDelay,
}

/// A request that is not taken, and when its client may ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub shed: Shed,
    /// Value of Retry-After, in seconds.
    pub retry_after: u64,
}

/// What one server knows of the requests that wait for its application.
///
/// Each I/O thread has its own and sees the numbers of the others.
#[derive(Debug)]
pub struct Overload {
    config: Arc<ServerConfig>,
    own: Arc<Counters>,
    siblings: Vec<Arc<Counters>>,
    rate: Rate,
    standing: Standing,
    /// When requests were handed over that have not been delivered, a few of them.
    marks: VecDeque<Mark>,
    /// Requests that are over and were not delivered.
    unread_tickets: Vec<u64>,
    /// Sockets that are known to be readable and were not read.
    unread: usize,
    random: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    ticket: u64,
    at: u64,
}

impl Overload {
    /// Nobody waits yet. `siblings` count the requests of the same server on other threads.
    #[must_use]
    pub fn new(
        config: Arc<ServerConfig>,
        own: Arc<Counters>,
        siblings: Vec<Arc<Counters>>,
    ) -> Self {
        Self {
            config,
            own,
            siblings,
            rate: Rate::default(),
            standing: Standing::default(),
            marks: VecDeque::new(),
            unread_tickets: Vec::new(),
            unread: 0,
            // Workers that are overloaded together must not tell their clients the same time.
            random: RandomState::new().hash_one(0_u8) | 1,
        }
    }

    /// Looks at the queue, once a turn and before new requests are handed over. `unread` sockets are
    /// readable and were not read: what they hold waits as well.
    pub fn observe(&mut self, now: u64, unread: usize) {
        self.unread = unread;
        self.note_delivered(now);
        let waiting = self.waiting().saturating_add(unread as u64);
        self.rate.observe(now, self.delivered(), waiting > 0);
        if waiting == 0 {
            self.standing.note(now, 0);
        }
        self.standing.end_window(now);
    }

    /// Remembers when requests were handed over: for a thread that does not see them being delivered.
    pub fn mark(&mut self, now: u64) {
        let ticket = self.own.requests_total.get();
        let is_due = self
            .marks
            .back()
            .is_none_or(|last| last.ticket < ticket && now.saturating_sub(last.at) >= MARK_EVERY);
        if is_due && ticket > self.own.delivered_total.get() && self.marks.len() < MARKS {
            self.marks.push_back(Mark { ticket, at: now });
        }
    }

    /// A request has waited so long until it was delivered.
    pub fn note_wait(&mut self, now: u64, wait: u64) {
        self.standing.note(now, wait);
    }

    /// A request that was handed over is over before it was delivered: it takes nobody's time any more.
    pub fn note_unread(&mut self, ticket: u64) {
        self.unread_tickets.push(ticket);
        self.own.unread.set(self.unread_tickets.len() as u64);
    }

    /// Whether a request that has waited for `waited` milliseconds already is turned away. `is_beyond`:
    /// it waits behind as many as there may be.
    pub fn verdict(&mut self, waited: u64, is_beyond: bool) -> Option<Rejection> {
        let waiting = self.waiting();
        let shed = self.find_fault(waiting, waited, is_beyond)?;
        Some(self.reject(shed))
    }

    /// What is answered to a request that was taken and has waited too long.
    pub fn reject(&mut self, shed: Shed) -> Rejection {
        let waiting = self.waiting().saturating_add(self.unread as u64);
        let base = (self.predict(waiting) / 1_000).clamp(1, RETRY_MOST / 2);
        let jitter = self.draw().checked_rem(base.saturating_add(1)).unwrap_or(0);
        Rejection {
            shed,
            retry_after: base.saturating_add(jitter),
        }
    }

    /// How many may wait: what the queue holds, or less where they would wait too long.
    #[must_use]
    pub fn room(&self) -> usize {
        let most = match self.config.max_queue {
            0 => usize::MAX,
            most => most,
        };
        let in_time = self
            .config
            .max_queue_wait
            .saturating_sub(self.config.max_queue_wait / DOUBT)
            .saturating_mul(1_000)
            .checked_div(self.rate.mean)
            .filter(|_| self.config.max_queue_wait > 0);
        // One always may: what it takes is not known before it was tried.
        let in_time = in_time.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX).max(1)
        });
        most.min(in_time)
    }

    fn find_fault(&mut self, waiting: u64, waited: u64, is_beyond: bool) -> Option<Shed> {
        let ServerConfig {
            max_queue,
            max_queue_wait,
            ..
        } = *self.config;
        if max_queue > 0 && (waiting >= max_queue as u64 || is_beyond && self.unread > max_queue) {
            return Some(Shed::QueueFull);
        }
        if max_queue_wait == 0 {
            return None;
        }
        let more = self.predict(waiting);
        let in_time = max_queue_wait.saturating_sub(max_queue_wait / DOUBT);
        let is_late = more > 0 && waited.saturating_add(more) > in_time;
        if is_beyond || waited >= max_queue_wait || is_late {
            return Some(Shed::QueueWait);
        }
        // A few who wait for each other are no overload, however long each of them takes.
        let is_crowd = waiting.saturating_add(self.unread as u64) > CROWD;
        (is_crowd && self.standing.probability > 0 && self.draw() % 100 < self.standing.probability)
            .then_some(Shed::LoopDelay)
    }

    /// Milliseconds that somebody behind `waiting` others would wait.
    fn predict(&self, waiting: u64) -> u64 {
        waiting.saturating_mul(self.rate.mean) / 1_000
    }

    /// Requests that were handed over and not delivered.
    fn waiting(&self) -> u64 {
        let of = |counters: &Counters| {
            let delivered = counters.delivered_total.get();
            let waiting = counters.requests_total.get().saturating_sub(delivered);
            waiting.saturating_sub(counters.unread.get())
        };
        let siblings: u64 = self.siblings.iter().map(|counters| of(counters)).sum();
        siblings.saturating_add(of(&self.own))
    }

    fn delivered(&self) -> u64 {
        let siblings: u64 = self
            .siblings
            .iter()
            .map(|counters| counters.delivered_total.get())
            .sum();
        siblings.saturating_add(self.own.delivered_total.get())
    }

    fn note_delivered(&mut self, now: u64) {
        let delivered = self.own.delivered_total.get();
        if !self.unread_tickets.is_empty() {
            self.unread_tickets.retain(|ticket| *ticket > delivered);
            self.own.unread.set(self.unread_tickets.len() as u64);
        }
        while let Some(mark) = self.marks.front().copied()
            && mark.ticket <= delivered
        {
            self.marks.pop_front();
            self.standing.note(now, now.saturating_sub(mark.at));
        }
    }

    /// The next of a row of numbers that nobody has to foresee.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}

/// How long the application takes for a request: from the times at which some waited all along.
#[derive(Debug, Default)]
struct Rate {
    /// Microseconds; 0 while nothing is known.
    mean: u64,
    /// The last two measurements, the later one first.
    last: [Option<u64>; 2],
    /// When the present measurement began, and how many had been delivered.
    began: Option<(u64, u64)>,
    idle_since: u64,
}

impl Rate {
    fn observe(&mut self, now: u64, delivered: u64, is_backlogged: bool) {
        if !is_backlogged {
            // What an earlier burst has cost says nothing about the next one.
            if self.began.take().is_some() {
                self.idle_since = now;
            }
            if now.saturating_sub(self.idle_since) >= FORGOTTEN {
                self.mean = 0;
                self.last = [None; 2];
            }
            return;
        }
        let (since, from) = *self.began.get_or_insert((now, delivered));
        let (time, count) = (now.saturating_sub(since), delivered.saturating_sub(from));
        if count > 0 && time > 0 && (count >= SAMPLE || time >= SAMPLE_MOST) {
            let sample = time
                .saturating_mul(1_000)
                .checked_div(count)
                .unwrap_or(0)
                .max(1);
            // One long pause, whatever its cause, says nothing about the rate: so the middle one of three, and
            // of the first two the shorter. The shorter of any two would be too short where times differ, and
            // who is taken on such a promise waits too long.
            self.mean = match self.last {
                [Some(last), Some(before)] => median(sample, last, before),
                [Some(last), None] => last.min(sample),
                [None, _] => self.mean,
            };
            self.last = [Some(sample), self.last[0]];
            self.began = Some((now, delivered));
        }
    }
}

fn median(a: u64, b: u64, c: u64) -> u64 {
    a.min(b).max(a.max(b).min(c))
}

/// Tells a queue that never empties from one that does: by the shortest wait of a window of time.
#[derive(Debug, Default)]
struct Standing {
    began: u64,
    least: Option<u64>,
    /// Of a hundred requests so many are turned away.
    probability: u64,
}

impl Standing {
    fn note(&mut self, now: u64, wait: u64) {
        // A window in which nobody waited has not begun.
        if self.least.is_none() {
            self.began = now;
        }
        self.least = Some(self.least.map_or(wait, |least| least.min(wait)));
    }

    fn end_window(&mut self, now: u64) {
        let length = if self.probability == 0 { WINDOW } else { STEP };
        let age = now.saturating_sub(self.began);
        let Some(least) = self.least else {
            // Nobody was delivered: that says nothing while many wait, and all when nobody asks.
            if age >= FORGOTTEN {
                self.probability = 0;
            }
            return;
        };
        // It falls as fast as it rose.
        let (due, next) = if least <= STANDING {
            (STEP, self.probability.saturating_sub(RISE))
        } else {
            (length, self.probability.saturating_add(RISE).min(SURE))
        };
        if age >= due {
            self.probability = next;
            self.least = None;
            self.began = now;
        }
    }
}

/// A prediction may be wrong by such a part of the longest wait; who is taken shall be served in time.
const DOUBT: u64 = 8;
/// Milliseconds between two marks, and how many are kept.
const MARK_EVERY: u64 = 5;
const MARKS: usize = 1024;
/// Requests of one measurement of the rate, or the milliseconds after which fewer do.
const SAMPLE: u64 = 16;
const SAMPLE_MOST: u64 = 200;
/// Milliseconds of peace after which the past does not count.
const FORGOTTEN: u64 = 1_000;
/// The shortest wait that shows a standing queue when it lasts for a window, in milliseconds.
const STANDING: u64 = 100;
const WINDOW: u64 = 1_000;
/// From then on the probability changes in steps of so many milliseconds, by so many percent.
const STEP: u64 = 100;
const RISE: u64 = 5;
/// Somebody always gets through, or nothing would ever show that the queue is gone.
const SURE: u64 = 95;
/// So many may wait for each other without being turned away for that.
const CROWD: u64 = 16;
/// The longest Retry-After.
const RETRY_MOST: u64 = 30;

#[cfg(test)]
#[path = "overload_tests.rs"]
mod tests;
