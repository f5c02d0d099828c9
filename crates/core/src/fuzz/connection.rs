//! A whole connection under a schedule: bytes and ends of the peer, a kernel that takes what it wants,
//! commands of the application, and time.
//!
//! After each step the driver settles, and then: every state owns a deadline, counts balance, nothing is
//! held beyond the limits, each exchange ends once. What was sent is read as a client would.

use std::sync::Arc;

use super::Choices;
use super::wire;
use crate::config::{PIPELINE_AHEAD, ServerConfig};
use crate::counters::Counters;
use crate::exchange::{AbortReason, BodyOutcome, Event, Exchanges, Id, Meta, ServerKey};
use crate::http1::{Connection, Fate, Reply, TakenBody, Turn};
use crate::trusted::TrustedPeers;

const DATE: &[u8; 29] = b"Thu, 01 Jan 1970 00:00:00 GMT";

/// Times worth waiting for, in milliseconds.
const WAITS: [u64; 8] = [1, 99, 999, 5_000, 10_001, 30_000, 75_000, 301_000];

/// Requests and pieces of them; the fuzzer finds others by itself.
const TEXTS: [&[u8]; 16] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /x?y HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5;x=y\r\nhello\r\n",
    b"0\r\nt: v\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"hello",
    b"QUERY http://b/c HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n",
    b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"BAD\x00",
];

/// Field lines of answers, good and bad.
const FIELDS: [(&[u8], usize); 12] = [
    (b"", 0),
    (b"content-type:text/plain\n", 1),
    (b"Content-Length:5\n", 1),
    (b"content-length:5\nContent-Length:5\n", 2),
    (b"connection:close\n", 1),
    (b"connection:keep-alive\n", 1),
    (b"transfer-encoding:chunked\n", 1),
    (b"x:a\nb\n", 1),
    (b"x:a\rb\n", 1),
    (b"bad name:x\n", 1),
    (b"date:now\nserver:me\n", 2),
    (b"content-length:x\n", 1),
];

const STATUSES: [u16; 8] = [200, 204, 304, 404, 999, 100, 199, 1000];

/// The first two bytes are the configuration, the rest steps.
pub fn connection(data: &[u8]) {
    let mut choices = Choices(data);
    let mut bench = Bench::new(choices.byte(), choices.byte());
    while !choices.is_empty() && bench.is_alive {
        bench.step(&mut choices);
        bench.settle();
        bench.check();
    }
    bench.finish();
}

struct Bench {
    connection: Connection,
    rooms: Rooms,
    counters: Arc<Counters>,
    config: Arc<ServerConfig>,
    now: u64,
    is_alive: bool,
    was_reset: bool,
    /// The peer's FIN lies in the kernel.
    fin: bool,
    /// What the kernel took.
    sent: Vec<u8>,
    /// The application knows of it.
    open: Option<Id>,
    /// The application turned its deadline off.
    is_extended: bool,
    /// Of each reported request, whether it was HEAD.
    heads: Vec<bool>,
}

/// Slots of one connection.
#[derive(Default)]
struct Rooms {
    arena: Vec<u8>,
    events: Vec<Event>,
    opened: u32,
    open: Option<Id>,
}

impl Exchanges for Rooms {
    fn open(&mut self) -> Option<Id> {
        assert_eq!(self.open, None, "two exchanges on one connection");
        self.opened += 1;
        // The slots are full now and then.
        self.open = (!self.opened.is_multiple_of(13)).then(|| Id::new(7, self.opened, 0));
        self.open
    }

    fn close(&mut self, id: Id) {
        assert_eq!(self.open.take(), Some(id));
    }

    fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    fn buffer(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn recycle(&mut self, _: Vec<u8>) {}
}

impl Bench {
    fn new(first: u8, second: u8) -> Self {
        let off = |bit: u8, value: u64| if first & (1 << bit) == 0 { value } else { 0 };
        let config = Arc::new(ServerConfig {
            limit_request_head: 2048,
            stream_buffer: 1024,
            body_read_ahead: 1024,
            max_body: 4096,
            allow_half_open: second & 1 != 0,
            server_header: if second & 2 == 0 {
                Vec::new()
            } else {
                b"gneiss".to_vec()
            },
            trusted_peers: TrustedPeers::parse(&["127.0.0.1"]).unwrap(),
            request_timeout: off(0, 30_000),
            response_idle_timeout: off(1, 300_000),
            body_min_rate: off(2, 240),
            keep_alive_max_age: if second & 4 == 0 { 0 } else { 60_000 },
            ..ServerConfig::default()
        });
        let counters = Arc::new(Counters::default());
        let pseudo: &[u8] = b"\n@peer:127.0.0.1 1\n@local:127.0.0.1 2";
        let connection = Connection::new(
            ServerKey(0),
            Arc::clone(&config),
            Arc::clone(&counters),
            pseudo.into(),
            0,
        );
        Self {
            connection,
            rooms: Rooms::default(),
            counters,
            config,
            now: 0,
            is_alive: true,
            was_reset: false,
            fin: false,
            sent: Vec::new(),
            open: None,
            is_extended: false,
            heads: Vec::new(),
        }
    }

