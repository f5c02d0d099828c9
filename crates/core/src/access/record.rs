//! What a line is made of: noted while a request is served, as raw pieces.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use memchr::memchr;

use super::format::{Format, Wanted};
use super::queue::AccessLog;
use crate::http1::METHODS;

/// A request that is being served.
///
/// The time is taken from the system and not from the driver, whose clock stands still within a turn.
#[derive(Debug)]
pub struct Draft {
    began: Instant,
    record: Record,
    pieces: Vec<u8>,
    /// The fields of the answer were noted.
    has_fields: bool,
}

/// A request that was served; its pieces lie in the text of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    pub(super) unix_milliseconds: u64,
    pub(super) microseconds: u64,
    /// 0 where no answer was given.
    pub(super) status: u16,
    /// 0 or 1 of HTTP/1; none where there was no head.
    pub(super) minor: Option<u8>,
    /// Bytes of the body of the answer.
    pub(super) sent: u64,
    /// Bytes of the request.
    pub(super) received: u64,
    /// Length of the pieces.
    pub(super) length: usize,
}

/// Records on their way to the thread that writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) text: Vec<u8>,
}

/// Notes requests for one log.
#[derive(Debug)]
pub struct Recorder {
    log: Arc<AccessLog>,
    format: Arc<Format>,
    batch: Batch,
    /// What the ids of requests begin with that bring none, and how many there were.
    seed: u64,
    count: u64,
}

/// Facts of a request that its text does not tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFacts {
    pub(crate) method: u8,
    pub(crate) minor: u8,
    pub(crate) target_len: usize,
    pub(crate) received: usize,
}

impl Recorder {
    /// For connections of one thread.
    #[must_use]
    pub fn new(log: Arc<AccessLog>) -> Self {
        Self {
            format: log.format(),
            log,
            batch: Batch::default(),
            seed: RandomState::new().hash_one(std::process::id()),
            count: 0,
        }
    }

    /// Begins with the text of a request: the target, then the head. Gives the id as well that was made for
    /// a request that brought none, so that its application can learn it.
    pub(crate) fn begin(&mut self, text: &[u8], facts: RequestFacts) -> (Draft, Option<String>) {
        let (target, head) = text
            .split_at_checked(facts.target_len)
            .unwrap_or((text, b""));
        let mut draft = Draft::new();
        draft.record.minor = Some(facts.minor);
        draft.record.received = facts.received as u64;
        draft.push(remote_of(head));
        let method = METHODS.get(usize::from(facts.method)).copied();
        match method.filter(|name| !name.is_empty()) {
            Some(name) => draft.push(name.as_bytes()),
            None => draft.push(value_after(head, b"\n@method:").unwrap_or_default()),
        }
        draft.push(target);
        let made = self.push_id(&mut draft, value_after(head, b"\nx-request-id:"));
        for wanted in &self.format.request_fields {
            let found = wanted.finder.find(head).map(|at| {
                let begin = at.saturating_add(wanted.name.len()).saturating_add(2);
                to_line_end(head.get(begin..).unwrap_or_default())
            });
            draft.push_field(found, wanted);
        }
        (draft, made)
    }

    /// A request of which no head was understood: its first line as it came.
    pub(crate) fn refused(&mut self, pseudo: &[u8], line: &[u8], status: u16, sent: u64) {
        let mut draft = Draft::new();
        draft.push(remote_of(pseudo));
        draft.push(b"");
        let line = line.get(..LINE_MOST).unwrap_or(line);
        draft.push(line);
        self.push_id(&mut draft, None);
        for _ in &self.format.request_fields {
            draft.push_absent();
        }
        draft.record.received = line.len() as u64;
        draft.answered(status, sent);
        self.end(draft);
    }

    /// Notes the fields of an answer, `name:value\n` repeated.
    pub(crate) fn answer(&self, draft: &mut Draft, fields: &[u8]) {
        for wanted in &self.format.response_fields {
            draft.push_field(field_of(fields, &wanted.name), wanted);
        }
        draft.has_fields = true;
    }

