//! The same bytes to hyper and to us: whoever hears other requests is in the ledger, with who is right.
//!
//! Requests are put together from the atoms of `__test__/grid/atoms.json`, alone and in pairs, and the grid
//! comes on top. The specs do the same with the parser of Node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gneiss_core::{Answers, BodyOutcome, Event, Fate, Reply, ServerConfig, TakenBody};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use serde::Deserialize;

use crate::grid::grid;
use crate::workbench::Workbench;

const ATOMS: &str = include_str!("../../../../__test__/grid/atoms.json");
const LEDGER: &str = include_str!("../../../../__test__/grid/ledger.json");
/// Sent behind each request: whether it is heard shows where the one before it ended.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n";

#[derive(Deserialize)]
struct Atoms {
    atoms: Vec<Atom>,
}

#[derive(Clone, Deserialize)]
struct Atom {
    part: String,
    name: String,
    text: String,
    #[serde(default)]
    fields: String,
}

#[derive(Deserialize)]
struct Ledger {
    hyper: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Names of atoms, or rows of the grid.
    atoms: Vec<String>,
    kind: String,
    right: String,
    why: String,
}

/// A request as somebody understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    method: String,
    target: String,
    body: Vec<u8>,
}

#[test]
fn hyper_hears_the_same_requests_or_the_ledger_says_why_not() {
    let atoms = serde_json::from_str::<Atoms>(ATOMS).unwrap().atoms;
    let ledger = serde_json::from_str::<Ledger>(LEDGER).unwrap().hyper;
    assert!(ledger.iter().all(
        |entry| ["gneiss", "hyper", "both"].contains(&entry.right.as_str()) && entry.why.len() > 20
    ));
    let mut compared = 0;
    let mut unclassified = BTreeMap::<String, String>::new();
    let mut used = vec![false; ledger.len()];
    let mut judge = |names: &[&str], bytes: &[u8]| {
        compared += 1;
        let ours = ours(bytes);
        let theirs = theirs(bytes);
        let Some(kind) = kind(&ours, &theirs) else {
            return;
        };
        let entry = ledger.iter().position(|entry| {
            entry.kind == kind
                && entry
                    .atoms
                    .iter()
                    .any(|atom| names.contains(&atom.as_str()))
        });
        if let Some(at) = entry {
            used[at] = true;
            return;
        }
        let text = format!(
            "{ours:?} against {theirs:?} for {:?}",
            String::from_utf8_lossy(bytes)
        );
        unclassified
            .entry(format!("{names:?} {kind}"))
            .or_insert(text);
    };
    for (index, atom) in atoms.iter().enumerate() {
        judge(&[&atom.name], &compose(&[atom]));
        for other in &atoms[index + 1..] {
            if other.part != atom.part || atom.part == "field" {
                judge(&[&atom.name, &other.name], &compose(&[atom, other]));
            }
        }
    }
    for row in grid().rows {
        for variant in row.variants {
            let mut bytes = variant.bytes();
            bytes.extend_from_slice(NEXT.as_bytes());
            judge(&[&format!("row {}", row.row)], &bytes);
        }
    }
    assert!(compared > 8_000, "{compared}");
    let singles: Vec<_> = unclassified
        .iter()
        .filter(|(names, _)| !names.contains(", "))
        .collect();
    let shown: Vec<_> = if singles.is_empty() {
        unclassified.iter().take(40).collect()
    } else {
        singles
    };
    assert!(
        unclassified.is_empty(),
        "{} unclassified: {shown:#?}",
        unclassified.len()
    );
    let idle: Vec<_> = ledger
        .iter()
        .zip(&used)
        .filter(|(_, used)| !**used)
        .map(|(entry, _)| &entry.atoms)
        .collect();
    assert!(
        idle.is_empty(),
        "entries of the ledger that nothing shows any more: {idle:?}"
    );
}

/// How we differ: what we refuse and they hear is `stricter`, the other way round `laxer`.
fn kind(ours: &[Message], theirs: &[Message]) -> Option<&'static str> {
    if ours == theirs {
        None
    } else if theirs.starts_with(ours) {
        Some("stricter")
    } else if ours.starts_with(theirs) {
        Some("laxer")
    } else {
        Some("different")
    }
}

