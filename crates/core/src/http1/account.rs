//! What a connection notes of its requests for the access log. Nothing where there is none.

use super::answer::Answer;
use super::connection::{Connection, Turn};
use super::encode::AnswerFraming;
use super::head::{Head, METHODS, Refusal, Version};
use super::request::Open;
use super::routes::target_at;
use super::status::reason_phrase;
use crate::access::{Draft, RequestFacts, remote_of};
use crate::exchange::{AbortReason, Event, Exchanges};
use crate::refusals::{Complained, Complaint};

impl Connection {
    /// Begins a note of the request whose text begins at `offset` of the arena.
    #[inline]
    pub(super) fn begin_note<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        head: &Head,
        offset: usize,
    ) -> Option<(Box<Draft>, Option<String>)> {
        let (recorder, arena) = turn.exchanges.recorder(self.server)?;
        let end = offset
            .saturating_add(head.target_len)
            .saturating_add(head.head_len);
        let facts = RequestFacts {
            method: head.method,
            minor: u8::from(head.version == Version::Http11),
            target_len: head.target_len,
            received: head.consumed,
        };
        let text = arena.get(offset..end).unwrap_or_default();
        let (draft, made) = recorder.begin(text, facts);
        Some((Box::new(draft), made))
    }

    /// The same for one that the application will hear of: where its id was made for the log, it is
    /// appended to the text. Gives the length of the head.
    #[inline]
    pub(super) fn note_request<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        head: &Head,
        offset: usize,
    ) -> (Option<Box<Draft>>, usize) {
        let Some((draft, made)) = self.begin_note(turn, head, offset) else {
            return (None, head.head_len);
        };
        let Some(id) = made else {
            return (Some(draft), head.head_len);
        };
        let arena = turn.exchanges.arena();
        let start = arena.len();
        // The line feed that ends the text begins the field.
        arena.extend_from_slice(b"@id:");
        arena.extend_from_slice(id.as_bytes());
        arena.push(b'\n');
        let added = arena.len().saturating_sub(start);
        (Some(draft), head.head_len.saturating_add(added))
    }

    /// A request that was understood is answered by the server itself.
    pub(super) fn note_refusal<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        head: &Head,
        offset: usize,
        status: u16,
    ) {
        if let Some((mut draft, _)) = self.begin_note(turn, head, offset) {
            draft.answered(status, body_of(status, head.is_head));
            end_note(self, turn, *draft);
        }
    }

    /// A head was not understood: `data` begins with its first line.
    pub(super) fn note_bad_head<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        data: &[u8],
        status: u16,
    ) {
        if let Some((recorder, _)) = turn.exchanges.recorder(self.server) {
            recorder.refused(
                &self.pseudo,
                first_line(data),
                status,
                body_of(status, false),
            );
        }
    }

    /// Notes the head of an answer.
    #[inline]
    pub(super) fn note_answer<E: Exchanges>(
        turn: &mut Turn<'_, E>,
        server: crate::exchange::ServerKey,
        open: &mut Open,
        (status, fields): (u16, &[u8]),
    ) {
        if let Some(draft) = &mut open.draft
            && let Some((recorder, _)) = turn.exchanges.recorder(server)
        {
            draft.answered(status, 0);
            recorder.answer(draft, fields);
        }
    }

    /// An exchange is over.
    #[inline]
    pub(super) fn end_note<E: Exchanges>(&self, turn: &mut Turn<'_, E>, open: &mut Open) {
        if let Some(mut draft) = open.draft.take() {
            draft.received(open.received);
            end_note(self, turn, *draft);
        }
    }
}

/// Why a request is refused, by a name that stays the same, and in words.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) status: u16,
    pub(super) code: &'a str,
    pub(super) reason: &'a str,
}

impl<'a> Ground<'a> {
    /// A fault of the peer, whose name is `code`.
    pub(super) fn of(refusal: Refusal, code: &'a str) -> Self {
        Self {
            status: refusal.status(),
            code,
            reason: refusal.reason(),
        }
    }
}

