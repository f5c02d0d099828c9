//! What a master and its workers share: listeners that are bound and not accepted from, or reserved, and cells.
//!
//! Shared by the whole process and not by an isolate: a descriptor has one owner. Nothing here is on
//! the path of a request.

#![allow(
    clippy::needless_pass_by_value,
    reason = "napi converts every argument into a value of its own"
)]
#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use gneiss_core::{Cell, CellGate, Gate, Host, Listener, SocketFile, WorkerState};
use napi_derive::napi;
use socket2::Socket;

use crate::binding::{open, reserve};
use crate::error::{Failure, native_failure};
use crate::options::{NativeAddress, NativeBind, NativeGate, number};
use crate::sys::{self, CellMemory};

/// A listener that workers accept from.
#[napi(object)]
pub struct NativeListener {
    /// The descriptor to hand down.
    pub fd: i32,
    /// Where it listens.
    pub address: NativeAddress,
}

/// A copy of a worker's cell. Times are milliseconds of the machine's monotonic clock.
#[napi(object)]
pub struct NativeCell {
    /// The time of the reading.
    pub now: f64,
    /// When the process has last shown that it runs.
    pub native_tick: f64,
    /// Since when the event loop has not waited for events; 0 while it waits.
    pub loop_busy_since: f64,
    /// Connections accepted since the worker began.
    pub accepted: f64,
    /// Open connections.
    pub connections: u32,
    /// Open exchanges when the loop last went to wait.
    pub inflight: u32,
    /// `empty`, `booting`, `accepting`, `paused` or `draining`.
    pub state: String,
    /// What `clear_cell` has set.
    pub generation: u32,
    /// The process; 0 for nobody.
    pub pid: u32,
}

/// Listeners that this process keeps for its workers.
static LISTENERS: Mutex<Vec<Listener>> = Mutex::new(Vec::new());
/// Files of Unix sockets that this process has closed, while workers still answer there.
static FILES: Mutex<Vec<SocketFile>> = Mutex::new(Vec::new());
/// Cells that this process has made for its workers.
static MADE: Mutex<Vec<Arc<CellMemory>>> = Mutex::new(Vec::new());
/// Cells that this process lives in: its thread ticks in them until the process ends.
static JOINED: Mutex<Vec<Joined>> = Mutex::new(Vec::new());

struct Joined {
    fd: i32,
    index: u32,
    memory: Shared,
}

/// Memory of cells, known to threads and gates.
#[derive(Clone, Debug)]
struct Shared(Arc<CellMemory>);

impl AsRef<[Cell]> for Shared {
    fn as_ref(&self) -> &[Cell] {
        (*self.0).as_ref()
    }
}

const HOST: Host = Host {
    now: sys::monotonic,
    is_alive: sys::is_alive,
};

/// Binds and listens without accepting. Throws `ERR_BIND` or `ERR_OPTION`.
#[napi]
pub fn bind_listener(bind: NativeBind, backlog: i32) -> Result<NativeListener, Failure> {
    Ok(keep(open(&bind, backlog)?))
}

/// Binds with `SO_REUSEPORT` and does not listen, for a worker that will; with `fd` at the address of one that
/// was reserved before. Throws `ERR_BIND` or `ERR_OPTION`.
#[napi]
pub fn reserve_listener(bind: NativeBind) -> Result<NativeListener, Failure> {
    Ok(keep(reserve(&bind)?))
}

fn keep(listener: Listener) -> NativeListener {
    let fd = listener.socket().as_raw_fd();
    let address = NativeAddress::from(listener.address());
    lock(&LISTENERS).push(listener);
    NativeListener { fd, address }
}

/// Closes this process's copy of a listener; the file of a Unix socket stays until
/// `remove_socket_files`, because workers still answer there. False for an unknown one.
#[napi]
pub fn release_listener(fd: i32) -> bool {
    let Some(listener) = take_listener(fd) else {
        return false;
    };
    lock(&FILES).extend(listener.close());
    true
}

/// A listener by its descriptor: one that was bound here and is given away for good, or one that the
/// process was started with.
pub(crate) fn adopt(fd: i32) -> io::Result<Listener> {
    if let Some(listener) = take_listener(fd) {
        return Ok(listener);
    }
    Listener::adopt(inherited(fd)?)
}

/// A listener that the master has reserved for this process alone.
pub(crate) fn adopt_reserved(fd: i32, backlog: i32) -> io::Result<Listener> {
    Listener::adopt_reserved(inherited(fd)?, backlog)
}

fn inherited(fd: i32) -> io::Result<Socket> {
    sys::adopt_descriptor(fd)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not open"))
}

/// A listener at the address of one that this process has reserved.
pub(crate) fn reserve_beside(fd: i32) -> io::Result<Listener> {
    let listeners = lock(&LISTENERS);
    let found = listeners
        .iter()
        .find(|listener| listener.socket().as_raw_fd() == fd);
    found
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "nothing is reserved there"))?
        .reserve_beside()
}

/// Takes a listener that this process keeps, by its descriptor.
fn take_listener(fd: i32) -> Option<Listener> {
    let mut listeners = lock(&LISTENERS);
    let place = listeners
        .iter()
        .position(|listener| listener.socket().as_raw_fd() == fd)?;
    Some(listeners.swap_remove(place))
}

/// Removes the files of the Unix sockets that were released.
#[napi]
pub fn remove_socket_files() {
    lock(&FILES).clear();
}

/// Makes shared memory for so many workers. Returns the descriptor to hand down. Throws `ERR_NATIVE`.
#[napi]
pub fn create_cells(count: u32) -> Result<i32, Failure> {
    let memory = CellMemory::create(count as usize)
        .map_err(|error| refused("worker cells cannot be made", &error))?;
    let fd = memory.descriptor();
    lock(&MADE).push(Arc::new(memory));
    Ok(fd)
}