    fn turn<R>(&mut self, call: impl FnOnce(&mut Connection, &mut Turn<'_, Rooms>) -> R) -> R {
        let mut turn = Turn {
            exchanges: &mut self.rooms,
            now: self.now,
            date: DATE,
        };
        call(&mut self.connection, &mut turn)
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let (kind, choice) = (choices.byte() % 16, choices.byte());
        match kind {
            0 | 1 => {
                let bytes = choices.bytes(usize::from(choice));
                self.receive(bytes);
            }
            2 | 3 => self.receive(TEXTS[usize::from(choice) % TEXTS.len()]),
            4 => self.receive(&[b'x'; 700][..usize::from(choice) * 2]),
            5 => self.fin = true,
            6 if choice == 0 => self.turn(Connection::on_error),
            6 | 7 => self.take(usize::from(choice) * 8),
            8 => self.wait(WAITS[usize::from(choice) % WAITS.len()]),
            9 if choice < 16 => {
                let now = self.now;
                self.connection.drain(now);
            }
            _ => self.command(kind, choice),
        }
    }

    /// Bytes arrive: as many as the connection wants to read, the rest is lost to it for good.
    fn receive(&mut self, bytes: &[u8]) {
        let budget = self.connection.wish().read;
        if !self.fin && budget > 0 && !bytes.is_empty() {
            let bytes = &bytes[..bytes.len().min(budget)];
            self.turn(|connection, turn| connection.on_bytes(turn, bytes));
        }
    }

    /// The kernel takes what waits, up to a number of bytes.
    fn take(&mut self, most: usize) {
        let count = self.connection.output().len().min(most);
        if count > 0 {
            self.sent
                .extend_from_slice(&self.connection.output()[..count]);
            self.turn(|connection, turn| connection.wrote(turn, count));
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        if self.connection.deadline() > self.now {
            return;
        }
        let expired = self.counters.timeouts_total.get();
        self.turn(Connection::on_deadline);
        assert_eq!(self.counters.timeouts_total.get(), expired + 1);
        // What has expired is over, or the same deadline would ring for ever.
        self.settle();
        assert!(!self.is_alive || self.connection.deadline() > self.now);
    }

    /// The application acts on its exchange, or on one that is over.
    fn command(&mut self, kind: u8, choice: u8) {
        let id = self.open;
        if id.is_none() && kind == 9 {
            // Those two go by the id of an open exchange.
            return;
        }
        let (fields, count) = FIELDS[usize::from(choice) % FIELDS.len()];
        let reply = Reply {
            status: STATUSES[usize::from(choice >> 4) % STATUSES.len()],
            fields,
            count,
        };
        let body = &b"hello, and more than was promised"[..if choice & 1 == 0 { 5 } else { 33 }];
        let before = self.connection.output().len();
        let flag = choice & 2 != 0;
        let is_refused = match kind {
            9 => {
                if choice & 1 == 0 {
                    self.turn(Connection::reset);
                } else {
                    self.turn(Connection::fail);
                }
                false
            }
            10 | 11 => self
                .turn(|connection, turn| connection.respond(turn, &reply, body, flag))
                .is_err(),
            12 => self
                .turn(|connection, turn| connection.start(turn, &reply))
                .is_err(),
            13 => self
                .turn(|connection, turn| connection.chunk(turn, body, choice & 4 != 0, flag))
                .is_err(),
            14 if choice & 1 == 0 => self
                .turn(|connection, turn| connection.end_with_trailers(turn, fields, count, flag))
                .is_err(),
            14 if choice & 4 == 0 => {
                let now = self.now;
                self.is_extended |=
                    self.connection.extend(now, u64::from(choice & 8) * 1_000) && choice & 8 == 0;
                false
            }
            14 => {
                self.turn(|connection, turn| connection.end(turn, flag));
                false
            }
            _ => {
                match self.turn(Connection::take_body) {
                    TakenBody::Bytes(bytes) => assert!(!bytes.is_empty()),
                    TakenBody::None(outcome) => {
                        assert_eq!(outcome == BodyOutcome::Gone, self.rooms.open.is_none())
                    }
                }
                self.turn(Connection::advance);
                false
            }
        };
        if is_refused {
            // Not one byte of what was refused has left, and the exchange is as it was.
            assert_eq!(self.connection.output().len(), before);
            assert_eq!(self.open, id);
        }
    }

    /// What a driver does after each step.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "it never settles");
            self.hear();
            let wish = self.connection.wish();
            match wish.fate {
                Fate::Close | Fate::Reset => {
                    self.was_reset = wish.fate == Fate::Reset;
                    self.is_alive = false;
                    return;
                }
                Fate::Shutdown => {
                    let now = self.now;
                    self.connection.linger(now);
                }
                Fate::Stay if self.connection.has_waiting_input() => {
                    let before = (self.connection.held(), self.rooms.events.len());
                    self.turn(Connection::advance);
                    if before == (self.connection.held(), self.rooms.events.len())
                        && !self.hear_end()
                    {
                        return;
                    }
                }
                Fate::Stay => {
                    if !self.hear_end() {
                        return;
                    }
                }
            }
        }
    }

