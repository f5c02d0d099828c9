//! A whole connection under a schedule: bytes and ends of the peer, a kernel that takes what it wants,
//! commands of the application, and time.
//!
//! After each step the driver settles, and then: every state owns a deadline, counts balance, nothing is
//! held beyond the limits, each exchange ends once. What was sent is read as a client would.

use std::sync::Arc;

use super::Choices;
use super::rooms::Rooms;
use super::texts::{FIELDS, STATUSES, TEXTS};
use super::wire;
use crate::config::{PIPELINE_AHEAD, ServerConfig};
use crate::counters::Counters;
use crate::exchange::{AbortReason, BodyOutcome, Event, Id, Meta, ServerKey};
use crate::http1::{AnswerFault, Connection, Fate, Reply, TakenBody, Turn, transcode_utf8};
use crate::trusted::TrustedPeers;

const DATE: &[u8; 29] = b"Thu, 01 Jan 1970 00:00:00 GMT";

/// Times worth waiting for, in milliseconds.
const WAITS: [u64; 8] = [1, 99, 999, 5_000, 10_001, 30_000, 75_000, 301_000];

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

pub(super) struct Bench {
    pub(super) connection: Connection,
    rooms: Rooms,
    counters: Arc<Counters>,
    config: Arc<ServerConfig>,
    now: u64,
    pub(super) is_alive: bool,
    was_reset: bool,
    /// The peer's FIN lies in the kernel.
    fin: bool,
    /// What the kernel took.
    sent: Vec<u8>,
    /// The application knows of it.
    open: Option<Id>,
    /// Of each reported request, whether it was HEAD.
    heads: Vec<bool>,
}

impl Bench {
    pub(super) fn new(first: u8, second: u8) -> Self {
        let off = |bit: u8, value: u64| if first & (1 << bit) == 0 { value } else { 0 };
        let config = Arc::new(ServerConfig {
            limit_request_head: 2048,
            stream_buffer: 1024,
            body_read_ahead: 1024,
            max_body: 4096,
            // Nobody delivers here, so nothing would ever have been delivered in time.
            max_queue_wait: 0,
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

    pub(super) fn step(&mut self, choices: &mut Choices<'_>) {
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
            _ => self.command(kind, choice, choices),
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
        // An awaited request that does not come is no timeout.
        assert!(self.counters.timeouts_total.get() <= expired + 1);
        // What has expired is over, or the same deadline would ring for ever.
        self.settle();
        assert!(!self.is_alive || self.connection.deadline() > self.now);
    }

    /// The application acts on its exchange, or on one that is over.
    fn command(&mut self, kind: u8, choice: u8, choices: &mut Choices<'_>) {
        let id = self.open;
        if id.is_none() && kind == 9 {
            // Those two go by the id of an open exchange.
            return;
        }
        let (mut fields, mut count) = FIELDS[usize::from(choice) % FIELDS.len()];
        let mut own = Vec::new();
        if kind == 11 {
            // Any text of an application, in the form of the border: UTF-8, `name:value` lines.
            let length = usize::from(choices.byte()) % 64;
            let text = String::from_utf8_lossy(choices.bytes(length)).into_owned();
            own = format!("{text}\n").into_bytes();
            let Ok(length) = transcode_utf8(&mut own) else {
                return;
            };
            own.truncate(length);
            count = 1;
        }
        if !own.is_empty() {
            fields = &own;
        }
        let reply = Reply {
            status: STATUSES[usize::from(choice >> 4) % STATUSES.len()],
            fields,
            count,
        };
        let body = &b"hello, and more than was announced"[..if choice & 1 == 0 { 5 } else { 33 }];
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
            10 | 11 => is_fault(
                &self.turn(|connection, turn| connection.respond(turn, &reply, body, flag)),
            ),
            12 => is_fault(&self.turn(|connection, turn| connection.start(turn, &reply))),
            13 => is_fault(
                &self.turn(|connection, turn| connection.chunk(turn, body, choice & 4 != 0, flag)),
            ),
            14 if choice & 1 == 0 => {
                is_fault(&self.turn(|connection, turn| {
                    connection.end_with_trailers(turn, fields, count, flag)
                }))
            }
            14 if choice & 4 == 0 => {
                let now = self.now;
                self.connection.extend(now, u64::from(choice & 8) * 1_000);
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
                        assert_eq!(outcome == BodyOutcome::Gone, self.rooms.open.is_none());
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
    pub(super) fn settle(&mut self) {
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
                }
                Event::Abort { id, reason } => {
                    assert_eq!(self.open.take(), Some(id), "an abort of nothing");
                    assert_ne!(reason, AbortReason::ServerClosed);
                }
                Event::Done { id } => assert_eq!(self.open.take(), Some(id)),
                Event::Chunk { id } | Event::Drain { id } => assert_eq!(self.open, Some(id)),
                Event::Refused { .. } => {}
                Event::Closed { .. } => panic!("a connection closes no server"),
            }
        }
        if self.rooms.open.is_none() {
            self.open = None;
        }
    }

    pub(super) fn check(&self) {
        let counters = &self.counters;
        let open = u64::from(self.rooms.open.is_some());
        assert_eq!(counters.requests.get(), open);
        assert_eq!(counters.panics_total.get(), 0);
        assert!(counters.bodies.get() <= open);
        if !self.is_alive {
            return;
        }
        let config = &self.config;
        let state = self.connection.state();
        assert!(
            self.connection.deadline() != u64::MAX || state.may_last(),
            "no deadline: {:?}",
            self.connection
        );
        assert!(!state.is_over(), "a driver would have closed it");
        let held = self.connection.held();
        let most = config.body_read_ahead + PIPELINE_AHEAD + config.limit_request_head + 64 * 1024;
        assert!(held.body <= most, "it holds {held:?}");
        assert!(self.connection.wish().read <= 64 * 1024);
    }

    /// Nothing comes and nothing is taken any more: deadline after deadline it comes to its end, unless the
    /// application was given all the time it wants.
    pub(super) fn leave_alone(mut self) {
        for round in 0.. {
            assert!(round < 8, "it lives for ever: {:?}", self.connection);
            let deadline = self.connection.deadline();
            if !self.is_alive || deadline == u64::MAX {
                break;
            }
            self.now = self.now.max(deadline);
            self.turn(Connection::on_deadline);
            self.settle();
            self.check();
        }
        self.finish();
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

/// Whether the answer was not taken; a bad head says why.
fn is_fault<T>(result: &Result<T, AnswerFault>) -> bool {
    match result {
        Ok(_) => false,
        Err(AnswerFault::Head(fault)) => !fault.to_string().is_empty(),
        Err(AnswerFault::BodyTooLong | AnswerFault::Gone) => true,
    }
}
