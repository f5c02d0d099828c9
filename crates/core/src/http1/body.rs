//! Finds the payload of a request body and the end of the message, whatever the cuts of the network.
//!
//! Payload is copied out at once; everything else (sizes, extensions, trailers) is judged byte by
//! byte and dropped, so the decoder keeps a few numbers and no bytes. Trailers never join the fields:
//! a name in them could otherwise overrule what was checked in the head.

use memchr::memchr;

use super::field::{is_text, lower_token};
use super::head::BodyFraming;
use super::refusal::Refusal;
use crate::config::ServerConfig;

/// Bytes of chunk extensions in a whole body: they are work for us and say nothing to anybody.
const EXTENSION_BYTES: usize = 16 * 1024;

/// Digits of a chunk size; more could not fit 64 bits.
const SIZE_DIGITS: u8 = 16;

/// Limits of the trailer section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrailerLimits {
    /// Bytes of all trailer fields with their line ends.
    pub(crate) bytes: usize,
    /// Number of fields.
    pub(crate) fields: usize,
}

impl From<&ServerConfig> for TrailerLimits {
    fn from(config: &ServerConfig) -> Self {
        Self {
            bytes: config.limit_trailers,
            fields: config.limit_trailer_fields,
        }
    }
}

/// Decodes one body.
#[derive(Clone, Debug)]
pub(crate) struct BodyDecoder {
    state: State,
    limits: TrailerLimits,
    /// Extension bytes, and from the last chunk on the trailer bytes.
    overhead: usize,
    trailers: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing: the message has ended.
    Done,
    /// The payload of a body whose length is known.
    Length(u64),
    /// The digits of a chunk size.
    Size {
        size: u64,
        digits: u8,
    },
    /// White space after a size, which only an extension may follow.
    SizeSpace {
        size: u64,
    },
    Extension {
        size: u64,
    },
    /// The line feed after a size.
    SizeEnd {
        size: u64,
    },
    Data(u64),
    /// The carriage return after the data of a chunk.
    DataReturn,
    DataEnd,
    /// The first byte of a trailer line, or of the empty line that ends the message.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// The line feed of the empty line.
    LastEnd,
}