/// Gives the memory up and closes its descriptor. False for what `create_cells` did not make.
#[napi]
pub fn release_cells(fd: i32) -> bool {
    let mut made = lock(&MADE);
    let before = made.len();
    made.retain(|memory| memory.descriptor() != fd);
    made.len() < before
}

/// Sends copies of descriptors through a socket to the process at its other end. Throws `ERR_NATIVE`.
#[napi]
pub fn send_descriptors(socket: i32, descriptors: Vec<i32>) -> Result<(), Failure> {
    sys::borrowed(socket)
        .and_then(|socket| sys::send_descriptors(socket, &descriptors))
        .map_err(|error| refused("the descriptors cannot be sent", &error))
}

/// Takes the descriptors that were sent, in their order, and closes the socket. Throws `ERR_NATIVE`.
#[napi]
pub fn take_descriptors(socket: i32) -> Result<Vec<i32>, Failure> {
    let socket = sys::adopt_descriptor(socket)
        .ok_or_else(|| native_failure("the socket of the descriptors is not open".to_owned()))?;
    let descriptors = sys::receive_descriptors(&socket)
        .map_err(|error| refused("the descriptors of the master cannot be taken", &error))?;
    Ok(descriptors
        .into_iter()
        .map(IntoRawFd::into_raw_fd)
        .collect())
}

/// What a worker lets others know; `undefined` when there is no such cell.
#[napi]
pub fn read_cell(fd: i32, index: u32) -> Option<NativeCell> {
    with_made(fd, index, |cell| {
        let reading = cell.read();
        NativeCell {
            now: number(sys::monotonic()),
            native_tick: number(reading.native_tick),
            loop_busy_since: number(reading.loop_busy_since),
            accepted: number(reading.accepted),
            connections: reading.connections,
            inflight: reading.inflight,
            state: name_of(reading.state).to_owned(),
            generation: reading.generation,
            pid: reading.pid,
        }
    })
}

/// Empties the cell of a worker that is gone, for one of `generation`. False when there is no such cell.
#[napi]
pub fn clear_cell(fd: i32, index: u32, generation: u32) -> bool {
    with_made(fd, index, |cell| cell.clear(generation)).is_some()
}

/// Moves this process into a cell, where a thread of its own shows ten times a second that it runs,
/// whatever its event loop does. The first call for a cell does that, also from within `listen`.
/// Throws `ERR_NATIVE`.
#[napi]
pub fn join_cell(gate: NativeGate) -> Result<(), Failure> {
    join(&gate).map(drop)
}

/// The gate of a cell, which this process joins if it has not yet.
pub(crate) fn gate_of(gate: &NativeGate) -> Result<Arc<dyn Gate>, Failure> {
    let memory = join(gate)?;
    let found = CellGate::new(memory, gate.index as usize, HOST);
    let found = found.ok_or_else(no_cell)?;
    Ok(Arc::new(if gate.is_alone() {
        found.alone()
    } else {
        found
    }))
}

fn join(gate: &NativeGate) -> Result<Shared, Failure> {
    let mut joined = lock(&JOINED);
    let known = joined
        .iter()
        .find(|known| known.fd == gate.fd && known.index == gate.index);
    if let Some(known) = known {
        return Ok(known.memory.clone());
    }
    let memory = CellMemory::adopt(gate.fd)
        .map_err(|error| refused("the worker cells cannot be used", &error))?;
    let memory = Shared(Arc::new(memory));
    let index = gate.index as usize;
    let cell = memory.as_ref().get(index).ok_or_else(no_cell)?;
    cell.join(std::process::id(), sys::monotonic());
    let ticking = memory.clone();
    thread::Builder::new()
        .name("gneiss-tick".to_owned())
        .stack_size(TICK_STACK)
        .spawn(move || tick(&ticking, index))
        .map_err(|error| refused("no thread can be started", &error))?;
    joined.push(Joined {
        fd: gate.fd,
        index: gate.index,
        memory: memory.clone(),
    });
    Ok(memory)
}

/// Ends with the process.
fn tick(memory: &Shared, index: usize) {
    while let Some(cell) = memory.as_ref().get(index) {
        cell.tick(sys::monotonic());
        thread::sleep(TICK);
    }
}

/// What the end of the master means for the cells of this process: nobody counts on it any more.
pub(crate) fn leave_cells() {
    for known in lock(&JOINED).iter() {
        if let Some(cell) = known.memory.as_ref().get(known.index as usize) {
            cell.leave();
        }
    }
}

fn with_made<R>(fd: i32, index: u32, work: impl FnOnce(&Cell) -> R) -> Option<R> {
    let made = lock(&MADE);
    let memory = made.iter().find(|memory| memory.descriptor() == fd)?;
    let cells: &[Cell] = (**memory).as_ref();
    cells.get(index as usize).map(work)
}

fn name_of(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Empty => "empty",
        WorkerState::Booting => "booting",
        WorkerState::Accepting => "accepting",
        WorkerState::Paused => "paused",
        WorkerState::Draining => "draining",
    }
}

fn refused(what: &str, error: &io::Error) -> Failure {
    native_failure(format!("{what}: {error}"))
}

fn no_cell() -> Failure {
    native_failure("there is no worker cell of that number")
}

/// What a panic of another holder has left is still a list of descriptors.
pub(crate) fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two signs of life.
const TICK: Duration = Duration::from_millis(100);
/// Bytes; the thread stores a number and sleeps.
const TICK_STACK: usize = 64 * 1024;
