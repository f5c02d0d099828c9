//! The threaded driver through real sockets: the isolate's side is a thread of the test that waits for its bell.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking and computes with numbers of its own"
)]

mod bodies;
mod closing;
mod crowd;
mod isolate;
mod requests;