impl BodyDecoder {
    /// A decoder at the first byte after the head.
    pub(crate) const fn new(framing: BodyFraming, limits: TrailerLimits) -> Self {
        let state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Size { size: 0, digits: 0 },
        };
        Self {
            state,
            limits,
            overhead: 0,
            trailers: 0,
        }
    }

    /// Consumes from `input` and appends the payload found, at most `room` bytes, to `out`. Returns
    /// how many bytes were consumed: all of them unless the room or the message has ended. Never
    /// consumes a byte past the message.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        let mut rest = input;
        let mut room = room;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Done => break,
                State::Length(left) | State::Data(left) => {
                    let (payload, after) = split_payload(rest, left, room);
                    if payload.is_empty() {
                        break;
                    }
                    out.extend_from_slice(payload);
                    room = room.saturating_sub(payload.len());
                    self.state = self.after_payload(left.saturating_sub(length_of(payload)));
                    after
                }
                State::Extension { size } => self.extension(size, rest)?,
                State::TrailerValue => self.trailer_value(rest)?,
                state => {
                    self.state = self.step(state, byte)?;
                    after
                }
            };
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// Whether the message has ended.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Payload bytes that are still to come; none where only the peer knows.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    const fn after_payload(&self, left: u64) -> State {
        match (self.state, left) {
            (State::Length(_), 0) => State::Done,
            (State::Length(_), left) => State::Length(left),
            (_, 0) => State::DataReturn,
            (_, left) => State::Data(left),
        }
    }

    /// The state after a byte that is not payload.
    fn step(&mut self, state: State, byte: u8) -> Result<State, Refusal> {
        match (state, byte) {
            (State::Size { size, digits }, _) => self.size(size, digits, byte),
            (State::SizeSpace { size }, b' ' | b'\t') => {
                self.count_extension(1)?;
                Ok(State::SizeSpace { size })
            }
            (State::SizeSpace { size }, b';') => {
                self.count_extension(1)?;
                Ok(State::Extension { size })
            }
            (State::SizeEnd { size: 0 }, b'\n') => {
                self.overhead = 0;
                Ok(State::TrailerStart)
            }
            (State::SizeEnd { size }, b'\n') => Ok(State::Data(size)),
            (State::SizeSpace { .. } | State::SizeEnd { .. }, _) => Err(Refusal::ChunkSize),
            (State::DataReturn, b'\r') => Ok(State::DataEnd),
            (State::DataEnd, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::DataReturn | State::DataEnd, _) => Err(Refusal::ChunkEnd),
            (State::TrailerStart, b'\r') => Ok(State::LastEnd),
            (State::LastEnd, b'\n') => Ok(State::Done),
            (State::TrailerStart, _) => {
                self.trailers = self.trailers.saturating_add(1);
                if self.trailers > self.limits.fields {
                    return Err(Refusal::TrailersTooMany);
                }
                self.trailer_name(byte)
            }
            (State::TrailerName, b':') => {
                self.count_trailer(1)?;
                Ok(State::TrailerValue)
            }
            (State::TrailerName, _) => self.trailer_name(byte),
            (State::TrailerEnd, b'\n') => {
                self.count_trailer(1)?;
                Ok(State::TrailerStart)
            }
            (State::TrailerEnd | State::LastEnd, _) => Err(Refusal::Trailer),
            // The states that `decode` handles in bulk never come here.
            (
                State::Done
                | State::Length(_)
                | State::Data(_)
                | State::Extension { .. }
                | State::TrailerValue,
                _,
            ) => Ok(state),
        }
    }

    fn size(&mut self, size: u64, digits: u8, byte: u8) -> Result<State, Refusal> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits >= SIZE_DIGITS {
                return Err(Refusal::ChunkSize);
            }
            let size = (size << 4) | u64::from(digit);
            return Ok(State::Size {
                size,
                digits: digits.saturating_add(1),
            });
        }
        if digits == 0 {
            return Err(Refusal::ChunkSize);
        }
        match byte {
            b'\r' => Ok(State::SizeEnd { size }),
            b';' => {
                self.count_extension(1)?;
                Ok(State::Extension { size })
            }
            b' ' | b'\t' => {
                self.count_extension(1)?;
                Ok(State::SizeSpace { size })
            }
            _ => Err(Refusal::ChunkSize),
        }
    }

    /// Drops extension bytes up to the carriage return.
    fn extension<'a>(&mut self, size: u64, rest: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (text, after, complete) = split_text(rest);
        // What stands before the limit is judged before the limit, as if the bytes came one by one.
        let allowed = EXTENSION_BYTES.saturating_sub(self.overhead);
        if !is_text(text.get(..allowed).unwrap_or(text)) {
            return Err(Refusal::ChunkExtension);
        }
        self.count_extension(text.len())?;
        if complete {
            self.state = State::SizeEnd { size };
        }
        Ok(after)
    }

    /// Drops the bytes of a trailer value up to the carriage return.
    fn trailer_value<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (text, after, complete) = split_text(rest);
        let allowed = self.limits.bytes.saturating_sub(self.overhead);
        if !is_text(text.get(..allowed).unwrap_or(text)) {
            return Err(Refusal::Trailer);
        }
        self.count_trailer(text.len().saturating_add(usize::from(complete)))?;
        if complete {
            self.state = State::TrailerEnd;
        }
        Ok(after)
    }

    fn trailer_name(&mut self, byte: u8) -> Result<State, Refusal> {
        self.count_trailer(1)?;
        // A colon at the beginning of a line comes here too: it is no byte of a token either.
        if lower_token(byte) == 0 {
            Err(Refusal::Trailer)
        } else {
            Ok(State::TrailerName)
        }
    }

    fn count_extension(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.overhead = self.overhead.saturating_add(bytes);
        if self.overhead > EXTENSION_BYTES {
            Err(Refusal::ChunkExtensionsTooLong)
        } else {
            Ok(())
        }
    }

    fn count_trailer(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.overhead = self.overhead.saturating_add(bytes);
        if self.overhead > self.limits.bytes {
            Err(Refusal::TrailersTooLong)
        } else {
            Ok(())
        }
    }
}

/// Splits off the payload at the beginning: what is left of it, what is here, what there is room for.
fn split_payload(bytes: &[u8], left: u64, room: usize) -> (&[u8], &[u8]) {
    let most = usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(room)
        .min(bytes.len());
    bytes.split_at_checked(most).unwrap_or((bytes, b""))
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The text before the carriage return, what follows the carriage return, and whether it is here.
fn split_text(bytes: &[u8]) -> (&[u8], &[u8], bool) {
    match memchr(b'\r', bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((text, [_, after @ ..])) => (text, after, true),
        _ => (bytes, b"", false),
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
