//! What a process asks of the operating system about itself and its children.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

/// Ends the process without running anything of it: for threads that cannot wait for the others.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing of it runs after this, so nothing can be left inconsistent.
    unsafe { libc::_exit(code) }
}

/// Locks a file for this process without waiting. False when somebody else has it.
///
/// # Errors
/// The file system knows no locks.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: plain flags on an open descriptor.
    let status = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if status == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock {
        return Ok(false);
    }
    Err(error)
}

/// Has descriptor `to` lead where `from` leads, in one step; what it led to before is closed. Children
/// inherit it.
///
/// # Errors
/// `from` is not open.
pub(crate) fn replace_descriptor(from: i32, to: i32) -> io::Result<()> {
    loop {
        // SAFETY: two plain numbers. Nobody owns `to`, which is stdout or stderr, so that no owner can
        // find another file under it than the process is meant to have there.
        let status = unsafe { libc::dup2(from, to) };
        if status >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// A child that has ended and was not reaped. It stays so.
pub(crate) fn ended_child() -> Option<i32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is live and writable, and as large as the call expects.
    let status = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
    if status != 0 {
        return None;
    }
    // SAFETY: all zeroes is a valid value of the type, and the call has written at most over that.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the fields of a child that has ended; without one the zero stays.
    let pid = unsafe { info.si_pid() };
    (pid > 0).then_some(pid)
}

/// Takes note of one child that has ended. False when it has not.
pub(crate) fn reap(pid: i32) -> bool {
    // SAFETY: a null status is allowed; the number is that of one child, never of a group.
    let found = unsafe { libc::waitpid(pid, null_mut(), libc::WNOHANG) };
    found > 0
}
