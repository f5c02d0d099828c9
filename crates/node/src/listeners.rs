//! Listening sockets of the loop driver: accepting, pausing, and the queue of a server that closes.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use gneiss_core::{Counters, Gate, Listener, Seat, ServerKey, fail};
use socket2::Socket;

use crate::driver::{Driver, LISTENER};
use crate::env::EnvState;
use crate::ready::Note;
use crate::uv::{Handle, READABLE};

/// One listening socket. The handle comes first: it is closed before its descriptor is.
pub(crate) struct ListenerPlace {
    handle: Handle,
    pub(crate) listener: Listener,
    pub(crate) server: ServerKey,
    counters: Arc<Counters>,
    gate: Option<Arc<dyn Gate>>,
    stage: Stage,
    /// When a paused one is tried again, in the driver's milliseconds.
    resume_at: Option<u64>,
    keeps_alive: bool,
    pub(crate) note: Note,
}

/// What a listener does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waits for the application to start.
    Held,
    /// Accepts what comes.
    Open,
    /// Not watched for a moment, because it is another worker's turn.
    Yielding,
    /// Not watched: the server is full, or accept failed.
    Paused,
    /// Its server closes: what waits in its queue is accepted, then it goes.
    Emptying,
}

/// How a try to accept has ended.
enum Accepted {
    /// A connection came in, or one was lost and the next may come.
    Next,
    /// Nothing waits.
    Empty,
    /// The server is full.
    Full,
    /// It is another worker's turn.
    NotOurTurn,
    /// Out of descriptors or memory.
    Failed(std::io::Error),
}

