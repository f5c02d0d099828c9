//! The engine of gneiss: a sans-I/O HTTP/1 server that never names JavaScript.
//!
//! Bytes, an accepted connection and a clock go in; events and bytes come out. Two things feed it:
//! a driver, which owns sockets and time, and whoever answers, who sees ids and plain data only.
//! In reading order:
//!
//! - [`config`]: a finished server configuration and every default
//! - [`exchange`]: ids, events, reasons: the words at the border
//! - [`answers`]: what the application says to an open exchange
//! - [`slot`], [`lane`]: open exchanges, and the queue towards JavaScript
//! - [`http1`]: the codec and the state machine of one connection
//! - [`deadline`]: the timer wheel
//! - [`table`]: connections by key: what every driver works with
//! - [`socket`]: what both drivers do with a connection's socket
//! - [`thread`]: the driver with threads of its own
//! - [`fail`]: faults on demand, in builds for tests; `growth`: memory that may be refused
//! - [`counters`], [`shutdown`], [`address`], [`clock`]: what is open, how it ends, where it listens, what time it is
//! - [`access`]: the access log
//! - [`overload`]: whether one more request is taken for the application
//! - [`refusals`]: lines for the log about requests that were refused
//! - [`gate`]: which of several workers takes the next connection
//! - [`trusted`]: the peers whose forwarding fields count

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        reason = "tests compute with numbers of their own"
    )
)]

pub mod access;
pub mod address;
pub mod answers;
pub mod clock;
pub mod config;
pub mod counters;
pub mod deadline;
mod escape;
pub mod exchange;
pub mod fail;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod gate;
pub mod growth;
pub mod http1;
pub mod lane;
#[cfg(gneiss_must_not_compile)]
mod must_not_compile;
pub mod overload;
pub mod refusals;
pub mod shutdown;
pub mod slot;
pub mod socket;
mod sync;
pub mod table;
pub mod thread;
pub mod trusted;

pub use access::{AccessLog, Format, FormatFault, Target};
pub use address::{Bind, Endpoint, Listener, SocketFile};
pub use answers::Answers;
pub use clock::Clock;
pub use config::{BodyRoute, FORWARDED_ALLOW_IPS, ServerConfig};
pub use counters::{Counter, Counters, Held};
pub use exchange::{
    AbortReason, BodyOutcome, ChunkOutcome, Delivery, Event, Id, Meta, Notice, ServerKey,
};
pub use gate::{Cell, CellGate, CellReading, Gate, Host, Seat, WorkerState};
pub use growth::grow_to;
pub use http1::{AnswerFault, Fate, HeadFault, METHODS, Reply, TakenBody, Wish, transcode_utf8};
pub use lane::Doorbell;
pub use refusals::Line;
pub use table::{Lateness, Table};
pub use thread::{Bell, Door, Remote};
pub use trusted::TrustedPeers;
