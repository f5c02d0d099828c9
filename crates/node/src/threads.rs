//! The threaded driver's side of an isolate: what the bell means, and how long the process lives for it.
//!
//! Node calls `on_ring` in a callback scope, at the end of which microtasks run. What they have said is
//! handed over by the next ring, which follows at once where anything was said.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gneiss_core::{AccessLog, Door, Gate, Listener, Remote, ServerConfig, ServerKey};
use socket2::Socket;

use crate::dispatch::{self, ServerFunctions};
use crate::env::EnvState;
use crate::options::number;
use crate::server::Sources;
use crate::stats::Stats;
use crate::sys::{BellHandle, ExitHook, Reference, Scope};

/// Set in the number of a server whose connections live on threads of their own.
pub(crate) const THREADED: u16 = 1 << 15;

/// The servers of an isolate that have threads.
pub(crate) struct Threads {
    pub(crate) remote: Remote,
    bell: BellHandle,
    servers: ThreadServers,
    /// Asks JavaScript for a turn behind timers and I/O.
    later: Rc<Reference>,
    /// What this turn of the event loop has used.
    used: Duration,
    passes: u32,
    /// JavaScript was asked for a turn; until then nothing is delivered.
    is_yielding: bool,
    keeps_alive: bool,
    /// Held for its registration only.
    _hook: ExitHook,
}

/// By their keys.
#[derive(Default)]
pub(crate) struct ThreadServers(Vec<Option<ThreadServer>>);

/// One server.
struct ThreadServer {
    functions: ServerFunctions,
    listeners: Vec<Arc<Listener>>,
    gate: Option<Arc<dyn Gate>>,
    log: Option<Arc<AccessLog>>,
    keeps_alive: bool,
    is_closing: bool,
}

impl Threads {
    /// Without servers; gives `later` back if Node refuses the bell.
    fn new(scope: &Scope<'_>, state: &EnvState, later: Reference) -> Result<Self, Reference> {
        let Some((bell, ringer)) = scope.bell() else {
            return Err(later);
        };
        bell.set_ref(state, false);
        // After the bell, so that it is taken down before the bell is.
        let Some(hook) = ExitHook::register(state) else {
            return Err(later);
        };
        Ok(Self {
            remote: Remote::new(Arc::new(Door::new(ringer))),
            bell,
            servers: ThreadServers::default(),
            later: Rc::new(later),
            used: Duration::ZERO,
            passes: 0,
            is_yielding: false,
            keeps_alive: false,
            _hook: hook,
        })
    }

    /// Gives back what Node keeps for it. Its threads have been told to end, or are told by this.
    pub(crate) fn end(self, scope: &Scope<'_>) {
        let ThreadServers(servers) = self.servers;
        for server in servers.into_iter().flatten() {
            server.functions.release(scope);
        }
        if let Some(later) = Rc::into_inner(self.later) {
            scope.release(later);
        }
    }

    /// Starts a server. The error is the system's.
    pub(crate) fn start(
        &mut self,
        state: &EnvState,
        config: &Arc<ServerConfig>,
        sources: Sources,
        threads: usize,
        functions: ServerFunctions,
    ) -> Result<ServerKey, (std::io::Error, ServerFunctions)> {
        let Sources { listeners, gate } = sources;
        let listeners: Vec<Arc<Listener>> = listeners.into_iter().map(Arc::new).collect();
        let started = self.remote.start(config, &listeners, threads, gate.clone());
        let server = match started {
            Ok(server) => server,
            Err(error) => return Err((error, functions)),
        };
        let index = usize::from(server.0);
        let ThreadServers(servers) = &mut self.servers;
        if index >= servers.len() {
            servers.resize_with(index.saturating_add(1), || None);
        }
        if let Some(slot) = servers.get_mut(index) {
            *slot = Some(ThreadServer {
                functions,
                listeners,
                gate,
                log: config.access_log.clone(),
                keeps_alive: true,
                is_closing: false,
            });
        }
        self.hold(state);
        Ok(server)
    }

