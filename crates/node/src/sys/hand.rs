//! Descriptors that go from one process to another through a socket between them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Most descriptors that go at a time; some systems take no more than a few hundred.
const MOST: usize = 64;

/// A descriptor by its number, for one call: one that is not open makes that fail.
pub(crate) fn borrowed<'a>(descriptor: RawFd) -> io::Result<BorrowedFd<'a>> {
    if descriptor < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: it is not -1, and what is done with a number that is not open fails and touches nothing.
    Ok(unsafe { BorrowedFd::borrow_raw(descriptor) })
}

/// Sends copies of descriptors, with a byte that carries them.
///
/// # Errors
/// There are more than `MOST`, one is not open, or the other end is gone.
pub(crate) fn send_descriptors(socket: impl AsFd, descriptors: &[RawFd]) -> io::Result<()> {
    let descriptors = descriptors
        .iter()
        .map(|descriptor| borrowed(*descriptor))
        .collect::<io::Result<Vec<_>>>()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !rights.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let carrier = [IoSlice::new(&[0])];
    sendmsg(socket, &carrier, &mut rights, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes the descriptors that were sent, in their order; none of them goes on to a child. Does not wait.
///
/// # Errors
/// Nothing is there.
pub(crate) fn receive_descriptors(socket: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut carrier = [0];
    let flags = RecvFlags::DONTWAIT.union(RecvFlags::CMSG_CLOEXEC);
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut carrier)],
        &mut rights,
        flags,
    )?;
    let mut received = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    if received.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(received)
}
