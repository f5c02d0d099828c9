//! The threaded driver: connections on I/O threads of their own, the application on its isolate's.
//!
//! In reading order: `remote`, `hearing` and `sending` (the isolate's side: events out, commands in), `seen` (what it
//! knows of an exchange), `line`, `batch`, `mailbox`, `door` (what lies between), `start` and `worker` (the
//! I/O threads), `crowd` (how they share the connections).

mod batch;
mod crowd;
mod door;
mod hearing;
mod line;
mod mailbox;
#[cfg(all(test, gneiss_loom))]
mod model;
mod remote;
#[cfg(all(test, not(gneiss_loom)))]
mod scarce_tests;
#[cfg(all(test, not(gneiss_loom)))]
mod schedules;
mod seen;
mod sending;
mod start;
mod worker;

pub use door::{Bell, Door};
pub use remote::Remote;
