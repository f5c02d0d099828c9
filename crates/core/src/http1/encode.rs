//! Everything that is put on the wire: answer heads, chunks, 100 (Continue), and the server's own
//! error answers.
//!
//! The server owns framing. An application names the body it has, and its fields are judged while
//! they are copied; a fault takes back what was written, so not one byte of a bad head leaves.

use super::facts::parse_length;
use super::field::trim;
use super::field_lines::{blame, push_fields, room_for};
use super::head::Version;
pub use super::head_fault::HeadFault;
use super::status::reason_phrase;

/// The methods of `METHODS`, as a 405 has to list them.
const ALLOW: &[u8] = b"allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";

/// Fields that belong into a head: framing, routing, request modifiers, authentication, and what says
/// how to read the body.
const HEAD_FIELDS: [&[u8]; 16] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"date",
    b"host",
    b"keep-alive",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"www-authenticate",
];

/// Room for the status line and the fields that the server adds, so that a head is one allocation at most.
pub(super) const OWN_BYTES: usize = 256;

/// An answer head as the application and the connection want it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerHead<'a> {
    /// From 200 to 999: an interim answer is never the application's.
    pub(crate) status: u16,
    /// Fields of the application in Latin-1, `name:value\n` repeated.
    pub(crate) headers: &'a [u8],
    /// Number of fields in `headers`; tells a line feed that ends a field from one inside of it.
    pub(crate) count: usize,
    /// The body that the application has.
    pub(crate) body: AnswerBody,
    /// The request was HEAD.
    pub(crate) is_head: bool,
    /// Version of the request.
    pub(crate) version: Version,
    /// The connection could serve another request.
    pub(crate) keep_alive: bool,
    /// Value of Date, for an application that does not set its own.
    pub(crate) date: &'a [u8; 29],
    /// Value of Server, for an application that does not set its own; empty for none.
    pub(crate) server: &'a [u8],
}

/// What the application knows of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerBody {
    /// It comes in pieces.
    Stream,
    /// All of it is here: so many bytes.
    Whole(u64),
}

/// How the end of the answer is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFraming {
    /// Pieces go through `encode_chunk`, the end through `encode_last_chunk`.
    Chunked,
    /// Exactly so many bytes must follow.
    Length(u64),
    /// No byte may follow, whatever the application has: HEAD, 204 and 304.
    NoBody,
    /// Bytes as they are; the end of the connection ends the answer.
    UntilClose,
}

/// What the head that was written commits the connection to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerPlan {
    /// How the body has to be written.
    pub(crate) framing: AnswerFraming,
    /// Another request may follow.
    pub(crate) keep_alive: bool,
}

/// Appends an answer head to `out`, or leaves `out` as it is and says what is wrong.
///
/// The fields of the application come first, in its order and spelling. The server adds date,
/// content-length or transfer-encoding, connection and server where they are needed and absent.
///
/// content-length of the application selects the framing of a stream, must be the length of a
/// whole body, describes the answer to GET for HEAD and 304, and is dropped for 204, which must
/// not carry it (RFC 9110 section 8.6).
pub(crate) fn encode_head(
    out: &mut Vec<u8>,
    head: &AnswerHead<'_>,
) -> Result<AnswerPlan, HeadFault> {
    if !(200..=999).contains(&head.status) {
        return Err(HeadFault::Status);
    }
    let start = out.len();
    out.reserve(room_for(head.headers, head.count).saturating_add(OWN_BYTES));
    status_line(out, head.status);
    match copy_fields(out, head) {
        Ok(seen) => Ok(own_fields(out, head, &seen)),
        Err(fault) => {
            out.truncate(start);
            Err(blame(head.headers, head.count, fault))
        }
    }
}