impl Connection {
    /// Has a line about a refused request written to the log, unless there were too many of late.
    #[cold]
    pub(super) fn complain<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        ground: Ground<'_>,
        line: &[u8],
    ) {
        self.complain_from(turn, ground, remote_of(&self.pseudo), line);
    }

    /// `peer` is whom the line names.
    fn complain_from<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        ground: Ground<'_>,
        peer: &[u8],
        line: &[u8],
    ) {
        let complaint = Complaint {
            what: Complained::Refused(ground.status),
            code: ground.code,
            reason: ground.reason,
            peer,
            line,
        };
        self.tell(turn, &complaint);
    }

    /// Has a line written about an answer that was cut, where its client cannot tell: a reset of a Unix
    /// socket reads as an end, and an answer without framing ends with its connection.
    pub(super) fn note_silent_cut<E: Exchanges>(&self, turn: &mut Turn<'_, E>, open: &Open) {
        let is_silent = open.answer == Answer::Streaming(AnswerFraming::UntilClose)
            && self.pseudo.starts_with(b"\n@peer:unix:");
        if is_silent {
            let complaint = Complaint {
                what: Complained::Cut,
                code: "SilentCut",
                reason: "HTTP/1.0 over a Unix socket, and no content-length: its client takes it for complete",
                peer: remote_of(&self.pseudo),
                line: b"",
            };
            self.tell(turn, &complaint);
        }
    }

    #[cold]
    fn tell<E: Exchanges>(&self, turn: &mut Turn<'_, E>, complaint: &Complaint<'_>) {
        if self.counters.refusals.note(turn.now, complaint) {
            let server = self.server;
            turn.exchanges.push(Event::Refused { server });
        }
    }

    /// The same of a request whose text begins at `offset` of the arena.
    #[cold]
    pub(super) fn complain_of<E: Exchanges>(
        &self,
        turn: &mut Turn<'_, E>,
        ground: Ground<'_>,
        offset: usize,
        head: &Head,
    ) {
        let method = METHODS.get(usize::from(head.method)).copied().unwrap_or("");
        let target = target_at(turn.exchanges, offset, head.target_len);
        let line = [method.as_bytes(), b" ", target].concat();
        // Behind a proxy that is trusted, the head names the client.
        let end = offset.saturating_add(head.target_len);
        let text = turn.exchanges.arena().get(end..).unwrap_or_default();
        let peer = remote_of(text).to_vec();
        self.complain_from(turn, ground, &peer, line.trim_ascii_start());
    }
}

/// The first line of what was received.
pub(super) fn first_line(data: &[u8]) -> &[u8] {
    let line = data.trim_ascii_start();
    let end = memchr::memchr2(b'\r', b'\n', line).unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

impl Open {
    /// It ends without an answer of the application.
    pub(super) fn note_abort(&mut self, reason: AbortReason) {
        let is_head = self.is_head;
        let Some(draft) = &mut self.draft else { return };
        if draft.has_status() {
            return;
        }
        let status = match reason {
            AbortReason::RequestTimeout => 504,
            AbortReason::BodyTimeout => 408,
            AbortReason::BodyTooLarge => 413,
            AbortReason::BodyMalformed => 400,
            AbortReason::Internal => 500,
            AbortReason::Overloaded => 503,
            // Nothing was answered, because nobody was there: nginx's number for it.
            AbortReason::PeerGone
            | AbortReason::ResponseIdle
            | AbortReason::WriteStalled
            | AbortReason::ServerClosed => return draft.answered(NO_ANSWER, 0),
        };
        draft.answered(status, body_of(status, is_head));
    }

    /// So many bytes of a body more.
    #[inline]
    pub(super) fn note_sent(&mut self, bytes: usize) {
        if let Some(draft) = &mut self.draft {
            draft.sent(bytes);
        }
    }
}

fn end_note<E: Exchanges>(connection: &Connection, turn: &mut Turn<'_, E>, draft: Draft) {
    if let Some((recorder, _)) = turn.exchanges.recorder(connection.server) {
        recorder.end(draft);
    }
}

/// Length of the body of the server's own answers.
fn body_of(status: u16, is_head: bool) -> u64 {
    if is_head {
        0
    } else {
        reason_phrase(status).len() as u64
    }
}

const NO_ANSWER: u16 = 499;
