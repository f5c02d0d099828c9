//! Where stdout and stderr of this process lead, and where they led before `captureOutput`.

#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Mutex;

use napi_derive::napi;

use crate::error::{Failure, native_failure};
use crate::sys::process::replace_descriptor;
use crate::workers::lock;

/// Two descriptors.
#[napi(object)]
pub struct NativeOutput {
    /// Leads where stdout led.
    pub stdout: i32,
    /// Leads where stderr led.
    pub stderr: i32,
}

/// What stdout and stderr led to: two of them, or none while nothing has changed.
static KEPT: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// Keeps what stdout and stderr lead to, under two descriptors that children do not inherit and that
/// live until `restore_output`. Another call returns the same two. Throws `ERR_NATIVE`.
#[napi]
pub fn keep_output() -> Result<NativeOutput, Failure> {
    let mut kept = lock(&KEPT);
    if kept.is_empty() {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = stdout.map_err(|error| refused(&error))?;
        let stderr = io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|error| refused(&error))?;
        kept.extend([stdout, stderr]);
    }
    let number = |place: usize| kept.get(place).map_or(-1, AsRawFd::as_raw_fd);
    Ok(NativeOutput {
        stdout: number(0),
        stderr: number(1),
    })
}

/// Has stdout and stderr lead where these two descriptors lead, for everybody who writes to them: also
/// for native code, and for children that inherit them. Throws `ERR_NATIVE`.
#[napi]
pub fn point_output(stdout: i32, stderr: i32) -> Result<(), Failure> {
    replace_descriptor(stdout, STDOUT).map_err(|error| refused(&error))?;
    replace_descriptor(stderr, STDERR).map_err(|error| refused(&error))
}

/// Has stdout and stderr lead where they led before. Nothing happens when they still do. Throws `ERR_NATIVE`.
#[napi]
pub fn restore_output() -> Result<(), Failure> {
    let kept = std::mem::take(&mut *lock(&KEPT));
    let [stdout, stderr] = kept.as_slice() else {
        return Ok(());
    };
    point_output(stdout.as_raw_fd(), stderr.as_raw_fd())
}

/// The stdout that the process was started with: what the server itself writes is not the application's.
pub(crate) fn stdout() -> io::Result<File> {
    let kept = lock(&KEPT);
    let owned = match kept.first() {
        Some(stdout) => stdout.try_clone(),
        None => io::stdout().as_fd().try_clone_to_owned(),
    };
    owned.map(File::from)
}

fn refused(error: &io::Error) -> Failure {
    native_failure(format!("stdout and stderr cannot be redirected: {error}"))
}
