//! Whole connections through the table: bytes in, events and bytes out, a clock by hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "a test fails by panicking and computes with numbers of its own"
)]

mod bodies;
mod connection;
mod deadlines;
mod differential;
mod grid;
mod refusals;
mod workbench;
