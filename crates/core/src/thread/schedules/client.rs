//! A client that knows what it has asked for and checks what it gets.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What a client sends.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Get,
    /// With a content-length; the body follows in pieces.
    Post {
        length: usize,
    },
    /// Chunked, all at once.
    Chunked,
    /// Half a head: the next request completes it.
    Partial,
}

impl Request {
    pub(super) fn body_length(&self) -> usize {
        match self {
            Self::Get | Self::Partial => 0,
            Self::Post { length } => *length,
            Self::Chunked => 5,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Leaving {
    Fin,
    Close,
}

/// One connection, seen from outside.
pub(super) struct Client {
    socket: Option<UnixStream>,
    /// Bytes that the kernel had no room for yet.
    unsent: VecDeque<u8>,
    /// Body bytes of the last request that are not even queued.
    pub(super) owed: usize,
    is_partial: bool,
    /// Tokens of the requests in order.
    asked: Vec<usize>,
    got: Vec<u8>,
    pub(super) has_finished: bool,
}

impl Client {
    pub(super) fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket: Some(socket),
            unsent: VecDeque::new(),
            owed: 0,
            is_partial: false,
            asked: Vec::new(),
            got: Vec::new(),
            has_finished: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Sends a request that is known by `token`; false if it cannot now. The bytes of its body are that token's.
    pub(super) fn send(&mut self, token: usize, request: &Request) -> bool {
        if self.owed > 0 || self.has_finished || self.socket.is_none() {
            return false;
        }
        let begin = if std::mem::take(&mut self.is_partial) {
            ""
        } else {
            "POST /"
        };
        let text = match request {
            // Completed by the next one; the token is that one's.
            Request::Partial if begin.is_empty() => {
                self.is_partial = true;
                return false;
            }
            Request::Partial => {
                self.is_partial = true;
                self.queue(b"POST /");
                return false;
            }
            Request::Get => format!("{begin}{token} HTTP/1.1\r\nHost: x\r\n\r\n"),
            Request::Post { length } => {
                self.owed = *length;
                format!("{begin}{token} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
            }
            Request::Chunked => {
                let head = format!(
                    "{begin}{token} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                );
                format!("{head}5\r\naaaaa\r\n0\r\n\r\n")
            }
        };
        self.asked.push(token);
        self.queue(text.as_bytes());
        true
    }

    /// Sends more of a body.
    pub(super) fn send_body(&mut self, most: usize) {
        if self.has_finished || self.socket.is_none() {
            return;
        }
        let count = most.min(self.owed);
        self.owed -= count;
        self.queue(&vec![b'a'; count]);
    }

    /// Reads at most that much; returns how much it was.
    pub(super) fn read(&mut self, most: usize) -> usize {
        self.push();
        let Some(socket) = &mut self.socket else {
            return 0;
        };
        let mut room = vec![0; most.min(64 * 1024)];
        match socket.read(&mut room) {
            Ok(0) => self.socket = None,
            Ok(count) => {
                self.got.extend_from_slice(&room[..count]);
                return count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.socket = None,
        }
        0
    }

    pub(super) fn leave(&mut self, leaving: Leaving) {
        match leaving {
            Leaving::Fin => {
                if let Some(socket) = &self.socket
                    && self.unsent.is_empty()
                {
                    let _ = socket.shutdown(Shutdown::Write);
                    self.has_finished = true;
                }
            }
            Leaving::Close => self.socket = None,
        }
    }

    fn queue(&mut self, bytes: &[u8]) {
        self.unsent.extend(bytes);
        self.push();
    }

    fn push(&mut self) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        while !self.unsent.is_empty() {
            match socket.write(self.unsent.make_contiguous()) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The other side is gone: what it has sent before is still there to be read.
                Err(_) => self.unsent.clear(),
            }
        }
    }

    /// What came is a sequence of whole answers to what was asked, in order; only the last may be cut.
    /// Gives the statuses of those that are no success, by the tokens of their requests.
    pub(super) fn check(&self) -> Vec<(usize, String)> {
        let mut failed = Vec::new();
        let mut rest: &[u8] = &self.got;
        let mut asked = self.asked.iter();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
                rest = after;
                continue;
            }
            let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
                return failed;
            };
            let head = String::from_utf8(rest[..end].to_vec())
                .unwrap()
                .to_lowercase();
            rest = &rest[end + 4..];
            let token = asked.next().expect("an answer that nobody asked for");
            let status = &head[9..12];
            if status != "200" {
                // A fault of the application, or a peer that left a request unfinished.
                assert!(
                    ["400", "408", "500", "503", "504"].contains(&status),
                    "{head}"
                );
                failed.push((*token, status.to_owned()));
            }
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let (body, after, is_whole) = match length {
                Some(length) => take(rest, length.parse().unwrap()),
                None if head.contains("transfer-encoding: chunked") => take_chunked(rest),
                None => (rest.to_vec(), &rest[rest.len()..], true),
            };
            if status == "200" {
                let expected = format!("{token}.");
                let is_own = body
                    .chunks(expected.len())
                    .all(|part| expected.as_bytes().starts_with(part));
                assert!(is_own, "the answer to {token} has {}", body.escape_ascii());
            }
            if !is_whole {
                assert!(self.socket.is_none(), "cut although the connection lives");
                return failed;
            }
            rest = after;
        }
        // One that nobody has answered may wait to be accepted until the system has been left alone for a while.
        let is_served = self.socket.is_some() && !self.got.is_empty();
        assert!(
            !is_served || asked.next().is_none(),
            "a request that nobody answers"
        );
        failed
    }
}

fn take(bytes: &[u8], length: usize) -> (Vec<u8>, &[u8], bool) {
    let (body, after) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
    (body.to_vec(), after, body.len() == length)
}

fn take_chunked(mut bytes: &[u8]) -> (Vec<u8>, &[u8], bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return (body, &[], false);
        };
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let (part, after, is_whole) = take(&bytes[end + 2..], size);
        body.extend_from_slice(&part);
        let Some(after) = after.strip_prefix(b"\r\n").filter(|_| is_whole) else {
            return (body, &[], false);
        };
        bytes = after;
        if size == 0 {
            return (body, bytes, true);
        }
    }
}
