//! Lines for the log about what was refused or failed: few of them, however often it happens.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::escape::push_escaped;

/// Lines that wait for the log, and how many more may follow soon.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// Lines that were written ahead of their time, in milliseconds of waiting.
    debt: u64,
    at: u64,
    /// Refusals without a line since the last one that had one.
    left_out: u64,
    /// When the last fault of our own had its line, and how many have had none since.
    warned_at: Option<u64>,
    warnings_left_out: u64,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// It is about us, and not about what a client did.
    pub is_warning: bool,
    /// What it says.
    pub text: String,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complained {
    /// A request that was answered with this status.
    Refused(u16),
    /// An answer that was cut without its client being able to tell.
    Cut,
}

/// What is said of a refused request.
#[derive(Clone, Copy, Debug)]
pub struct Complaint<'a> {
    /// What happened.
    pub what: Complained,
    /// A name that stays the same.
    pub code: &'a str,
    /// What is wrong, for people.
    pub reason: &'a str,
    /// The address of the client.
    pub peer: &'a [u8],
    /// What the client sent, as far as it is known; its query is left out.
    pub line: &'a [u8],
}

impl Refusals {
    /// Writes a line unless there were too many of late. True if somebody has to be told that one waits.
    pub fn note(&self, now: u64, complaint: &Complaint<'_>) -> bool {
        let mut state = self.lock();
        state.debt = state.debt.saturating_sub(now.saturating_sub(state.at));
        state.at = now;
        if state.debt.saturating_add(EVERY) > BURST.saturating_mul(EVERY) {
            state.left_out = state.left_out.saturating_add(1);
            return false;
        }
        state.debt = state.debt.saturating_add(EVERY);
        let left_out = std::mem::take(&mut state.left_out);
        state.add(false, complaint.line(left_out))
    }

    /// Writes a line about a fault of our own, once a second. True if somebody has to be told that one waits.
    pub fn warn(&self, now: u64, fault: &str) -> bool {
        let mut state = self.lock();
        if state
            .warned_at
            .is_some_and(|at| now.saturating_sub(at) < EVERY)
        {
            state.warnings_left_out = state.warnings_left_out.saturating_add(1);
            return false;
        }
        state.warned_at = Some(now);
        let mut text = fault.to_owned();
        let left_out = std::mem::take(&mut state.warnings_left_out);
        if left_out > 0 {
            let _ = write!(text, " ({left_out} more times before it)");
        }
        state.add(true, text)
    }

    /// The lines that wait.
    #[must_use]
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lock().lines)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a line. True if it is the only one, of which somebody has to be told.
    fn add(&mut self, is_warning: bool, text: String) -> bool {
        self.lines.push(Line { is_warning, text });
        self.lines.len() == 1
    }
}

impl Complaint<'_> {
    fn line(&self, left_out: u64) -> String {
        let Self {
            what, code, reason, ..
        } = self;
        let mut text = match what {
            Complained::Refused(status) => format!("refused a request with {status} {code}"),
            Complained::Cut => format!("cut an answer, {code}"),
        };
        let _ = write!(text, ": {reason}; from {}", escaped(self.peer));
        let known = self.line.split(|byte| *byte == b'?').next();
        if let Some(known) = known.filter(|known| !known.is_empty()) {
            text.push_str(", \"");
            text.push_str(&escaped(known.get(..LINE_MOST).unwrap_or(known)));
            // A query may hold what lets somebody in.
            let is_cut = known.len() > LINE_MOST || known.len() < self.line.len();
            text.push_str(if is_cut { "...\"" } else { "\"" });
        }
        if left_out > 0 {
            let _ = write!(text, " ({left_out} more were refused before it)");
        }
        text
    }
}

fn escaped(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_escaped(&mut out, text, b"\\x");
    String::from_utf8(out).unwrap_or_default()
}

/// One line in so many milliseconds, and so many at once.
const EVERY: u64 = 1_000;
const BURST: u64 = 5;
const LINE_MOST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLAINT: Complaint<'static> = Complaint {
        what: Complained::Refused(400),
        code: "FieldValue",
        reason: "a field value holds a control",
        peer: b"127.0.0.1",
        line: b"GET /a\"\x1b?token=secret HTTP/1.1",
    };

    #[test]
    fn a_line_names_all_but_what_may_be_secret() {
        let refusals = Refusals::default();
        assert!(refusals.note(0, &COMPLAINT));
        assert_eq!(
            refusals.take()[0].text,
            "refused a request with 400 FieldValue: a field value holds a control; from 127.0.0.1, \
              \"GET /a\\\"\\x1b...\""
        );
    }

    #[test]
    fn a_flood_is_a_few_lines_that_say_how_many_there_were() {
        let refusals = Refusals::default();
        let told: Vec<bool> = (0..100).map(|_| refusals.note(0, &COMPLAINT)).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert_eq!(refusals.take().len(), 5);
        assert!(!refusals.note(999, &COMPLAINT));
        assert!(refusals.note(1_000, &COMPLAINT));
        let lines = refusals.take();
        assert!(
            lines[0].text.ends_with("(96 more were refused before it)"),
            "{lines:?}"
        );
        assert!(!refusals.note(1_001, &COMPLAINT));
        for _ in 0..9 {
            refusals.note(1_000_000, &COMPLAINT);
        }
        assert_eq!(refusals.take().len(), 5);
    }

    #[test]
    fn a_fault_of_our_own_has_a_line_a_second() {
        let refusals = Refusals::default();
        assert!(refusals.warn(5, "it failed"));
        assert!(!refusals.warn(500, "it failed") && !refusals.warn(1_004, "it failed"));
        // The first one was not taken, so that nobody has to be told again.
        assert!(!refusals.warn(1_005, "it failed"));
        let texts: Vec<String> = refusals.take().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["it failed", "it failed (2 more times before it)"]);
        assert!(refusals.warn(3_000, "it failed") && refusals.take()[0].is_warning);
    }
}
