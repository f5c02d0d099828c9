//! Parses and checks the head of a request, and writes it in the form that the application side
//! reads: the target, then one text of `\nname:value` fields with lower-case names.
//!
//! A head that arrives in one piece is read once, line by line, straight into the arena. Of a head
//! that arrives in pieces each complete line is judged as it comes and only once; the text is written
//! when the last piece is here. Lines are judged in order either way, so the verdict
//! does not depend on how the network cut the bytes.

use super::facts::Facts;
use super::field::{lower_token, trim_end, trim_start};
use super::lines::{Line, LineLimit, Lines};
pub(crate) use super::refusal::Refusal;
use super::scan::{push_front, push_lower_token};
use super::target::{Target, parse_request_line};

/// Method names by code; the TypeScript side holds the same list.
pub const METHODS: [&str; 8] = [
    "", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH",
];

/// Empty lines before a request line that are forgiven: some clients end a body with a spare CRLF.
const EMPTY_LINES: u8 = 2;

/// Limits of a head. A line end counts for `head` only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// Bytes of the whole head, with line ends and the empty lines before it.
    pub(crate) head: usize,
    /// Bytes of the request line.
    pub(crate) line: usize,
    /// Bytes of one field line.
    pub(crate) field: usize,
    /// Number of fields.
    pub(crate) fields: usize,
}

/// The versions that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the end of a request body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// `transfer-encoding: chunked`.
    Chunked,
    /// `content-length`, never 0.
    Length(u64),
    /// There is no body, or one of length 0.
    None,
}

/// A complete head. Its text was appended to the arena: the target, then the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts of one head; their reader packs them into bits"
)]
#[expect(
    clippy::struct_field_names,
    reason = "the method HEAD and the head of a message share a name by chance"
)]
pub(crate) struct Head {
    /// Bytes of the input up to the first byte of the body.
    pub(crate) consumed: usize,
    /// Position in `METHODS`; 0 when the field `@method` names it.
    pub(crate) method: u8,
    /// The method is HEAD: its answer has no body.
    pub(crate) is_head: bool,
    /// Version of the request.
    pub(crate) version: Version,
    /// How the body ends.
    pub(crate) framing: BodyFraming,
    /// The peer lets the connection serve another request.
    pub(crate) keep_alive: bool,
    /// The peer asks to change the protocol, and may.
    pub(crate) upgrade: bool,
    /// The peer waits for 100 (Continue) before it sends the body.
    pub(crate) expect_continue: bool,
    /// It has fields in which proxies name the client.
    pub(crate) forwarded: bool,
    /// The client used https. Only a trusted proxy can say so.
    pub(crate) secure: bool,
    /// Bytes of the target in the arena.
    pub(crate) target_len: usize,
    /// Bytes of the fields in the arena, after the target.
    pub(crate) head_len: usize,
}

/// What is known of a head whose end has not come yet. Starts as `default()` and returns to it by
/// itself when a head is complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadScan {
    lines: Lines,
    empty_lines: u8,
    /// Present once the request line was accepted.
    facts: Option<Facts>,
}

impl HeadScan {
    /// Whether the bytes seen so far are more than the empty lines that may precede a request.
    #[must_use]
    pub(crate) const fn has_begun(&self) -> bool {
        self.facts.is_some() || self.lines.is_in_line()
    }
}

/// The verdict on the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeadOutcome {
    /// The head ends in the input.
    Complete(Head),
    /// More bytes are needed: call again with the same input and what follows it.
    Incomplete,
    /// The request cannot be served, and nothing after it on this connection.
    Refused(Refusal),
}

/// Reads a head at the beginning of `input`.
///
/// `input` begins at the first byte that was not consumed and only ever grows between two calls with
/// the same `scan`. `pseudo` is the text that precedes the fields, `\n@name:value` repeated. The
/// arena grows by `target_len + head_len` bytes on `Complete` and not at all otherwise.
pub(crate) fn parse_head(
    input: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    pseudo: &[u8],
    arena: &mut Vec<u8>,
) -> HeadOutcome {
    let arena_start = arena.len();
    let resumed = scan.facts.is_some();
    let mut parser = Parser {
        input,
        limits,
        pseudo,
        arena: &mut *arena,
        arena_start,
    };
    let mut outcome = parser.run(scan);
    if resumed && matches!(outcome, Ok(Some(_))) {
        // Only the lines of this piece have left their text. All lines are known to be valid now, so
        // this second reading ends in the same verdict.
        parser.arena.truncate(arena_start);
        *scan = HeadScan::default();
        outcome = parser.run(scan);
    }
    match outcome {
        Ok(Some(head)) => {
            *scan = HeadScan::default();
            HeadOutcome::Complete(head)
        }
        Ok(None) => {
            arena.truncate(arena_start);
            HeadOutcome::Incomplete
        }
        Err(refusal) => {
            arena.truncate(arena_start);
            HeadOutcome::Refused(refusal)
        }
    }
}

struct Parser<'a> {
    input: &'a [u8],
    limits: &'a HeadLimits,
    pseudo: &'a [u8],
    arena: &'a mut Vec<u8>,
    arena_start: usize,
}

