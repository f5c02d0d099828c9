//! The bridge on one thread: its I/O side runs when the schedule says so, and so does the isolate's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;

use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::task::{JoinHandle, yield_now};

use super::app::{App, Say};
use super::client::{Client, Leaving, Request};
use crate::address::{Bind, Listener};
use crate::config::ServerConfig;
use crate::counters::{Counter, Counters};
use crate::exchange::{Delivery, ServerKey};
use crate::thread::crowd::{Crowd, Entry};
use crate::thread::door::{Bell, Door};
use crate::thread::line::{Inbox, Line};
use crate::thread::remote::Remote;
use crate::thread::start::{Setup, last_words};
use crate::thread::worker::{Post, run};

const SERVER: ServerKey = ServerKey(0);

/// A peer cannot be heard beyond this many rounds of both sides; more would be a deadlock.
const PATIENCE: usize = 400;
/// What a thread does next may show only when it has been woken again.
const QUIET: usize = 3;
/// The most that the server lets in.
const CONNECTIONS: usize = 8;

pub(super) struct Bench {
    runtime: LocalRuntime,
    thread: JoinHandle<()>,
    remote: Remote,
    rang: Arc<AtomicBool>,
    counters: Arc<Counters>,
    crowd: Arc<Crowd>,
    listener: std::path::PathBuf,
    clients: Vec<Client>,
    app: App,
    tokens: usize,
    is_closing: bool,
    is_closed: bool,
}

struct Ringer(Arc<AtomicBool>);

