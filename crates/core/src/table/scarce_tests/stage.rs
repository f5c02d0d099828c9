//! A table with its clients and its application, driven as a driver does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answers::Answers;
use crate::config::ServerConfig;
use crate::counters::{Counter, Counters, Held};
use crate::exchange::{BodyOutcome, ChunkOutcome, Delivery, Id, Notice, ServerKey};
use crate::http1::{Fate, Reply, TakenBody};
use crate::lane::Doorbell;
use crate::table::Table;

/// Nobody waits to hear of events.
pub(super) struct Silent;

impl Doorbell for Silent {
    fn ring(&self) {}
}

/// What the application does with a request, by its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    /// Takes the body, then answers with its length.
    Uploading(usize),
    /// Sends so many pieces more, then trailers.
    Streaming(usize),
    /// Waits to hear that its answer has left.
    Leaving,
    /// Never answers.
    Silent,
    Over,
}

/// A table, its clients and its application, driven as a driver does it.
pub(super) struct Stage {
    table: Table,
    server: ServerKey,
    pub(super) counters: Arc<Counters>,
    exchanges: BTreeMap<u64, (Id, Exchange)>,
    /// Requests of which the application has heard.
    pub(super) delivered: u64,
    /// What each client has got; the connections that are open, by their keys.
    pub(super) clients: Vec<Vec<u8>>,
    open: BTreeMap<u32, usize>,
    now: u64,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut table = Table::new(0, Box::new(Silent), 0);
        let counters = Arc::new(Counters::default());
        let config = ServerConfig {
            body_read_ahead: 8 * 1024,
            stream_buffer: 16 * 1024,
            ..ServerConfig::default()
        };
        let server = table.add_server(Arc::new(config), Arc::clone(&counters));
        Self {
            table,
            server,
            counters,
            exchanges: BTreeMap::new(),
            delivered: 0,
            clients: Vec::new(),
            open: BTreeMap::new(),
            now: 0,
        }
    }

    pub(super) fn connect(&mut self) -> usize {
        let client = self.clients.len();
        self.clients.push(Vec::new());
        let pseudo = b"\n@peer:127.0.0.1 1\n@local:127.0.0.1 2";
        if let Some(key) = self.table.accept(self.server, Box::from(&pseudo[..])) {
            self.open.insert(key, client);
        }
        self.settle();
        client
    }

    /// Sends in pieces of `most` bytes, as far as the server reads.
    pub(super) fn send(&mut self, client: usize, bytes: &[u8], most: usize) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(key) = self.key_of(client) else {
                return;
            };
            let count = self.table.wish(key).map_or(0, |wish| wish.read);
            let (piece, after) = rest.split_at(count.min(most).min(rest.len()));
            if piece.is_empty() {
                return;
            }
            self.table.on_bytes(key, piece);
            rest = after;
            self.settle();
        }
    }

    /// A client closes its side, and reads on.
    pub(super) fn finish(&mut self, client: usize) {
        if let Some(key) = self.key_of(client) {
            self.table.on_end(key);
            self.settle();
        }
    }

    fn key_of(&self, client: usize) -> Option<u32> {
        let mut open = self.open.iter();
        open.find_map(|(key, of)| (*of == client).then_some(*key))
    }

    /// Everything that there is to do, until there is nothing.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let mut keys = Vec::new();
            self.table.take_dirty(&mut keys);
            for &key in &keys {
                self.settle_one(key);
            }
            let has_heard = self.deliver();
            if keys.is_empty() && !has_heard && !self.go_on() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn settle_one(&mut self, key: u32) {
        self.table.advance(key);
        let output = self.table.output(key).to_vec();
        if let Some(client) = self.open.get(&key) {
            self.clients[*client].extend_from_slice(&output);
        }
        if !output.is_empty() {
            self.table.wrote(key, output.len());
        }
        self.table.advance(key);
        match self.table.wish(key).map(|wish| wish.fate) {
            // It is written when the socket has room.
            Some(Fate::Stay) if !self.table.output(key).is_empty() => self.table.touch(key),
            Some(Fate::Stay) => self.table.arm(key),
            Some(Fate::Shutdown) => {
                self.table.linger(key);
                self.close(key);
            }
            Some(Fate::Close | Fate::Reset) => self.close(key),
            None => {}
        }
    }

    fn close(&mut self, key: u32) {
        self.table.remove(key);
        self.open.remove(&key);
    }

    fn deliver(&mut self) -> bool {
        let mut has_heard = false;
        while let Some(delivery) = self.table.deliver() {
            has_heard = true;
            match delivery {
                Delivery::Request { id, target, .. } => {
                    let target = String::from_utf8(target.to_vec()).unwrap();
                    self.exchanges
                        .insert(self.delivered, (id, Exchange::Silent));
                    self.delivered += 1;
                    let begun = self.begin(id, &target);
                    self.set(id, begun);
                }
                Delivery::Notice { id, kind, .. } => match kind {
                    Notice::Abort => self.end(id),
                    Notice::Done => {
                        assert_eq!(self.of(id), Exchange::Leaving);
                        self.end(id);
                    }
                    Notice::Chunk | Notice::Drain => assert_ne!(self.of(id), Exchange::Over),
                },
                Delivery::Closed { .. } | Delivery::Refused { .. } => {}
            }
        }
        self.table.lane_mut().recycle();
        has_heard
    }

    fn begin(&mut self, id: Id, target: &str) -> Exchange {
        match target {
            "/upload" => Exchange::Uploading(0),
            "/stream" => match Answers::start(&mut self.table, id, &HEAD) {
                Ok(()) => Exchange::Streaming(6),
                Err(_) => Exchange::Silent,
            },
            "/silent" => Exchange::Silent,
            "/large" => self.respond(id, &vec![b'l'; 100_000]),
            _ => self.respond(id, target.as_bytes()),
        }
    }

    /// A refusal is told as an abort: until then the exchange is open.
    fn respond(&mut self, id: Id, body: &[u8]) -> Exchange {
        match self.table.respond(id, &HEAD, body, true) {
            Ok(()) => Exchange::Leaving,
            Err(_) => Exchange::Silent,
        }
    }

    /// What the application does next of itself. False if it has nothing to do.
    fn go_on(&mut self) -> bool {
        let open: Vec<(Id, Exchange)> = self.exchanges.values().copied().collect();
        let mut has_done = false;
        for (id, exchange) in open {
            let next = match exchange {
                Exchange::Uploading(length) => match self.table.take_body(id) {
                    TakenBody::Bytes(bytes) => {
                        let length = length + bytes.len();
                        self.table.recycle(bytes);
                        Exchange::Uploading(length)
                    }
                    TakenBody::None(BodyOutcome::End) => {
                        self.respond(id, length.to_string().as_bytes())
                    }
                    TakenBody::None(_) => continue,
                },
                Exchange::Streaming(0) => {
                    let trailers = b"x-sum:1\n".repeat(2_000);
                    match self.table.end_with_trailers(id, &trailers, 2_000, true) {
                        Ok(_) => Exchange::Leaving,
                        Err(_) => Exchange::Silent,
                    }
                }
                Exchange::Streaming(left) => {
                    let outcome = self.table.chunk(id, &[b's'; 5_000], false, false);
                    match outcome.unwrap() {
                        ChunkOutcome::Gone => Exchange::Silent,
                        _ => Exchange::Streaming(left - 1),
                    }
                }
                Exchange::Leaving | Exchange::Silent | Exchange::Over => continue,
            };
            has_done = true;
            self.set(id, next);
        }
        has_done
    }

    fn of(&self, id: Id) -> Exchange {
        let found = self.exchanges.values().find(|(known, _)| *known == id);
        found.expect("news of an exchange that was never told").1
    }

    /// The end of an exchange comes once.
    fn end(&mut self, id: Id) {
        assert_ne!(self.of(id), Exchange::Over, "it ends twice");
        self.set(id, Exchange::Over);
    }

    fn set(&mut self, id: Id, exchange: Exchange) {
        for (known, state) in self.exchanges.values_mut() {
            if *known == id {
                *state = exchange;
            }
        }
    }

    /// Whether the connection of a client goes on.
    pub(super) fn is_open(&self, client: usize) -> bool {
        self.key_of(client).is_some()
    }

    /// Drains the server, and cuts what is left.
    pub(super) fn stop(&mut self) {
        self.table.begin_close(self.server, 1_000);
        for key in self.table.keys_of(self.server) {
            self.table.on_drained(key);
        }
        self.settle();
        self.now += 1_000;
        self.table.set_time(self.now, 1);
        self.table.expire_servers();
        self.settle();
        let gauges = [
            &self.counters.connections,
            &self.counters.requests,
            &self.counters.bodies,
            &self.counters.file_descriptors,
            &self.counters.panics_total,
        ];
        assert_eq!(gauges.map(Counter::get), [0; 5]);
        assert_eq!(self.table.held_by(self.server), Held::default());
        assert_eq!((self.table.open_exchanges(), self.table.timers()), (0, 0));
        assert!(self.open.is_empty() && self.table.is_drained(self.server));
        let phases = self.exchanges.values().map(|(_, exchange)| *exchange);
        assert!(phases.clone().all(|phase| phase == Exchange::Over));
    }
}

const HEAD: Reply<'_> = Reply {
    status: 200,
    fields: b"x-field: value\n",
    count: 1,
};
