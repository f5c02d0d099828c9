//! From an address that JavaScript names to a listener: bound, shared, reserved or inherited.

use std::io::ErrorKind;

use gneiss_core::Listener;

use crate::error::{Code, Failure};
use crate::options::{NativeBind, NativeConfig, Place};
use crate::workers;

/// One of the listeners of a server. Those of a worker that has them for itself wait for its application.
pub(crate) fn open_for(config: &NativeConfig, bind: &NativeBind) -> Result<Listener, Failure> {
    match (&config.gate, bind.fd) {
        (Some(gate), Some(fd)) if gate.is_alone() => workers::adopt_reserved(fd, config.backlog)
            .map_err(|error| refusal(&format!("cannot listen on file descriptor {fd}"), &error)),
        _ => open(bind, config.backlog),
    }
}

/// Binds and listens, or takes over a listener.
pub(crate) fn open(bind: &NativeBind, backlog: i32) -> Result<Listener, Failure> {
    match bind.place() {
        Some(Place::Bind(bind)) => Listener::bind(&bind, backlog)
            .map_err(|error| refusal(&format!("cannot listen on {bind}"), &error)),
        Some(Place::Share(bind)) => Listener::share(&bind, backlog)
            .map_err(|error| refusal(&format!("cannot listen on {bind}"), &error)),
        Some(Place::Adopt(fd)) => workers::adopt(fd)
            .map_err(|error| refusal(&format!("cannot listen on file descriptor {fd}"), &error)),
        None => Err(no_bind()),
    }
}

/// Binds and does not listen.
pub(crate) fn reserve(bind: &NativeBind) -> Result<Listener, Failure> {
    match bind.place() {
        Some(Place::Bind(bind) | Place::Share(bind)) => Listener::reserve(&bind)
            .map_err(|error| refusal(&format!("cannot listen on {bind}"), &error)),
        Some(Place::Adopt(fd)) => workers::reserve_beside(fd)
            .map_err(|error| refusal("another listener cannot be reserved", &error)),
        None => Err(no_bind()),
    }
}

fn no_bind() -> Failure {
    napi::Error::new(
        Code::Option,
        "bind needs one of host and port, path, fd".to_owned(),
    )
}

/// An address cannot be had, and what to do about it.
pub(crate) fn refusal(what: &str, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "; stop what listens there, or bind another address",
        ErrorKind::AddrNotAvailable => "; this machine has no such address",
        ErrorKind::PermissionDenied => "; it takes more privileges, or another address",
        _ => "",
    };
    napi::Error::new(Code::Bind, format!("{what}: {error}{advice}"))
}