fn compose(atoms: &[&Atom]) -> Vec<u8> {
    let part = |name: &str, default: &str| {
        let found: String = atoms
            .iter()
            .filter(|atom| atom.part == name)
            .map(|atom| atom.text.as_str())
            .collect();
        if atoms.iter().any(|atom| atom.part == name) {
            found
        } else {
            default.to_owned()
        }
    };
    let fields: String = atoms.iter().map(|atom| atom.fields.as_str()).collect();
    let text = format!(
        "{}{} {} {}{}{}{}{fields}\r\n{}{NEXT}",
        part("before", ""),
        part("method", "GET"),
        part("target", "/"),
        part("version", "HTTP/1.1"),
        part("end", "\r\n"),
        part("host", "Host: a\r\n"),
        part("field", ""),
        part("body", ""),
    );
    text.chars()
        .map(|char| u8::try_from(char).unwrap())
        .collect()
}

fn ours(bytes: &[u8]) -> Vec<Message> {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    bench.receive(key, bytes);
    let mut messages = Vec::new();
    loop {
        let Some(event) = bench.table.lane_mut().pop() else {
            if bench
                .table
                .wish(key)
                .is_some_and(|wish| wish.fate == Fate::Stay)
                && bench.table.advance(key)
            {
                continue;
            }
            break;
        };
        let Event::Request {
            id,
            meta,
            offset,
            target_len,
            head_len,
            ..
        } = event
        else {
            continue;
        };
        let latin = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
        };
        let target = latin(bench.table.lane().text(offset, target_len));
        let head = latin(bench.table.lane().text(offset + target_len, head_len));
        let code = usize::try_from(meta.0 & 0x3f).unwrap();
        let named = head
            .lines()
            .find_map(|line| line.strip_prefix("@method:"))
            .map(str::to_owned);
        let method = named.unwrap_or_else(|| (*gneiss_core::METHODS.get(code).unwrap()).to_owned());
        let mut body = Vec::new();
        let is_whole = loop {
            match bench.table.take_body(id) {
                TakenBody::Bytes(bytes) => body.extend_from_slice(&bytes),
                TakenBody::None(BodyOutcome::Pending) if bench.table.advance(key) => {}
                TakenBody::None(outcome) => break outcome == BodyOutcome::End,
            }
        };
        if is_whole {
            messages.push(Message {
                method,
                target,
                body,
            });
            let reply = Reply {
                status: 200,
                fields: b"",
                count: 0,
            };
            bench.table.respond(id, &reply, b"", false).unwrap();
            bench.sent(key);
        }
    }
    bench.close_and_check(key);
    messages
}

/// hyper over bytes that are all here, polled by hand.
fn theirs(bytes: &[u8]) -> Vec<Message> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let heard = Rc::clone(&heard);
        async move {
            let method = request.method().as_str().to_owned();
            let target = request
                .uri()
                .path_and_query()
                .map_or("", |target| target.as_str())
                .to_owned();
            if let Ok(body) = request.into_body().collect().await {
                let body = body.to_bytes().to_vec();
                heard.borrow_mut().push(Message {
                    method,
                    target,
                    body,
                });
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_headers(100);
    let mut connection = pin!(builder.serve_connection(
        Pipe {
            input: bytes.to_vec(),
            at: 0
        },
        service
    ));
    let mut context = Context::from_waker(Waker::noop());
    // All bytes are here, so that each poll goes as far as it can; a body takes a few.
    for _ in 0..100 {
        if connection.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
    heard.take()
}

/// Gives its bytes, then keeps silent: at an end hyper would forget what it has read ahead.
struct Pipe {
    input: Vec<u8>,
    at: usize,
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let count = buffer.remaining().min(self.input.len() - self.at);
        if count == 0 {
            return Poll::Pending;
        }
        let at = self.at;
        buffer.put_slice(self.input.get(at..at + count).unwrap());
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