impl Driver {
    /// Begins to accept on a bound listener; with a gate only from `open_gate` on.
    pub(crate) fn open_listener(
        &mut self,
        state: &EnvState,
        listener: Listener,
        server: ServerKey,
        counters: &Arc<Counters>,
    ) -> bool {
        let gate = self.gates.iter().find(|(owner, _)| *owner == server);
        let gate = gate.map(|(_, gate)| Arc::clone(gate));
        let place = self
            .listeners
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.listeners.push(None);
                self.listeners.len().saturating_sub(1)
            });
        let Ok(index) = u32::try_from(place) else {
            return false;
        };
        let Some(handle) = Handle::poll(state, listener.socket().as_raw_fd(), index | LISTENER)
        else {
            return false;
        };
        let first = if gate.is_some() {
            Stage::Held
        } else {
            handle.watch(READABLE);
            Stage::Open
        };
        counters.file_descriptors.add(1);
        let counters = Arc::clone(counters);
        if let Some(slot) = self.listeners.get_mut(place) {
            *slot = Some(ListenerPlace {
                handle,
                listener,
                server,
                counters,
                gate,
                stage: first,
                resume_at: None,
                keeps_alive: true,
                note: Note::default(),
            });
        }
        true
    }

    /// The application of a server with a gate has started: its worker accepts.
    pub(crate) fn open_gate(&mut self, server: ServerKey) -> std::io::Result<()> {
        for place in self.listeners.iter_mut().flatten() {
            if place.server == server && place.stage == Stage::Held {
                place.listener.listen()?;
                place.stage = Stage::Open;
                place.handle.watch(READABLE);
            }
        }
        self.after_work();
        Ok(())
    }

    /// Gives a server a connection that this process has with itself: it waits in no queue, and the other
    /// workers do not count it.
    pub(crate) fn invite(&mut self, state: &EnvState, server: ServerKey, socket: Socket) -> bool {
        let mut places = self.listeners.iter().flatten();
        let Some(place) = places.find(|place| place.server == server) else {
            return false;
        };
        let pseudo = place.listener.pseudo_head_inside();
        let Some(key) = self.table.accept(server, pseudo) else {
            return false;
        };
        self.open_peer(state, key, socket, None);
        self.after_work();
        true
    }

    /// Takes what waits in the queues of a server that closes, then closes its listeners. Whoever
    /// is connected by then would be reset instead. Where other workers hold a listener as well,
    /// the last of them does it.
    pub(crate) fn empty_listeners(&mut self, state: &EnvState, server: ServerKey) {
        for index in 0..self.listeners.len() {
            let Some(place) = self.listeners.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            if place.server != server || place.stage == Stage::Emptying {
                continue;
            }
            // One that has never accepted has no business with what waits for others.
            let was_open = place.stage != Stage::Held;
            let is_last = place.gate.as_ref().is_none_or(|gate| gate.retire()) && was_open;
            place.stage = Stage::Emptying;
            place.resume_at = None;
            if is_last {
                self.accept(state, u32::try_from(index).unwrap_or(u32::MAX));
            } else {
                self.close_listener(index);
            }
        }
    }

    /// Closes a server's listeners, whatever waits in their queues.
    pub(crate) fn close_listeners(&mut self, server: ServerKey) {
        for index in 0..self.listeners.len() {
            let place = self.listeners.get(index).and_then(Option::as_ref);
            if place.is_some_and(|place| place.server == server) {
                self.close_listener(index);
            }
        }
    }

    /// Whether a server's listeners keep the process alive.
    pub(crate) fn set_listeners_ref(&mut self, server: ServerKey, keeps_alive: bool) {
        for place in self
            .listeners
            .iter_mut()
            .flatten()
            .filter(|place| place.server == server)
        {
            place.keeps_alive = keeps_alive;
            place.handle.set_ref(keeps_alive);
        }
        // One that is paused is held by the check phase instead.
        self.after_work();
    }

    /// Accepts again where a connection or the time has made it possible.
    pub(crate) fn resume_listeners(&mut self) {
        let now = self.now();
        let mut emptying = Vec::new();
        for (index, place) in self.listeners.iter_mut().enumerate() {
            let Some(place) = place else { continue };
            if place.resume_at.is_some_and(|at| at > now) {
                continue;
            }
            // A time that has passed would make the timer fire without end while the server is full.
            let was_due = place.resume_at.take().is_some();
            let is_paused = matches!(place.stage, Stage::Paused | Stage::Yielding);
            if is_paused && self.table.may_accept(place.server) {
                place.stage = Stage::Open;
                // Level-triggered: what waits is reported at once, and nothing keeps us awake for the rest.
                place.handle.watch(READABLE);
            }
            if place.stage == Stage::Emptying && was_due {
                emptying.extend(u32::try_from(index).ok());
            }
        }
        for index in emptying {
            self.note(index | LISTENER, 0, READABLE);
        }
        self.tell_gates();
    }

    /// Whether a listener should keep the process alive although libuv does not watch it.
    pub(crate) fn has_paused_listener(&self) -> bool {
        let mut places = self.listeners.iter().flatten();
        places.any(|place| place.stage != Stage::Open && place.keeps_alive)
    }

    /// When a paused listener is tried again.
    pub(crate) fn next_resume(&self) -> Option<u64> {
        self.listeners
            .iter()
            .flatten()
            .filter_map(|place| place.resume_at)
            .min()
    }

    /// Accepts what waits: all of it when the server closes, one connection from a listener that others share,
    /// so that they get to see the new count, else a good many.
    pub(crate) fn accept(&mut self, state: &EnvState, index: u32) {
        let now = self.now();
        let Some(Some(place)) = self.listeners.get_mut(index as usize) else {
            return;
        };
        let note = std::mem::take(&mut place.note);
        if note.status < 0 {
            // libuv has stopped the handle: watched again after a while, as after a failed accept.
            place.pause(Stage::Paused, Some(now.saturating_add(ACCEPT_BACKOFF)));
            return;
        }
        let most = match (place.stage, &place.gate) {
            (Stage::Held | Stage::Yielding | Stage::Paused, _) => 0,
            (Stage::Open, Some(gate)) if gate.is_shared() => 1,
            (Stage::Open, _) => ACCEPTS,
            (Stage::Emptying, _) => QUEUE_MOST,
        };
        for _ in 0..most {
            let outcome = self.accept_one(state, index);
            let Some(Some(place)) = self.listeners.get_mut(index as usize) else {
                return;
            };
            match outcome {
                Accepted::Next => {}
                Accepted::Empty => break,
                Accepted::Full => return place.pause(Stage::Paused, None),
                Accepted::NotOurTurn => {
                    return place.pause(Stage::Yielding, Some(now.saturating_add(GATE_RETRY)));
                }
                Accepted::Failed(error) => {
                    // What is open goes on, and after a while there may be room.
                    place.counters.accept_errors_total.add(1);
                    place.pause(Stage::Paused, Some(now.saturating_add(ACCEPT_BACKOFF)));
                    let server = place.server;
                    return self.table.warn_of_accept(server, &error);
                }
            }
        }
        if most == QUEUE_MOST {
            self.close_listener(index as usize);
        }
    }

    fn accept_one(&mut self, state: &EnvState, index: u32) -> Accepted {
        let Some(Some(place)) = self.listeners.get_mut(index as usize) else {
            return Accepted::Empty;
        };
        if place.stage == Stage::Open {
            if !self.table.may_accept(place.server) {
                return Accepted::Full;
            }
            if place.gate.as_ref().is_some_and(|gate| !gate.admits()) {
                return Accepted::NotOurTurn;
            }
        }
        let accepted = if fail::strikes("accept") {
            Err(ErrorKind::OutOfMemory.into())
        } else {
            place.listener.socket().accept()
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::WouldBlock => Accepted::Empty,
                    // The peer gave up while it waited, or a signal came: the next one is unharmed.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => Accepted::Next,
                    _ => Accepted::Failed(error),
                };
            }
        };
        let seat = place.gate.as_ref().map(Seat::take);
        // Answers leave whole; waiting for more would only delay them. Unix sockets refuse this.
        let _ = socket.set_tcp_nodelay(true);
        let (server, pseudo) = (place.server, place.listener.pseudo_head(&socket, &address));
        let is_emptying = place.stage == Stage::Emptying;
        if let Some(key) = self.table.accept(server, pseudo) {
            self.open_peer(state, key, socket, seat);
            if is_emptying {
                // Nobody else tells it that its server closes.
                self.note(key, 0, READABLE);
            }
        }
        Accepted::Next
    }

    fn close_listener(&mut self, index: usize) {
        if let Some(place) = self.listeners.get_mut(index).and_then(Option::take) {
            place.counters.file_descriptors.subtract(1);
        }
    }

    /// Lets other workers know which of this one's servers accept.
    fn tell_gates(&self) {
        for (server, gate) in &self.gates {
            let places = || {
                let places = self.listeners.iter().flatten();
                places.filter(|place| place.server == *server)
            };
            if places().any(|place| place.stage != Stage::Held) {
                let is_hindered = places().any(|place| place.stage == Stage::Paused);
                gate.set_accepting(!is_hindered && self.table.may_accept(*server));
            }
        }
    }
}

/// Whether a server has a listener.
pub(crate) fn has_listener(listeners: &[Option<ListenerPlace>], server: ServerKey) -> bool {
    let mut places = listeners.iter().flatten();
    places.any(|place| place.server == server)
}

impl ListenerPlace {
    /// Stops watching until `resume_at`, or until the server has room again.
    fn pause(&mut self, stage: Stage, resume_at: Option<u64>) {
        if self.stage == Stage::Open {
            self.stage = stage;
        }
        self.resume_at = resume_at;
        self.handle.watch(0);
    }
}

/// Connections accepted in one turn.
const ACCEPTS: usize = 64;
/// Connections taken out of the queue of a listener that closes: more than any queue holds, and an
/// end even where clients connect faster than we accept.
const QUEUE_MOST: usize = 65_536;
/// Milliseconds until accept is tried again after it failed.
const ACCEPT_BACKOFF: u64 = 100;
/// Milliseconds until the gate is asked again while connections wait.
const GATE_RETRY: u64 = 1;
