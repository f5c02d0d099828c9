//! What both drivers do with the socket of a connection.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use socket2::Socket;

use crate::fail;
use crate::table::Table;

/// Offers what a connection has to send to the kernel, once. Returns whether any of it has left.
///
/// `is_blocked` says that the kernel has taken less than it was offered: nothing is offered before the caller
/// takes it back, which it does when the socket has room.
pub fn send(table: &mut Table, key: u32, socket: &Socket, is_blocked: &mut bool) -> bool {
    let output = table.output(key);
    if output.is_empty() || *is_blocked {
        return false;
    }
    loop {
        let sent = if fail::strikes("send") {
            Err(ErrorKind::OutOfMemory.into())
        } else {
            // A peer that has left is an error to count, and no signal that ends the process.
            socket.send_with_flags(output, libc::MSG_NOSIGNAL)
        };
        match sent {
            Ok(count) => {
                *is_blocked = count < output.len();
                table.wrote(key, count);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *is_blocked = true;
                return false;
            }
            Err(_) => {
                table.on_error(key);
                return false;
            }
        }
    }
}

/// Ends our side of a connection and begins to wait for the peer's. Returns whether that was possible; it is not
/// when the peer has reset.
pub fn finish(table: &mut Table, key: u32, socket: &Socket) -> bool {
    let is_finished = socket.shutdown(Shutdown::Write).is_ok();
    if is_finished {
        table.linger(key);
    }
    is_finished
}

/// Has the close of a socket reset its connection, so that the peer takes what it has got for cut short.
pub fn reset_on_close(socket: &Socket) {
    // A failure leaves an ordinary close, which is the best that is left.
    let _ = socket.set_linger(Some(Duration::ZERO));
}