    /// Tells of the peer's end where the driver would notice it; false when there is nothing to tell.
    fn hear_end(&mut self) -> bool {
        let wish = self.connection.wish();
        if !self.fin || !wish.watch && wish.read == 0 {
            return false;
        }
        if wish.read > 0 {
            self.turn(Connection::on_end);
        } else {
            self.turn(Connection::on_hang_up);
        }
        true
    }

    fn hear(&mut self) {
        for event in std::mem::take(&mut self.rooms.events) {
            match event {
                Event::Request { id, meta, .. } => {
                    assert_eq!(
                        self.open.replace(id),
                        None,
                        "a request before the end of the one before it"
                    );
                    self.heads.push(meta.0 & 0x3f == 2);
                    assert!(meta.0 & Meta::BODY_COMPLETE == 0 || meta.0 & Meta::HAS_BODY != 0);
                    self.is_extended = false;
                }
                Event::Abort { id, reason } => {
                    assert_eq!(self.open.take(), Some(id), "an abort of nothing");
                    assert_ne!(reason, AbortReason::ServerClosed);
                }
                Event::Done { id } => assert_eq!(self.open.take(), Some(id)),
                Event::Chunk { id } | Event::Drain { id } => assert_eq!(self.open, Some(id)),
                Event::Closed { .. } => panic!("a connection closes no server"),
            }
        }
        if self.rooms.open.is_none() {
            self.open = None;
        }
    }

    fn check(&self) {
        let counters = &self.counters;
        let open = u64::from(self.rooms.open.is_some());
        assert_eq!(counters.requests.get(), open);
        assert_eq!(counters.panics_total.get(), 0);
        assert!(counters.bodies.get() <= open);
        if !self.is_alive {
            return;
        }
        let config = &self.config;
        let is_turned_off = open == 1
            && (config.request_timeout == 0
                || config.response_idle_timeout == 0
                || self.is_extended);
        assert!(
            is_turned_off || self.connection.deadline() != u64::MAX,
            "no deadline: {:?}",
            self.connection
        );
        let held = self.connection.held();
        let most = config.body_read_ahead + PIPELINE_AHEAD + config.limit_request_head + 64 * 1024;
        assert!(held.body <= most, "it holds {held:?}");
        assert!(self.connection.wish().read <= 64 * 1024);
    }

    /// The socket is closed, wherever the connection stands.
    fn finish(mut self) {
        if self.is_alive {
            self.turn(|connection, turn| connection.cut(turn, AbortReason::PeerGone));
            self.hear();
        }
        assert_eq!((self.rooms.open, self.open), (None, None));
        assert_eq!(
            (self.counters.requests.get(), self.counters.bodies.get()),
            (0, 0)
        );
        let read = wire::read(&self.sent, &self.heads);
        let refused = self.counters.refused_total.get();
        assert!(read.statuses.len() as u64 <= self.heads.len() as u64 + refused);
        assert!(
            read.statuses
                .iter()
                .all(|status| (200..=999).contains(status))
        );
    }
}
