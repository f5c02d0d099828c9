//! An isolate without JavaScript: one thread that sleeps until its bell is rung, and a handler for its events.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gneiss_core::{
    Answers, Bell, Bind, Counter, Counters, Delivery, Door, Endpoint, Held, Id, Listener, Notice,
    Remote, Reply, ServerConfig, ServerKey, TakenBody,
};

/// Longer than anything here takes on a busy machine; what comes later is a deadlock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a handler is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Request { id: Id, target: String },
    Notice { id: Id, kind: Notice },
}

/// What an application does with an event.
pub(crate) type Handler = Box<dyn FnMut(&mut Remote, &Event) + Send>;

/// What is asked of the isolate's thread from outside.
enum Order {
    Close(u64),
    Ring,
    Say(Box<dyn FnOnce(&mut Remote) + Send>),
}

/// A server in a thread of its own. Dropping it asserts that nothing is left.
pub(crate) struct Server {
    orders: Sender<Order>,
    isolate: Option<JoinHandle<Vec<Arc<Counters>>>>,
    pub(crate) counters: Vec<Arc<Counters>>,
    pub(crate) addresses: Vec<Endpoint>,
    /// Every event in order, as the handler saw it.
    pub(crate) events: Receiver<Event>,
    is_closing: Cell<bool>,
}

struct Ringer(Sender<Order>);

impl Bell for Ringer {
    fn ring(&self) {
        // The isolate has gone: nobody hears it.
        let _ = self.0.send(Order::Ring);
    }
}

impl Server {
    pub(crate) fn tcp(threads: usize, config: ServerConfig, handler: Handler) -> Self {
        Self::start(
            threads,
            config,
            &[Bind::Tcp("127.0.0.1".to_owned(), 0)],
            handler,
        )
    }