    /// The application of a server with a gate has started: its worker accepts.
    pub(crate) fn open_gate(&mut self, server: ServerKey) -> std::io::Result<()> {
        let Some(found) = self.server(server) else {
            return Ok(());
        };
        let Some(gate) = found.gate.as_ref() else {
            return Ok(());
        };
        for listener in &found.listeners {
            listener.listen()?;
        }
        gate.set_accepting(true);
        if !gate.is_shared() {
            self.remote.open_reserved(server);
        }
        Ok(())
    }

    /// Tells other workers whether this one's event loop is at work.
    fn tell_gates(&self, is_busy: bool) {
        for (index, server) in self.servers.0.iter().enumerate() {
            let gate = server.as_ref().and_then(|found| found.gate.as_ref());
            let Some(gate) = gate else { continue };
            if is_busy {
                gate.busy();
            } else {
                let key = ServerKey(u16::try_from(index).unwrap_or(u16::MAX));
                let counters = self.remote.counters(key);
                let open: u64 = counters.iter().map(|found| found.requests.get()).sum();
                gate.polling(usize::try_from(open).unwrap_or(usize::MAX));
            }
        }
    }

    /// Where a server listens.
    pub(crate) fn listeners(&self, server: ServerKey) -> &[Arc<Listener>] {
        self.server(server)
            .map_or(&[], |found| found.listeners.as_slice())
    }

    /// Gives a server a connection that this process has with itself.
    pub(crate) fn invite(&mut self, server: ServerKey, socket: Socket) -> bool {
        let Some(listener) = self.listeners(server).first() else {
            return false;
        };
        let pseudo = listener.pseudo_head_inside();
        self.remote.invite(server, socket, pseudo)
    }

    /// Whether a server's listeners keep the process alive.
    pub(crate) fn set_ref(&mut self, state: &EnvState, server: ServerKey, keeps_alive: bool) {
        if let Some(found) = self.server_mut(server) {
            found.keeps_alive = keeps_alive;
        }
        self.hold(state);
    }

    /// Drains a server and cuts what is left after `timeout` milliseconds.
    pub(crate) fn close(&mut self, state: &EnvState, server: ServerKey, timeout: u64) {
        if let Some(found) = self.server_mut(server) {
            found.is_closing = true;
            // The threads hold them until they have let in who waits.
            found.listeners.clear();
        }
        self.remote.close(server, timeout);
        self.hold(state);
    }

    /// What a server holds and has done.
    pub(crate) fn stats(&self, server: ServerKey) -> Option<Stats> {
        let log = self.server(server)?.log.as_ref();
        let mut found = Stats::of("thread", &self.remote.counters(server));
        let held = self.remote.held(server);
        found.note_log(log);
        found.body_bytes += number(held.body as u64);
        found.response_bytes += number(held.response as u64);
        found.queued_messages = number(self.remote.queued(server) as u64);
        Some(found)
    }

    /// The engine's side, and what the servers call.
    pub(crate) fn parts(&mut self) -> (&mut Remote, &ThreadServers) {
        (&mut self.remote, &self.servers)
    }

    /// Forgets a server that is closed.
    pub(crate) fn forget(&mut self, server: ServerKey) -> Option<ServerFunctions> {
        self.remote.forget(server);
        let slot = self.servers.0.get_mut(usize::from(server.0))?;
        slot.take().map(|found| found.functions)
    }

    /// Keeps the process alive while a server listens, is being closed, or has something to answer.
    fn hold(&mut self, state: &EnvState) {
        let mut servers = self.servers.0.iter().flatten();
        let keeps_alive = servers.any(|found| found.keeps_alive || found.is_closing)
            || self.remote.is_busy()
            || self.remote.has_commands();
        if keeps_alive != self.keeps_alive {
            self.keeps_alive = keeps_alive;
            self.bell.set_ref(state, keeps_alive);
        }
    }

