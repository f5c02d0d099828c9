//! What random bytes are thrown at: one function a target, each of which panics when a rule is broken.
//!
//! The fuzzer calls them with bytes that it breeds, the tests with the corpora in `fuzz/corpus`, and the
//! property tests with schedules of their own. Compiled for those only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a broken rule is told by a panic, which is what the fuzzer looks for"
)]

mod chunked;
mod connection;
#[cfg(test)]
mod explore;
mod forwarded;
mod head;
mod rooms;
mod texts;
mod wire;

pub use chunked::chunked;
pub use connection::connection;
pub use forwarded::forwarded;
pub use head::{head, target};

/// A target: what it judges, given any bytes.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("chunked", chunked),
    ("connection", connection),
    ("forwarded", forwarded),
    ("head", head),
    ("target", target),
];

/// Takes numbers off the front of the input; zeros when it has ended.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_target_holds_for_its_corpus() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, target) in TARGETS {
            let mut count = 0;
            for entry in std::fs::read_dir(corpora.join(name)).unwrap() {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                count += 1;
            }
            assert!(count >= 10, "the corpus of {name} has {count} files");
        }
    }

    #[test]
    fn every_reachable_state_owns_a_deadline_and_ends_by_it() {
        let is_full = std::env::var("TEST_SCALE").is_ok_and(|scale| scale == "full");
        // Half-open peers served, which leads to all states that there are; as it comes; every deadline off
        // that can be off; and connections that grow old.
        let configs = [[0, 1], [0, 0], [7, 0], [0, 4]];
        for config in &configs[..if is_full { 4 } else { 1 }] {
            let states = explore::explore(*config);
            assert!(states.len() > 600, "{} states", states.len());
            let found = explore::summary(&states);
            let found: Vec<&str> = found.iter().map(String::as_str).collect();
            assert_eq!(found, explore::STATES, "{config:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn a_connection_holds_under_any_schedule(
            config in any::<[u8; 2]>(),
            steps in prop::collection::vec((0..=255_u8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..6)), 0..60),
        ) {
            let mut data = config.to_vec();
            for (step, choice, rest) in steps {
                data.extend([step, choice]);
                data.extend(rest);
            }
            connection(&data);
        }

        #[test]
        fn the_parsers_hold_for_any_bytes(data in prop::collection::vec(any::<u8>(), 0..300)) {
            for (_, target) in TARGETS {
                target(&data);
            }
        }
    }
}