    pub(crate) fn start(
        threads: usize,
        config: ServerConfig,
        binds: &[Bind],
        mut handler: Handler,
    ) -> Self {
        let listeners: Vec<Arc<Listener>> = binds
            .iter()
            .map(|bind| Arc::new(Listener::bind(bind, 512).unwrap()))
            .collect();
        let addresses = listeners
            .iter()
            .map(|found| found.address().clone())
            .collect();
        let (orders, inbox) = channel();
        let (tell, events) = channel();
        let (started, start) = channel();
        let ringer = Ringer(orders.clone());
        let isolate = std::thread::spawn(move || {
            let mut remote = Remote::new(Arc::new(Door::new(Box::new(ringer))));
            let server = remote
                .start(&Arc::new(config), &listeners, threads, None)
                .unwrap();
            drop(listeners);
            let counters = remote.counters(server);
            started.send(counters.clone()).unwrap();
            serve(&mut remote, server, &inbox, &mut |remote, event| {
                handler(remote, event);
                let _ = tell.send(event.clone());
            });
            assert!(!remote.is_busy());
            assert_eq!(
                (remote.queued(server), remote.held(server)),
                (0, Held::default())
            );
            counters
        });
        Self {
            orders,
            isolate: Some(isolate),
            counters: start.recv_timeout(PATIENCE).unwrap(),
            addresses,
            events,
            is_closing: Cell::new(false),
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let Endpoint::Tcp(address) = self.addresses[0] else {
            panic!("no TCP address")
        };
        connect(address)
    }

    pub(crate) fn path(&self) -> PathBuf {
        let Endpoint::Unix(path) = self.addresses[0].clone() else {
            panic!("no Unix socket")
        };
        path
    }

    /// Drains, and cuts what is left after so many milliseconds.
    pub(crate) fn close(&self, timeout: u64) {
        self.is_closing.set(true);
        self.orders.send(Order::Close(timeout)).unwrap();
    }

    /// Has the isolate's thread do something, as a timer of the application would.
    pub(crate) fn say(&self, what: impl FnOnce(&mut Remote) + Send + 'static) {
        self.orders.send(Order::Say(Box::new(what))).unwrap();
    }

    pub(crate) fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn request(&self) -> Id {
        match self.next() {
            Event::Request { id, .. } => id,
            other @ Event::Notice { .. } => panic!("a request was expected, not {other:?}"),
        }
    }

    pub(crate) fn notice(&self, of: Id) -> Notice {
        match self.next() {
            Event::Notice { id, kind } if id == of => kind,
            other => panic!("news of {of:?} were expected, not {other:?}"),
        }
    }

    /// The sum of a counter over the server's threads.
    pub(crate) fn sum(&self, of: impl Fn(&Counters) -> &Counter) -> u64 {
        self.counters
            .iter()
            .map(|counters| of(counters).get())
            .sum()
    }

    /// Waits until a counter has a value.
    pub(crate) fn wait_for(&self, value: u64, of: impl Fn(&Counters) -> &Counter) {
        let started = Instant::now();
        while self.sum(&of) != value {
            assert!(
                started.elapsed() < PATIENCE,
                "{} instead of {value}",
                self.sum(&of)
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if !self.is_closing.get() {
            self.close(10_000);
        }
        let counters = self.isolate.take().unwrap().join().unwrap();
        for counters in counters {
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
        }
    }
}

/// Serves until the server is closed. Every exchange that is told ends exactly once.
fn serve(
    remote: &mut Remote,
    server: ServerKey,
    inbox: &Receiver<Order>,
    handler: &mut dyn FnMut(&mut Remote, &Event),
) {
    let mut is_over: HashMap<Id, bool> = HashMap::new();
    loop {
        match inbox
            .recv_timeout(PATIENCE * 2)
            .expect("the bell is never rung")
        {
            Order::Close(timeout) => remote.close(server, timeout),
            Order::Say(what) => what(remote),
            Order::Ring => {
                remote.begin_pass();
                remote.flush();
                while let Some(delivery) = remote.deliver() {
                    let event = match delivery {
                        Delivery::Closed { .. } => return,
                        Delivery::Refused { .. } => continue,
                        Delivery::Notice { id, kind, .. } => {
                            if matches!(kind, Notice::Abort | Notice::Done) {
                                assert_eq!(is_over.insert(id, true), Some(false), "{id:?}");
                            }
                            Event::Notice { id, kind }
                        }
                        Delivery::Request { id, target, .. } => {
                            assert_eq!(is_over.insert(id, false), None, "{id:?}");
                            let target = String::from_utf8_lossy(target).into_owned();
                            Event::Request { id, target }
                        }
                    };
                    handler(remote, &event);
                }
                if remote.has_events() {
                    remote.ring();
                }
            }
        }
    }
}

/// Answers each request with its target.
pub(crate) fn echo() -> Handler {
    Box::new(|remote, event| {
        if let Event::Request { id, target } = event {
            respond(remote, *id, target.as_bytes());
        }
    })
}

/// An application that does nothing by itself.
pub(crate) fn silent() -> Handler {
    Box::new(|_, _| {})
}

pub(crate) fn respond(remote: &mut Remote, id: Id, body: &[u8]) {
    let _ = remote.respond(id, &OK, body, false);
}

pub(crate) const OK: Reply<'static> = Reply {
    status: 200,
    fields: b"",
    count: 0,
};

/// Takes what is here of a body.
pub(crate) fn take(remote: &mut Remote, id: Id) -> TakenBody {
    remote.take_body(id)
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One answer with a content-length: its status and its body.
pub(crate) fn read_answer(stream: &mut impl Read) -> (u16, String) {
    let head = read_head(stream);
    let length = head
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .expect("a length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (
        head[9..12].parse().unwrap(),
        String::from_utf8(body).unwrap(),
    )
}

/// A head, byte by byte so that nothing behind it is lost.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

pub(crate) fn get(stream: &mut impl Write, target: &str) {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
}