impl<'a> Parser<'a> {
    fn run(&mut self, scan: &mut HeadScan) -> Result<Option<Head>, Refusal> {
        let mut facts = match scan.facts.take() {
            Some(facts) => facts,
            None => match self.request_line(scan)? {
                Some(facts) => facts,
                None => return Ok(None),
            },
        };
        let limit = LineLimit {
            line: self.limits.field,
            head: self.limits.head,
            refusal: Refusal::FieldTooLong,
        };
        loop {
            let Some(line) = scan.lines.next(self.input, limit)? else {
                scan.facts = Some(facts);
                return Ok(None);
            };
            if line.text.is_empty() {
                return self.finish(&facts, scan.lines.position()).map(Some);
            }
            self.field(line, &mut facts)?;
        }
    }

    fn request_line(&mut self, scan: &mut HeadScan) -> Result<Option<Facts>, Refusal> {
        let limit = LineLimit {
            line: self.limits.line,
            head: self.limits.head,
            refusal: Refusal::RequestLineTooLong,
        };
        let line = loop {
            // Refused at its first byte, or a TLS client at a clear-text port waits for a deadline.
            if let Some(first) = self.input.get(scan.lines.position())
                && lower_token(*first) == 0
                && !matches!(first, b'\r' | b'\n')
            {
                return Err(Refusal::Method);
            }
            let Some(line) = scan.lines.next(self.input, limit)? else {
                return Ok(None);
            };
            if !line.text.is_empty() {
                break line.text;
            }
            scan.empty_lines = scan.empty_lines.saturating_add(1);
            if scan.empty_lines > EMPTY_LINES {
                return Err(Refusal::EmptyLines);
            }
        };
        let parsed = parse_request_line(line)?;
        let mut facts = Facts::new(parsed.code, parsed.version);
        match parsed.target {
            Target::Origin(target) => self.arena.extend_from_slice(target),
            Target::Asterisk => self.arena.push(b'*'),
            Target::Absolute { path, .. } => {
                if path.first() != Some(&b'/') {
                    self.arena.push(b'/');
                }
                self.arena.extend_from_slice(path);
            }
        }
        facts.target_len = self.arena.len().wrapping_sub(self.arena_start);
        self.arena.extend_from_slice(self.pseudo);
        if parsed.code == 0 {
            self.arena.extend_from_slice(b"\n@method:");
            self.arena.extend_from_slice(parsed.method);
        }
        if let Target::Absolute {
            raw,
            authority,
            path,
        } = parsed.target
        {
            self.arena.extend_from_slice(b"\n@target:");
            self.arena.extend_from_slice(raw);
            // The line ends with: authority, path, " HTTP/1.1\r\n".
            let end = scan
                .lines
                .position()
                .wrapping_sub(path.len().wrapping_add(11));
            facts.authority = Some((end.wrapping_sub(authority.len()), end));
        }
        Ok(Some(facts))
    }

    #[inline]
    fn field(&mut self, line: Line<'a>, facts: &mut Facts) -> Result<(), Refusal> {
        facts.fields = facts.fields.wrapping_add(1);
        if facts.fields > self.limits.fields {
            return Err(Refusal::FieldsTooMany);
        }
        self.arena.push(b'\n');
        let name_start = self.arena.len();
        let name_len = push_lower_token(line.tail, self.arena);
        let Some((_, [b':', value @ ..])) = line.text.split_at_checked(name_len) else {
            return Err(name_refusal(line.text));
        };
        if name_len == 0 {
            return Err(Refusal::FieldName);
        }
        if line.has_control {
            return Err(Refusal::FieldValue);
        }
        let value = trim_start(value);
        let value_start = line.text.len().wrapping_sub(value.len());
        let value = trim_end(value);
        let name = self.arena.get(name_start..).unwrap_or_default();
        facts.note(name, value)?;
        let is_replaced = facts.authority.is_some() && name == b"host";
        self.arena.push(b':');
        if is_replaced {
            self.push_authority(facts);
        } else {
            push_front(
                line.tail.get(value_start..).unwrap_or_default(),
                value.len(),
                0,
                self.arena,
            );
        }
        Ok(())
    }

    /// Ends the text and judges what no single line could tell.
    fn finish(&mut self, facts: &Facts, consumed: usize) -> Result<Head, Refusal> {
        if facts.authority.is_some() && !facts.host_seen {
            self.arena.extend_from_slice(b"\nhost:");
            self.push_authority(facts);
        }
        self.arena.push(b'\n');
        let text_len = self.arena.len().wrapping_sub(self.arena_start);
        facts.finish(consumed, text_len)
    }

    /// The authority of an absolute-form target, which overrules Host (RFC 9112 section 3.2.2).
    #[cold]
    fn push_authority(&mut self, facts: &Facts) {
        let (start, end) = facts.authority.unwrap_or_default();
        self.arena
            .extend_from_slice(self.input.get(start..end).unwrap_or_default());
    }
}

#[cold]
fn name_refusal(line: &[u8]) -> Refusal {
    match line.first() {
        Some(b' ' | b'\t') => Refusal::FieldFolded,
        _ => Refusal::FieldName,
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "head_field_tests.rs"]
mod field_tests;

#[cfg(test)]
#[path = "head_limit_tests.rs"]
mod limit_tests;
