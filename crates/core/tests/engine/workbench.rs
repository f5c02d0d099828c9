//! A table with one server, a clock by hand and sockets that are vectors.

use std::collections::VecDeque;
use std::sync::Arc;

use gneiss_core::table::Table;
use gneiss_core::{
    AbortReason, Answers, ChunkOutcome, Counters, Doorbell, Event, Held, Id, Reply, ServerConfig,
    ServerKey, TakenBody, Wish,
};

/// The least request.
pub(crate) const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/// What the tests drive.
pub(crate) struct Workbench {
    pub(crate) table: Table,
    pub(crate) server: ServerKey,
    counters: Arc<Counters>,
    now: u64,
    /// Taken out of the lane, and not looked at.
    events: VecDeque<Event>,
}

/// A request as it was reported.
pub(crate) struct Request {
    pub(crate) id: Id,
    pub(crate) target: String,
}

struct Silent;

impl Doorbell for Silent {
    fn ring(&self) {}
}

impl Workbench {
    pub(crate) fn new(config: ServerConfig) -> Self {
        // What these tests take out of the lane nobody has delivered.
        let config = ServerConfig {
            max_queue_wait: 0,
            ..config
        };
        let mut table = Table::new(0, Box::new(Silent), 0);
        let counters = Arc::new(Counters::default());
        let server = table.add_server(Arc::new(config), Arc::clone(&counters));
        Self {
            table,
            server,
            counters,
            now: 0,
            events: VecDeque::new(),
        }
    }

    pub(crate) fn connect(&mut self) -> u32 {
        let pseudo = b"\n@peer:127.0.0.1 1\n@local:127.0.0.1 2"
            .to_vec()
            .into_boxed_slice();
        let key = self.table.accept(self.server, pseudo).unwrap();
        self.table.arm(key);
        key
    }

    pub(crate) fn receive(&mut self, key: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.table.on_bytes(key, bytes);
            self.table.arm(key);
        }
    }

    /// Lets time pass and does what is due.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        self.table.set_time(self.now, self.now / 1_000);
        let mut due = Vec::new();
        self.table.due(&mut due);
        for key in due {
            if self.table.lateness(key).is_some() {
                self.table.on_deadline(key);
            }
            self.table.arm(key);
        }
    }

    pub(crate) fn advance(&mut self, key: u32) {
        self.table.advance(key);
    }

    pub(crate) fn request(&mut self) -> Request {
        let Some(Event::Request {
            id,
            offset,
            target_len,
            ..
        }) = self.pop()
        else {
            panic!("a request was expected");
        };
        Request {
            id,
            target: text(self.table.lane().text(offset, target_len)),
        }
    }

    pub(crate) fn abort(&mut self) -> (Id, AbortReason) {
        let Some(Event::Abort { id, reason }) = self.pop() else {
            panic!("an abort was expected")
        };
        (id, reason)
    }

    /// The reason of an abort among the events that wait.
    pub(crate) fn any_abort(&mut self) -> Option<AbortReason> {
        std::iter::from_fn(|| self.pop()).find_map(|event| match event {
            Event::Abort { reason, .. } => Some(reason),
            _ => None,
        })
    }

    pub(crate) fn chunk_event(&mut self) -> Id {
        let Some(Event::Chunk { id }) = self.pop() else {
            panic!("a chunk was expected")
        };
        id
    }

    pub(crate) fn drain_event(&mut self) -> Id {
        let Some(Event::Drain { id }) = self.pop() else {
            panic!("a drain was expected")
        };
        id
    }

    pub(crate) fn done_event(&mut self) -> Id {
        let Some(Event::Done { id }) = self.pop() else {
            panic!("a done was expected")
        };
        id
    }

    pub(crate) fn no_event(&mut self) -> bool {
        self.collect();
        self.events.is_empty()
    }

    fn pop(&mut self) -> Option<Event> {
        self.collect();
        self.events.pop_front()
    }

    /// Takes events of exchanges out of the lane: what the log has to say is not the subject of these tests.
    fn collect(&mut self) {
        while let Some(event) = self.table.lane_mut().pop() {
            if !matches!(event, Event::Refused { .. }) {
                self.events.push_back(event);
            }
        }
    }

    pub(crate) fn respond(&mut self, id: Id, body: &str) {
        self.table
            .respond(id, &reply(""), body.as_bytes(), false)
            .unwrap();
    }

    pub(crate) fn respond_done(&mut self, id: Id, body: &str) {
        self.table
            .respond(id, &reply(""), body.as_bytes(), true)
            .unwrap();
    }

    pub(crate) fn start(&mut self, id: Id, fields: &str) {
        self.table.start(id, &reply(fields)).unwrap();
    }

    pub(crate) fn chunk(&mut self, id: Id, data: &[u8]) -> ChunkOutcome {
        self.table.chunk(id, data, false, false).unwrap()
    }

    pub(crate) fn body(&mut self, id: Id) -> Vec<u8> {
        match self.table.take_body(id) {
            TakenBody::Bytes(bytes) => bytes,
            TakenBody::None(outcome) => panic!("no bytes: {outcome:?}"),
        }
    }

    /// What waits to be written, taken by the kernel.
    pub(crate) fn sent(&mut self, key: u32) -> String {
        let output = self.table.output(key).to_vec();
        self.table.wrote(key, output.len());
        self.table.arm(key);
        text(&output)
    }

    pub(crate) fn wish(&self, key: u32) -> Wish {
        self.table.wish(key).unwrap()
    }

    pub(crate) fn held(&self) -> Held {
        self.table.held_by(self.server)
    }

    /// Closes the connection; nothing of it is left.
    pub(crate) fn close_and_check(&mut self, key: u32) {
        self.table.remove(key);
        let mut dirty = Vec::new();
        self.table.take_dirty(&mut dirty);
        let gauges = [
            &self.counters.connections,
            &self.counters.requests,
            &self.counters.bodies,
            &self.counters.panics_total,
        ];
        assert_eq!(gauges.map(gneiss_core::Counter::get), [0; 4]);
        assert_eq!(self.held(), Held::default());
        assert_eq!((self.table.open_exchanges(), self.table.timers()), (0, 0));
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn reply(fields: &str) -> Reply<'_> {
    Reply {
        status: 200,
        fields: fields.as_bytes(),
        count: fields.matches('\n').count(),
    }
}
