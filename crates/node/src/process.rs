//! What a master and its workers are to the machine: a lifeline, a locked file, orphans, a service manager.

#![allow(
    clippy::needless_pass_by_value,
    reason = "napi converts every argument into a value of its own"
)]
#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use napi_derive::napi;
use socket2::Socket;

use crate::error::{Failure, native_failure};
use crate::options::whole;
use crate::sys::process::{ended_child, exit_now, reap, try_lock};
use crate::{sys, workers};

/// Exit code of a worker whose master is gone.
const ORPHANED: i32 = 6;

/// Bytes; the thread waits, sleeps and ends the process.
const LIFELINE_STACK: usize = 64 * 1024;

/// Files that this process has locked, by their path.
static LOCKED: Mutex<Vec<(PathBuf, File)>> = Mutex::new(Vec::new());

/// Watches the end of a pipe whose other end only the master has. When the master is gone, whatever the
/// event loop does: this process accepts nothing more, and ends with 6 after `grace` milliseconds at the
/// latest. Throws `ERR_NATIVE`.
#[napi]
pub fn watch_lifeline(fd: i32, grace: f64) -> Result<(), Failure> {
    let socket = sys::adopt_descriptor(fd)
        .ok_or_else(|| native_failure(format!("the lifeline, descriptor {fd}, is not open")))?;
    let refusal =
        |error: io::Error| native_failure(format!("the lifeline cannot be watched: {error}"));
    socket.set_cloexec(true).map_err(refusal)?;
    socket.set_nonblocking(false).map_err(refusal)?;
    let grace = Duration::from_millis(whole(grace));
    thread::Builder::new()
        .name("gneiss-lifeline".to_owned())
        .stack_size(LIFELINE_STACK)
        .spawn(move || hold(&socket, grace))
        .map_err(refusal)?;
    Ok(())
}

/// Writes the number of this process into a file and locks that for as long as the process lives. False
/// when another process has it locked; a file that a dead one has left is taken over. Throws `ERR_NATIVE`.
#[napi]
pub fn lock_pidfile(path: String) -> Result<bool, Failure> {
    let path = PathBuf::from(path);
    let refusal = |error: io::Error| {
        native_failure(format!(
            "the pid file {} cannot be written: {error}",
            path.display()
        ))
    };
    let Some(mut file) = locked(&path).map_err(refusal)? else {
        return Ok(false);
    };
    file.set_len(0).map_err(refusal)?;
    file.seek(SeekFrom::Start(0)).map_err(refusal)?;
    writeln!(file, "{}", std::process::id()).map_err(refusal)?;
    workers::lock(&LOCKED).push((path, file));
    Ok(true)
}

/// Removes a pid file of this process and gives its lock up. False for an unknown one.
#[napi]
pub fn release_pidfile(path: String) -> bool {
    let path = PathBuf::from(path);
    let mut all = workers::lock(&LOCKED);
    let Some(place) = all.iter().position(|(known, _)| *known == path) else {
        return false;
    };
    let (path, file) = all.swap_remove(place);
    // Removed while it is locked, so that nobody locks a file that is about to go.
    if is_at(&file, &path) {
        let _ = std::fs::remove_file(&path);
    }
    true
}

/// Sends a datagram to the service manager: `path` is a socket file, or an abstract name behind an `@`.
/// False when nobody took it.
#[napi]
pub fn notify_service(path: String, text: String) -> bool {
    send(&path, text.as_bytes()).is_ok()
}

/// Takes note of children that have ended and are not among `known`: those that a process with number 1
/// inherits. Returns how many it was. It stops at the first known one, whose owner will reap it.
#[napi]
pub fn reap_orphans(known: Vec<i32>) -> u32 {
    let mut count = 0_u32;
    while let Some(pid) = ended_child() {
        if known.contains(&pid) || !reap(pid) {
            break;
        }
        count = count.saturating_add(1);
    }
    count
}

fn hold(mut socket: &Socket, grace: Duration) {
    let mut bytes = [0_u8; 16];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    workers::leave_cells();
    thread::sleep(grace);
    exit_now(ORPHANED);
}

/// The file, locked. `None` when somebody else has it.
fn locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(path)?;
        if !try_lock(&file)? {
            return Ok(None);
        }
        // Its owner may have removed it while we waited to be first.
        if is_at(&file, path) {
            return Ok(Some(file));
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(found)) => ours.dev() == found.dev() && ours.ino() == found.ino(),
        _ => false,
    }
}

fn send(path: &str, bytes: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    if let Some(name) = path.strip_prefix('@') {
        return send_abstract(&socket, name, bytes);
    }
    socket.send_to(bytes, path)?;
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_abstract(socket: &UnixDatagram, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    socket.send_to_addr(bytes, &address)?;
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_abstract(_socket: &UnixDatagram, _name: &str, _bytes: &[u8]) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
