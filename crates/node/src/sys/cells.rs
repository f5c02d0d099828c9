//! Memory that a master shares with its workers, and what a worker asks of the machine.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use gneiss_core::Cell;

use super::borrowed;

/// Cells in a mapping of shared memory. Dropping it unmaps them and closes its own descriptor.
#[derive(Debug)]
pub(crate) struct CellMemory {
    /// Written once; an atomic pointer because a plain one may not change threads.
    start: AtomicPtr<c_void>,
    count: usize,
    file: File,
}

impl CellMemory {
    /// Memory for `count` empty cells, without a name in any file system.
    ///
    /// # Errors
    /// The operating system's: no descriptor, no memory.
    pub(crate) fn create(count: usize) -> io::Result<Self> {
        let file = File::from(unnamed_file()?);
        file.set_len(count.saturating_mul(size_of::<Cell>()) as u64)?;
        seal(&file)?;
        Self::map(file)
    }

    /// The memory behind a descriptor that the parent has handed down; the descriptor stays open.
    ///
    /// # Errors
    /// The descriptor is not open, or is no memory of cells.
    pub(crate) fn adopt(descriptor: i32) -> io::Result<Self> {
        Self::map(File::from(borrowed(descriptor)?.try_clone_to_owned()?))
    }

    /// The descriptor to hand down.
    pub(crate) fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
    }

    fn map(file: File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let count = length.checked_div(size_of::<Cell>()).unwrap_or(0);
        if count == 0 || count.saturating_mul(size_of::<Cell>()) != length {
            let reason = "the descriptor holds no memory of worker cells";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping of an open file, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: AtomicPtr::new(start),
            count,
            file,
        })
    }
}

impl AsRef<[Cell]> for CellMemory {
    fn as_ref(&self) -> &[Cell] {
        let start = self.start.load(Ordering::Relaxed).cast::<Cell>();
        // SAFETY: the mapping holds `count` cells, page-aligned, and lives as long as `self`. A cell is
        // made of atomics and valid with any content, so other processes may write to it meanwhile.
        // The file cannot shrink: it is sealed where that exists, and has no name elsewhere.
        unsafe { std::slice::from_raw_parts(start, self.count) }
    }
}

impl Drop for CellMemory {
    fn drop(&mut self) {
        let length = self.count.saturating_mul(size_of::<Cell>());
        // SAFETY: mapped by `map` with this length, and nothing borrows from `self` any more.
        unsafe { libc::munmap(self.start.load(Ordering::Relaxed), length) };
    }
}

/// Milliseconds of the machine's monotonic clock: all processes read the same.
pub(crate) fn monotonic() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is live and writable.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let part = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(part)
}

/// Whether a process exists. One of another user does.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else {
        return false;
    };
    if pid == 0 {
        return false;
    }
    // SAFETY: signal 0 is not delivered; the call only looks.
    let status = unsafe { libc::kill(pid, 0) };
    status == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn unnamed_file() -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a NUL-terminated string.
    let descriptor = unsafe { libc::memfd_create(c"gneiss-cells".as_ptr(), flags) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A file of which the name is gone before anybody else could have opened it.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unnamed_file() -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::atomic::AtomicU32;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!(
        "gneiss-cells-{}-{number}-{}",
        std::process::id(),
        monotonic()
    );
    let path = std::env::temp_dir().join(name);
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

/// Nobody can change the size any more: touching cells that a shrunk file has lost would be fatal.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: plain flags on an open descriptor.
    let status = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::unnecessary_wraps, reason = "sealing fails where it exists")]
fn seal(_file: &File) -> io::Result<()> {
    Ok(())
}
