//! The thread that makes lines of records and writes them.

use std::sync::PoisonError;
use std::time::Duration;

use super::format::{Atom, Format, JSON_AGENT, JSON_REFERER, Kind};
use super::queue::Shared;
use super::record::{Batch, Record, next_piece};
use super::sink::Sink;
use crate::escape::push_escaped;
use crate::http1::date::HttpDate;

/// Writes until the log is closed and nothing is left.
pub(super) fn run(shared: &Shared, format: &Format, mut sink: Sink) {
    let (mut batch, mut lines) = (Batch::default(), Vec::new());
    let mut clock = HttpDate::new(0);
    loop {
        let (is_closed, is_reopening) = take(shared, &mut batch);
        if is_reopening {
            sink.reopen();
        }
        if batch.records.is_empty() {
            shared.set_written();
            if is_closed {
                return;
            }
            continue;
        }
        let mut text = batch.text.as_slice();
        for record in &batch.records {
            let (pieces, rest) = text.split_at_checked(record.length).unwrap_or((text, b""));
            text = rest;
            format.write_line(&mut lines, record, pieces, &mut clock);
        }
        let lost = sink.write(&lines, || shared.lock().is_closed);
        shared.drop_lines(lost);
        batch.records.clear();
        batch.text.clear();
        lines.clear();
        lines.shrink_to(LINES_KEPT);
        batch.text.shrink_to(LINES_KEPT);
        shared.set_written();
        gather(shared);
    }
}