    /// A request is over.
    pub(crate) fn end(&mut self, mut draft: Draft) {
        if !draft.has_fields {
            for _ in &self.format.response_fields {
                draft.push_absent();
            }
        }
        let elapsed = draft.began.elapsed().as_micros();
        draft.record.microseconds = u64::try_from(elapsed).unwrap_or(u64::MAX);
        draft.record.length = draft.pieces.len();
        self.batch.records.push(draft.record);
        self.batch.text.extend_from_slice(&draft.pieces);
        if self.batch.text.len() > BATCH_MOST {
            self.flush();
        }
    }

    /// Hands over what was noted.
    pub fn flush(&mut self) {
        if !self.batch.records.is_empty() {
            self.log.post(&mut self.batch);
        }
    }

    fn push_id(&mut self, draft: &mut Draft, given: Option<&[u8]>) -> Option<String> {
        if !self.format.has_id {
            draft.push(b"");
            return None;
        }
        let is_fit = |id: &&[u8]| !id.is_empty() && id.len() <= ID_MOST;
        if let Some(id) = given.filter(is_fit) {
            draft.push(id);
            return None;
        }
        self.count = self.count.wrapping_add(1);
        let id = format!("{:016x}{:016x}", self.seed, self.count);
        draft.push(id.as_bytes());
        Some(id)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Draft {
    fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            began: Instant::now(),
            record: Record {
                unix_milliseconds: unix.map_or(0, |unix| {
                    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
                }),
                ..Record::default()
            },
            pieces: Vec::with_capacity(256),
            has_fields: false,
        }
    }

    /// The answer has a status, and a body of so many bytes.
    pub(crate) fn answered(&mut self, status: u16, sent: u64) {
        self.record.status = status;
        self.record.sent = sent;
    }

    /// So many bytes of the body more.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.record.sent = self.record.sent.saturating_add(bytes as u64);
    }

    /// So many bytes of the request more.
    pub(crate) fn received(&mut self, bytes: u64) {
        self.record.received = self.record.received.saturating_add(bytes);
    }

    /// Whether an answer was given.
    pub(crate) fn has_status(&self) -> bool {
        self.record.status != 0
    }

    fn push(&mut self, piece: &[u8]) {
        let piece = piece.get(..PIECE_MOST).unwrap_or(piece);
        let length = u32::try_from(piece.len()).unwrap_or(0);
        self.pieces.extend_from_slice(&length.to_le_bytes());
        self.pieces.extend_from_slice(piece);
    }

    fn push_absent(&mut self) {
        self.pieces.extend_from_slice(&ABSENT.to_le_bytes());
    }

    fn push_field(&mut self, value: Option<&[u8]>, wanted: &Wanted) {
        match value {
            None => self.push_absent(),
            Some(_) if wanted.is_secret => self.push(b"[redacted]"),
            Some(value) => self.push(value),
        }
    }
}

/// The next piece of a record; none where it is absent.
pub(super) fn next_piece<'a>(pieces: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = pieces.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    if length == ABSENT {
        *pieces = rest;
        return None;
    }
    let (piece, rest) = rest.split_at_checked(usize::try_from(length).unwrap_or(0))?;
    *pieces = rest;
    Some(piece)
}

/// The address of the client, without its port.
pub(crate) fn remote_of(head: &[u8]) -> &[u8] {
    let peer = value_after(head, b"\n@peer:").unwrap_or_default();
    match memchr(b' ', peer) {
        Some(space) if !peer.starts_with(b"unix:") => peer.get(..space).unwrap_or_default(),
        _ => peer,
    }
}

fn value_after<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(head, name)?;
    Some(to_line_end(
        head.get(at.saturating_add(name.len())..)
            .unwrap_or_default(),
    ))
}

fn to_line_end(text: &[u8]) -> &[u8] {
    text.get(..memchr(b'\n', text).unwrap_or(text.len()))
        .unwrap_or_default()
}

/// The value of a field of an answer, whatever the case of its name.
fn field_of<'a>(fields: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// Stands for the length of a piece that is not there.
const ABSENT: u32 = u32::MAX;
/// Longer values are cut: a line is for reading.
const PIECE_MOST: usize = 8 * 1024;
/// Of a line that was no request line.
const LINE_MOST: usize = 256;
/// A longer id is not taken over.
const ID_MOST: usize = 128;
/// Text that is handed over before the turn is at its end.
const BATCH_MOST: usize = 256 * 1024;