impl Bell for Ringer {
    fn ring(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gneiss-schedule-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = Listener::bind(&Bind::Unix(path.clone()), 16).unwrap();
        let rang = Arc::new(AtomicBool::new(false));
        let door = Arc::new(Door::new(Box::new(Ringer(Arc::clone(&rang)))));
        let mut remote = Remote::new(door);
        let counters = Arc::new(Counters::default());
        let inbox = Arc::new(Inbox::new());
        let config = ServerConfig {
            stream_buffer: 8 * 1024,
            body_read_ahead: 8 * 1024,
            allow_half_open: false,
            ..ServerConfig::default()
        };
        let stream_buffer = config.stream_buffer;
        let crowd = Arc::new(Crowd::new(1, CONNECTIONS, None));
        let post = Post::new(SERVER, Arc::clone(&remote.words), Arc::clone(&remote.door));
        let setup = Setup {
            owner: 1,
            place: 0,
            config: Arc::new(config),
            counters: Arc::clone(&counters),
            siblings: Vec::new(),
            crowd: Arc::clone(&crowd),
            inbox: Arc::clone(&inbox),
            listeners: vec![Arc::new(listener)],
            post: post.another(),
        };
        counters.threads.add(1);
        counters.doorbell_refs.add(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build_local(LocalOptions::default())
            .unwrap();
        let (of_thread, of_inbox) = (Arc::clone(&counters), Arc::clone(&inbox));
        let thread = runtime.spawn_local(async move {
            let (ready, _is_ready) = channel();
            let is_closed = run(setup, &ready).await;
            last_words(&of_thread, &of_inbox, post, is_closed);
        });
        let line = Line::new(SERVER, Arc::clone(&counters), inbox, stream_buffer);
        remote.attach(SERVER, vec![1], vec![line]);
        let mut bench = Self {
            runtime,
            thread,
            remote,
            rang,
            counters,
            crowd,
            listener: path,
            clients: Vec::new(),
            app: App::default(),
            tokens: 0,
            is_closing: false,
            is_closed: false,
        };
        bench.turn(1);
        bench
    }

    pub(super) fn connect(&mut self) {
        if self.clients.len() < CONNECTIONS && !self.is_closing {
            self.clients.push(Client::connect(&self.listener));
        }
    }

    pub(super) fn send(&mut self, client: usize, request: &Request) {
        let token = self.tokens;
        if self
            .client(client)
            .is_some_and(|client| client.send(token, request))
        {
            self.tokens += 1;
            self.app.expect(request.body_length());
        }
    }

    pub(super) fn send_body(&mut self, client: usize, most: usize) {
        if let Some(client) = self.client(client) {
            client.send_body(most);
        }
    }

    pub(super) fn read(&mut self, client: usize, most: usize) {
        if let Some(client) = self.client(client) {
            client.read(most);
        }
    }

    pub(super) fn leave(&mut self, client: usize, leaving: Leaving) {
        if let Some(client) = self.client(client) {
            client.leave(leaving);
        }
    }

    /// The I/O thread runs.
    pub(super) fn turn(&mut self, rounds: usize) {
        self.runtime.block_on(async {
            for _ in 0..rounds {
                yield_now().await;
            }
        });
    }

    /// The isolate answers its bell, if that was rung.
    pub(super) fn pass(&mut self) {
        if !self.rang.swap(false, Ordering::Relaxed) {
            return;
        }
        self.remote.begin_pass();
        self.remote.flush();
        while let Some(delivery) = self.remote.deliver() {
            match delivery {
                Delivery::Closed { .. } => {
                    assert!(!self.is_closed);
                    self.is_closed = true;
                }
                Delivery::Refused { .. } => {}
                Delivery::Notice { id, kind, .. } => self.app.on_notice(id, kind),
                Delivery::Request { id, target, .. } => {
                    assert!(!self.is_closed);
                    let target = target.to_vec();
                    self.app.on_request(id, &target);
                }
            }
        }
        if self.remote.has_events() {
            self.remote.ring();
        }
    }

    pub(super) fn say(&mut self, exchange: usize, say: &Say) {
        self.app.say(&mut self.remote, exchange, say);
    }

    pub(super) fn say_late(&mut self, exchange: usize, say: &Say) {
        self.app.say_late(&mut self.remote, exchange, say);
    }

    pub(super) fn close(&mut self) {
        if !self.is_closing {
            self.is_closing = true;
            self.remote.close(SERVER, 1_000_000);
        }
    }

    /// Everybody goes on until nothing is left to do: clients send what they owe and read what comes, the
    /// application takes bodies and answers.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..PATIENCE {
            for client in &mut self.clients {
                client.send_body(usize::MAX);
                client.read(1 << 20);
            }
            self.turn(2);
            self.pass();
            self.app.take_bodies(&mut self.remote);
            quiet = if self.is_quiet() { quiet + 1 } else { 0 };
            if quiet == QUIET {
                break;
            }
        }
        self.app.assert_nobody_waits();
        for _ in 0..PATIENCE {
            self.app.answer_all(&mut self.remote);
            for client in &mut self.clients {
                client.read(1 << 20);
            }
            self.turn(2);
            self.pass();
            if self.app.open() == 0 && self.is_quiet() {
                break;
            }
        }
        assert_eq!(self.app.open(), 0, "exchanges that never end");
        // What has left is still on its way, and may have been all that a pipelined request waited for.
        let mut idle = 0;
        while idle < 3 {
            self.turn(2);
            self.pass();
            self.app.answer_all(&mut self.remote);
            let got: usize = self
                .clients
                .iter_mut()
                .map(|client| client.read(1 << 20))
                .sum();
            idle = if got == 0 { idle + 1 } else { 0 };
        }
        for (token, status) in self.failed() {
            let has_heard = self.app.has_heard(token);
            assert!(
                status != "503" || !has_heard,
                "503 to {token}, which was heard"
            );
        }
    }

    /// The statuses of answers that are no success, of which the application has not heard the request.
    pub(super) fn failed_unheard(&self) -> Vec<String> {
        let failed = self.failed().into_iter();
        let unheard = failed.filter(|(token, _)| !self.app.has_heard(*token));
        unheard.map(|(_, status)| status).collect()
    }

    fn failed(&self) -> Vec<(usize, String)> {
        self.clients.iter().flat_map(Client::check).collect()
    }

    /// Closes the server; nothing of it is left.
    pub(super) fn finish(mut self) {
        self.clients.clear();
        self.close();
        for _ in 0..PATIENCE {
            if self.is_closed {
                break;
            }
            self.turn(2);
            self.pass();
        }
        assert!(self.is_closed, "the server never says that it is closed");
        self.turn(1);
        assert!(self.thread.is_finished());
        assert!(!self.remote.is_busy());
        assert_eq!(self.remote.queued(SERVER), 0);
        assert_eq!(self.remote.held(SERVER), crate::counters::Held::default());
        let counters = &self.counters;
        let gauges = [
            &counters.connections,
            &counters.requests,
            &counters.bodies,
            &counters.file_descriptors,
            &counters.body_bytes,
            &counters.response_bytes,
            &counters.slots,
            &counters.timers,
            &counters.tasks,
            &counters.threads,
            &counters.doorbell_refs,
            &counters.panics_total,
        ];
        assert_eq!(gauges.map(Counter::get), [0; 12]);
        let mut places = (0..CONNECTIONS).map(|_| self.crowd.enter(0));
        assert!(places.all(|place| place == Entry::Taken));
    }

    /// Whether nothing is under way between the two sides.
    fn is_quiet(&self) -> bool {
        !self.rang.load(Ordering::Relaxed) && self.remote.queued(SERVER) == 0
    }

    fn client(&mut self, choice: usize) -> Option<&mut Client> {
        let open = self.clients.iter_mut().filter(|client| client.is_open());
        let mut open: Vec<&mut Client> = open.collect();
        let count = open.len().max(1);
        (!open.is_empty()).then(|| open.swap_remove(choice % count))
    }
}