    /// Begins a pass; none while JavaScript was asked for a turn behind timers and I/O.
    fn begin_pass(&mut self) -> bool {
        self.tell_gates(true);
        self.remote.begin_pass();
        self.remote.flush();
        if self.is_yielding {
            self.tell_gates(false);
            return false;
        }
        self.passes = self.passes.saturating_add(1);
        true
    }

    /// Ends a pass: rings again for what is left, or yields when this turn of the loop has used enough.
    fn end_pass(&mut self, state: &EnvState, used: Duration) -> Option<Rc<Reference>> {
        self.used = self.used.saturating_add(used);
        self.tell_gates(false);
        self.hold(state);
        if !self.remote.has_events() {
            return None;
        }
        if self.used < dispatch::TURN && self.passes < PASSES {
            self.remote.ring();
            return None;
        }
        self.is_yielding = true;
        Some(Rc::clone(&self.later))
    }

    fn server(&self, server: ServerKey) -> Option<&ThreadServer> {
        self.servers.0.get(usize::from(server.0))?.as_ref()
    }

    fn server_mut(&mut self, server: ServerKey) -> Option<&mut ThreadServer> {
        self.servers.0.get_mut(usize::from(server.0))?.as_mut()
    }
}

impl ThreadServers {
    /// What a server calls, or any of them.
    pub(crate) fn functions(&self, server: Option<ServerKey>) -> Option<&ServerFunctions> {
        let found = match server {
            Some(server) => self.0.get(usize::from(server.0))?.as_ref(),
            None => self.0.iter().flatten().next(),
        };
        found.map(|found| &found.functions)
    }
}

/// Makes the isolate's bell, once.
pub(crate) fn ensure(scope: &Scope<'_>, state: &EnvState, later: Option<Reference>) -> bool {
    if state.threads().borrow().is_some() {
        if let Some(later) = later {
            scope.release(later);
        }
        return true;
    }
    let Some(later) = later else { return false };
    match Threads::new(scope, state, later) {
        Ok(threads) => {
            *state.threads().borrow_mut() = Some(threads);
            true
        }
        Err(later) => {
            scope.release(later);
            false
        }
    }
}

/// The bell was rung.
pub(crate) fn on_ring(state: &EnvState) {
    if state.is_ending() || state.with_threads(Threads::begin_pass) != Some(true) {
        return;
    }
    let started = Instant::now();
    let is_done = Scope::with_handles(state, |scope| {
        dispatch::deliver_remote(scope, state, started);
        let later = state.with_threads(|threads| threads.end_pass(state, started.elapsed()));
        if let Some(Some(later)) = later
            && let Some(function) = scope.deref(&later)
        {
            // It only schedules; that it throws is impossible but for an isolate that is being torn down.
            let _ = scope.call(function, &[]);
        }
    });
    // What was told waits, and nobody would ring for it again.
    if is_done.is_none() {
        state.with_threads(|threads| threads.remote.ring());
    }
}

/// JavaScript gives the turn it was asked for.
pub(crate) fn on_turn(state: &EnvState) {
    state.with_threads(|threads| {
        threads.is_yielding = false;
        threads.used = Duration::ZERO;
        threads.passes = 0;
        threads.remote.catch_up();
    });
    on_ring(state);
}

/// The environment begins to end: nothing rings any more, and the threads end by themselves.
pub(crate) fn on_exit(state: &EnvState) {
    state.begin_ending();
    state.with_threads(|threads| threads.remote.stop());
}

/// The process ends on its own thread, where no hook runs.
pub(crate) fn flush_at_exit(state: &EnvState) {
    state.with_threads(|threads| threads.remote.flush_at_exit(EXIT_MOST));
}

/// Passes of delivering in one turn of the event loop.
const PASSES: u32 = 16;
/// How long the end of the process waits for its threads to offer what waits to the kernel.
const EXIT_MOST: Duration = Duration::from_millis(200);