/// Takes what lies there, or waits for something to do.
fn take(shared: &Shared, batch: &mut Batch) -> (bool, bool) {
    let mut state = shared.lock();
    while state.batch.records.is_empty()
        && !state.is_closed
        && !state.is_reopening
        && !state.is_hurried
    {
        state.is_idle = true;
        state = shared
            .wake
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
    state.is_idle = false;
    state.is_hurried = false;
    std::mem::swap(&mut state.batch, batch);
    state.is_writing = true;
    (state.is_closed, std::mem::take(&mut state.is_reopening))
}

/// Lets a few more records come together: waking a thread for each would cost more than the record.
fn gather(shared: &Shared) {
    let state = shared.lock();
    if !state.is_closed && !state.is_hurried && !state.is_reopening {
        let waited = shared.wake.wait_timeout(state, GATHER);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The pieces of a record, by what they are.
#[derive(Default)]
struct Pieces<'a> {
    remote: &'a [u8],
    method: &'a [u8],
    target: &'a [u8],
    id: &'a [u8],
    request: Vec<Option<&'a [u8]>>,
    response: Vec<Option<&'a [u8]>>,
}

impl Format {
    fn write_line(&self, out: &mut Vec<u8>, record: &Record, pieces: &[u8], clock: &mut HttpDate) {
        let mut rest = pieces;
        let pieces = Pieces {
            remote: next_piece(&mut rest).unwrap_or_default(),
            method: next_piece(&mut rest).unwrap_or_default(),
            target: next_piece(&mut rest).unwrap_or_default(),
            id: next_piece(&mut rest).unwrap_or_default(),
            request: self
                .request_fields
                .iter()
                .map(|_| next_piece(&mut rest))
                .collect(),
            response: self
                .response_fields
                .iter()
                .map(|_| next_piece(&mut rest))
                .collect(),
        };
        let date = clock.at(record.unix_milliseconds / 1_000);
        match &self.kind {
            Kind::Json => write_json(out, record, &pieces, date),
            Kind::Atoms(atoms) => {
                for atom in atoms {
                    write_atom(out, atom, record, &pieces, date);
                }
            }
        }
        out.push(b'\n');
    }
}

fn write_atom(
    out: &mut Vec<u8>,
    atom: &Atom,
    record: &Record,
    pieces: &Pieces<'_>,
    date: &[u8; 29],
) {
    match atom {
        Atom::Text(text) => out.extend_from_slice(text),
        Atom::Remote => escape(out, or_dash(pieces.remote)),
        Atom::Time => write_time(out, date),
        Atom::RequestLine if record.minor.is_none() => escape(out, or_dash(pieces.target)),
        Atom::RequestLine => {
            escape(out, pieces.method);
            out.push(b' ');
            escape(out, pieces.target);
            out.push(b' ');
            out.extend_from_slice(protocol(record));
        }
        Atom::Method => escape(out, or_dash(pieces.method)),
        Atom::Path => escape(out, or_dash(path_of(record, pieces).0)),
        Atom::Query => escape(out, path_of(record, pieces).1.unwrap_or_default()),
        Atom::Protocol => out.extend_from_slice(protocol(record)),
        Atom::Status => write_number(out, record.status.into()),
        Atom::Length { is_dash: true } if record.sent == 0 => out.push(b'-'),
        Atom::Length { .. } => write_number(out, record.sent),
        Atom::Seconds => write_number(out, record.microseconds / 1_000_000),
        Atom::Milliseconds => write_number(out, record.microseconds / 1_000),
        Atom::Microseconds => write_number(out, record.microseconds),
        Atom::DecimalSeconds => {
            write_number(out, record.microseconds / 1_000_000);
            out.push(b'.');
            write_digits(out, record.microseconds % 1_000_000, 100_000);
        }
        Atom::RequestField(place) => escape(out, field(&pieces.request, *place)),
        Atom::ResponseField(place) => escape(out, field(&pieces.response, *place)),
        Atom::RequestId => escape(out, pieces.id),
    }
}

fn write_json(out: &mut Vec<u8>, record: &Record, pieces: &Pieces<'_>, date: &[u8; 29]) {
    out.extend_from_slice(b"{\"time\":\"");
    write_iso(out, date, record.unix_milliseconds % 1_000);
    out.push(b'"');
    let (path, query) = path_of(record, pieces);
    let request = |place| pieces.request.get(place).copied().flatten();
    let is_understood = record.minor.is_some();
    let texts: [(&str, Option<&[u8]>); 9] = [
        ("id", Some(pieces.id)),
        ("remote", Some(pieces.remote)),
        ("method", is_understood.then_some(pieces.method)),
        ("path", is_understood.then_some(path)),
        ("query", query),
        ("protocol", is_understood.then(|| protocol(record))),
        ("line", (!is_understood).then_some(pieces.target)),
        ("referer", request(JSON_REFERER)),
        ("agent", request(JSON_AGENT)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":\"");
            escape_json(out, text);
            out.push(b'"');
        }
    }
    let numbers = [
        ("status", record.status.into()),
        ("sent", record.sent),
        ("received", record.received),
        ("duration_us", record.microseconds),
    ];
    for (name, number) in numbers {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        write_number(out, number);
    }
    out.push(b'}');
}

/// `[28/Nov/2026:14:17:17 +0000]`, from `Sat, 28 Nov 2026 14:17:17 GMT`.
fn write_time(out: &mut Vec<u8>, date: &[u8; 29]) {
    let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
    out.push(b'[');
    for (piece, end) in [
        (part(5, 7), b'/'),
        (part(8, 11), b'/'),
        (part(12, 16), b':'),
        (part(17, 25), b' '),
    ] {
        out.extend_from_slice(piece);
        out.push(end);
    }
    out.extend_from_slice(b"+0000]");
}

/// `2026-11-28T14:17:17.123Z`.
fn write_iso(out: &mut Vec<u8>, date: &[u8; 29], milliseconds: u64) {
    let part = |from: usize, to: usize| date.get(from..to).unwrap_or_default();
    let month = MONTHS
        .iter()
        .position(|name| *name == part(8, 11))
        .unwrap_or(0);
    out.extend_from_slice(part(12, 16));
    out.push(b'-');
    write_digits(out, (month as u64).saturating_add(1), 10);
    out.push(b'-');
    out.extend_from_slice(part(5, 7));
    out.push(b'T');
    out.extend_from_slice(part(17, 25));
    out.push(b'.');
    write_digits(out, milliseconds, 100);
    out.push(b'Z');
}

fn path_of<'a>(record: &Record, pieces: &Pieces<'a>) -> (&'a [u8], Option<&'a [u8]>) {
    // A line that was not understood has no parts.
    if record.minor.is_none() {
        return (b"", None);
    }
    let target = pieces.target;
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

fn protocol(record: &Record) -> &'static [u8] {
    match record.minor {
        Some(0) => b"HTTP/1.0",
        Some(_) => b"HTTP/1.1",
        None => b"-",
    }
}

fn field<'a>(fields: &[Option<&'a [u8]>], place: usize) -> &'a [u8] {
    fields.get(place).copied().flatten().unwrap_or(b"-")
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// With as many digits as `first` has.
fn write_digits(out: &mut Vec<u8>, number: u64, first: u64) {
    let mut place = first;
    while place > 0 {
        let digit = number.checked_div(place).unwrap_or(0) % 10;
        out.push(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
        place /= 10;
    }
}

/// For a line that people read.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    push_escaped(out, text, b"\\x");
}

/// Bytes above ASCII are Latin-1, which JSON can name.
fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    push_escaped(out, text, b"\\u00");
}

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// How long records come together.
const GATHER: Duration = Duration::from_millis(5);
/// One burst must not be paid for with memory for ever.
const LINES_KEPT: usize = 1024 * 1024;

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
