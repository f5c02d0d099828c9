//! The sans-I/O HTTP/1 codec: bytes in, events and bytes out, a clock passed in.
//!
//! `head` and `body` refuse what is not strictly well formed, `encode` writes what leaves,
//! `connection` is the state machine over them; `request` and `intake` hold its request side, `answer` its
//! response side, `clock` its deadlines, `routes` the limits of its paths, `shed` what the application has no time for and `drain` its end. Nothing in here knows sockets, threads or lanes.

mod account;
mod afar;
pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod date;
pub(crate) mod drain;
pub(crate) mod encode;
mod ending;
mod facts;
mod field;
mod field_lines;
pub(crate) mod forwarded;
mod forwarded_entry;
pub(crate) mod head;
mod head_fault;
mod intake;
pub(crate) mod judge;
mod lines;
mod refusal;
pub(crate) mod request;
mod routes;
mod scan;
mod shed;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod state;
mod status;
mod target;
pub(crate) mod transcode;
mod wish;

pub use answer::{AnswerFault, Reply};
pub use connection::{Connection, Turn};
pub use encode::HeadFault;
pub use head::METHODS;
pub use intake::TakenBody;
pub use transcode::transcode_utf8;
pub use wish::{Fate, Wish};
