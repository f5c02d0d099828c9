//! The access log: what a connection notes of a request, and the thread that writes it.
//!
//! A connection notes raw pieces, which cost a copy each. A batch of them is handed over once a turn; text is
//! made of them, and written, by a thread of its own. Nobody waits for that thread: what it cannot take is
//! dropped and counted. In reading order: `format` (what a line is), `record` (what a line is made of),
//! `queue` (the way to the thread), `writer` (the thread), `sink` (where it writes).

mod format;
mod queue;
mod record;
mod sink;
mod writer;

pub use format::{Format, FormatFault};
pub use queue::{AccessLog, flush_all, reopen_all};
pub use record::{Draft, Recorder};
pub(crate) use record::{RequestFacts, remote_of};
pub use sink::Target;
