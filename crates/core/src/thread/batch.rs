//! What travels between an I/O thread and an isolate, a batch at a time: plain data, and bytes behind it.

use super::mailbox::Batch;
use crate::exchange::{Event, Id};
use crate::growth::grow;

/// What an I/O thread tells. Text and bodies lie in the batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    /// Body bytes, or the body's end.
    Body {
        id: Id,
        offset: usize,
        len: usize,
        is_end: bool,
    },
    /// The peer has closed its sending side. The exchange lives until the isolate has heard of it, so
    /// that an answer which is already under way still leaves.
    Ended { id: Id },
    /// As in the engine.
    Event(Event),
    /// So many bytes of the answer have left.
    Room { id: Id, bytes: u64 },
}

/// Words with their text.
#[derive(Debug, Default)]
pub(super) struct WordBatch {
    pub(super) words: Vec<Word>,
    pub(super) text: Vec<u8>,
}

impl Batch for WordBatch {
    fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn len(&self) -> usize {
        self.words.len()
    }

    fn bytes(&self) -> usize {
        self.text.len()
    }

    fn make_room(&mut self, other: &Self) -> bool {
        grow(&mut self.words, other.words.len()) && grow(&mut self.text, other.text.len())
    }

    fn append(&mut self, other: &mut Self) {
        let base = self.text.len();
        self.text.append(&mut other.text);
        self.words.extend(other.words.drain(..).map(|mut word| {
            if let Word::Event(Event::Request { offset, .. }) | Word::Body { offset, .. } =
                &mut word
            {
                *offset = offset.saturating_add(base);
            }
            word
        }));
    }

    fn trim(&mut self) {
        self.words.clear();
        self.text.clear();
        self.words.shrink_to(ITEMS_KEPT);
        self.text.shrink_to(BYTES_KEPT);
    }
}

impl WordBatch {
    /// Bytes of the text, by the numbers of a word.
    pub(super) fn text(&self, offset: usize, len: usize) -> &[u8] {
        self.text
            .get(offset..offset.saturating_add(len))
            .unwrap_or_default()
    }
}

/// What an isolate says. The bytes of a command lie in the batch, in the order of the commands: fields,
/// then body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// A piece of a streamed answer. `is_waiting`: the application waits for room.
    Chunk {
        id: Id,
        data: usize,
        is_last: bool,
        wants_done: bool,
        is_waiting: bool,
    },
    /// Drain, and cut what is left after so many milliseconds.
    Close { timeout: u64 },
    /// The end of a streamed answer.
    End { id: Id, wants_done: bool },
    /// The same with trailer fields.
    EndWithTrailers {
        id: Id,
        count: usize,
        fields: usize,
        wants_done: bool,
    },
    /// More time.
    Extend { id: Id, milliseconds: u64 },
    /// A fault of our own: 500 or a cut.
    Fail { id: Id },
    /// The process ends: listeners go, what waits is offered to the kernel once, and the isolate, which
    /// waits for it, is told.
    Flush,
    /// A connection lies in the inbox that nobody has to accept.
    Invite,
    /// The isolate has heard that the peer closed its side.
    Leave { id: Id },
    /// Listeners that were reserved listen now.
    Open,
    /// Cut the exchange.
    Reset { id: Id },
    /// The whole answer.
    Respond {
        id: Id,
        status: u16,
        count: usize,
        fields: usize,
        body: usize,
        wants_done: bool,
    },
    /// The head of a streamed answer.
    Start {
        id: Id,
        status: u16,
        count: usize,
        fields: usize,
    },
    /// The isolate has no memory to hear of a request: 503.
    Starve { id: Id },
    /// The isolate is gone: close everything and end.
    Stop,
    /// The application waits for body bytes.
    Want { id: Id },
}

/// Commands with their bytes.
#[derive(Debug, Default)]
pub(super) struct CommandBatch {
    pub(super) commands: Vec<Command>,
    pub(super) bytes: Vec<u8>,
}

impl Batch for CommandBatch {
    fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    fn len(&self) -> usize {
        self.commands.len()
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn make_room(&mut self, other: &Self) -> bool {
        grow(&mut self.commands, other.commands.len()) && grow(&mut self.bytes, other.bytes.len())
    }

    fn append(&mut self, other: &mut Self) {
        self.commands.append(&mut other.commands);
        self.bytes.append(&mut other.bytes);
    }

    fn trim(&mut self) {
        self.commands.clear();
        self.bytes.clear();
        self.commands.shrink_to(ITEMS_KEPT);
        self.bytes.shrink_to(BYTES_KEPT);
    }
}

/// One burst must not be paid for with memory for ever.
const ITEMS_KEPT: usize = 4 * 1024;
const BYTES_KEPT: usize = 1024 * 1024;
