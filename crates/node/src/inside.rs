//! A connection that the process has with its own server: no other worker can take it.

#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use napi::Env;
use napi_derive::napi;
use socket2::Socket;

use crate::dispatch::threaded;
use crate::error::{Failure, native_failure};
use crate::server::{key, state_of};

/// Connects this process with its server, past the listeners: also before `open_server`. Returns the
/// descriptor of the client's end, which is the caller's to close. Throws `ERR_NATIVE`.
#[napi]
pub fn connect_inside(env: Env, server: u32) -> Result<i32, Failure> {
    let state = state_of(env)?;
    let refusal = |error| native_failure(format!("no connection with itself: {error}"));
    let (client, socket) = UnixStream::pair().map_err(refusal)?;
    // Whoever polls it for the server or for JavaScript makes that end non-blocking.
    let socket = Socket::from(OwnedFd::from(socket));
    let server = key(server);
    let is_in = match threaded(server) {
        Some(server) => state.with_threads(|threads| threads.invite(server, socket)),
        None => state.with_driver(|driver| driver.invite(state, server, socket)),
    };
    if is_in == Some(true) {
        return Ok(client.into_raw_fd());
    }
    Err(native_failure("the server takes no connection any more"))
}