/// Appends a piece of a chunked body. An empty piece writes nothing: it would end the body.
pub(crate) fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let size = data.len();
    // The position of the highest hexadecimal digit that is not 0, counted in bits.
    let mut shift = size.ilog2() & !3;
    out.reserve(size.saturating_add(20));
    loop {
        let digit = u8::try_from((size >> shift) & 0xf).unwrap_or(0);
        out.push(if digit < 10 {
            digit | b'0'
        } else {
            digit.wrapping_add(b'a' - 10)
        });
        match shift.checked_sub(4) {
            Some(next) => shift = next,
            None => break,
        }
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub(crate) fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends the end of a chunked body with trailer fields, or leaves `out` as it is and says what is wrong.
///
/// What a recipient must know before the body, or what frames it, is no trailer (RFC 9110 section 6.5.1).
pub(crate) fn encode_trailers(
    out: &mut Vec<u8>,
    fields: &[u8],
    count: usize,
) -> Result<(), HeadFault> {
    let start = out.len();
    out.extend_from_slice(b"0\r\n");
    let pushed = push_fields(out, fields, count, |name, _, field| {
        notice_trailer(name, field).map(|()| true)
    });
    if let Err(fault) = pushed {
        out.truncate(start);
        return Err(blame(fields, count, fault));
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Refuses a trailer that belongs into the head.
pub(super) fn notice_trailer(name: &[u8], field: usize) -> Result<(), HeadFault> {
    let is_head_field = HEAD_FIELDS
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden));
    if is_head_field {
        Err(HeadFault::Forbidden { field })
    } else {
        Ok(())
    }
}

/// Appends the interim answer that lets a waiting peer send its body.
pub(crate) fn encode_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends an error answer of the server itself, after which the connection closes. Its body is the
/// reason phrase, which is left out for HEAD.
pub(crate) fn encode_refusal(out: &mut Vec<u8>, status: u16, is_head: bool, date: &[u8; 29]) {
    // The queue is full now; nobody knows for how long.
    encode_own(out, (status, 1), is_head, b"connection: close\r\n", date);
}

/// Appends an answer of the server itself. With 503 it names the seconds after which to ask again; `connection`
/// is the field that says what becomes of the connection, if any.
pub(super) fn encode_own(
    out: &mut Vec<u8>,
    (status, retry_after): (u16, u64),
    is_head: bool,
    connection: &[u8],
    date: &[u8; 29],
) {
    let phrase = reason_phrase(status).as_bytes();
    status_line(out, status);
    date_line(out, date);
    match status {
        405 => out.extend_from_slice(ALLOW),
        503 => {
            out.extend_from_slice(b"retry-after: ");
            out.extend_from_slice(itoa::Buffer::new().format(retry_after).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        _ => {}
    }
    out.extend_from_slice(b"content-type: text/plain\r\n");
    length_line(out, u64::try_from(phrase.len()).unwrap_or(0));
    out.extend_from_slice(connection);
    out.extend_from_slice(b"\r\n");
    if !is_head {
        out.extend_from_slice(phrase);
    }
}

/// What the application has set of the fields that the server would add.
#[derive(Default)]
pub(super) struct Seen {
    close: bool,
    content_length: Option<u64>,
    date: bool,
    server: bool,
}

/// Copies the fields of the application, judging each before the next.
fn copy_fields(out: &mut Vec<u8>, head: &AnswerHead<'_>) -> Result<Seen, HeadFault> {
    let mut seen = Seen::default();
    push_fields(out, head.headers, head.count, |name, value, field| {
        seen.notice(head, name, value, field)
    })?;
    Ok(seen)
}

impl Seen {
    /// Notes a field that means something to the server. Returns whether it goes out.
    #[inline]
    pub(super) fn notice(
        &mut self,
        head: &AnswerHead<'_>,
        name: &[u8],
        value: &[u8],
        field: usize,
    ) -> Result<bool, HeadFault> {
        // Lengths differ more often than letters, and comparing them costs nothing.
        match name.len() {
            4 => self.date |= name.eq_ignore_ascii_case(b"date"),
            6 => self.server |= name.eq_ignore_ascii_case(b"server"),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                return Err(HeadFault::Forbidden { field });
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                if !trim(value).eq_ignore_ascii_case(b"close") {
                    return Err(HeadFault::Forbidden { field });
                }
                // A second `close` would say nothing more.
                let is_first = !self.close;
                self.close = true;
                return Ok(is_first);
            }
            10 if name.eq_ignore_ascii_case(b"keep-alive") => {
                return Err(HeadFault::Forbidden { field });
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(trim(value)).ok_or(HeadFault::ContentLength { field })?;
                let is_wrong = matches!(head.body, AnswerBody::Whole(whole) if whole != length);
                if self.content_length.is_some() || (is_wrong && !is_bodyless(head)) {
                    return Err(HeadFault::ContentLength { field });
                }
                self.content_length = Some(length);
                return Ok(head.status != 204);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                return Err(HeadFault::Forbidden { field });
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Seen {
    /// How the end of the answer is marked.
    pub(super) fn framing(&self, head: &AnswerHead<'_>) -> AnswerFraming {
        match (head.body, self.content_length, head.version) {
            _ if is_bodyless(head) => AnswerFraming::NoBody,
            (AnswerBody::Whole(length), _, _) | (AnswerBody::Stream, Some(length), _) => {
                AnswerFraming::Length(length)
            }
            (AnswerBody::Stream, None, Version::Http11) => AnswerFraming::Chunked,
            (AnswerBody::Stream, None, Version::Http10) => AnswerFraming::UntilClose,
        }
    }
}

/// Adds what the server has to say and ends the head.
fn own_fields(out: &mut Vec<u8>, head: &AnswerHead<'_>, seen: &Seen) -> AnswerPlan {
    let framing = seen.framing(head);
    let keep_alive = head.keep_alive && !seen.close && framing != AnswerFraming::UntilClose;
    if !seen.date {
        date_line(out, head.date);
    }
    match (framing, head.body) {
        (AnswerFraming::Chunked, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (AnswerFraming::Length(length), _) if seen.content_length.is_none() => {
            length_line(out, length);
        }
        // The answer to GET would have this length. No body at all says nothing about that one.
        (AnswerFraming::NoBody, AnswerBody::Whole(length))
            if length > 0 && seen.content_length.is_none() && !matches!(head.status, 204 | 304) =>
        {
            length_line(out, length);
        }
        _ => {}
    }
    if !keep_alive && !seen.close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if keep_alive && head.version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    if !head.server.is_empty() && !seen.server {
        out.extend_from_slice(b"server: ");
        out.extend_from_slice(head.server);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    AnswerPlan {
        framing,
        keep_alive,
    }
}

/// Whether the answer has no body, whatever the application gives.
#[inline]
const fn is_bodyless(head: &AnswerHead<'_>) -> bool {
    head.is_head || matches!(head.status, 204 | 304)
}

#[inline]
pub(super) fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    // The space stays even when no phrase follows (RFC 9112 section 4).
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(super) fn date_line(out: &mut Vec<u8>, date: &[u8; 29]) {
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(super) fn length_line(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "encode_framing_tests.rs"]
mod framing_tests;
