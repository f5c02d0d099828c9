//! Listeners that share a port (`SO_REUSEPORT`): the kernel gives each of them a part of the connections.
//!
//! One that is bound and does not listen holds its place and gets nothing. So who may bind a port can do
//! that for another process, which listens when it is ready.

use std::io;

use socket2::{Socket, Type};

use super::{Bind, Endpoint, Listener, first_of};

impl Listener {
    /// Binds beside others that share the port, and does not listen.
    ///
    /// # Errors
    /// The operating system's, also when somebody has the port who does not share it; and there is no such
    /// thing for Unix sockets.
    pub fn reserve(bind: &Bind) -> io::Result<Self> {
        match bind {
            Bind::Tcp(host, port) => {
                first_of(host, *port, |address| Self::bind_address(address, true))
            }
            Bind::Unix(_) => Err(no_port()),
        }
    }

    /// Binds at the same address as this one, and does not listen.
    ///
    /// # Errors
    /// Those of `reserve`.
    pub fn reserve_beside(&self) -> io::Result<Self> {
        match self.address {
            Endpoint::Tcp(address) => Self::bind_address(address, true),
            Endpoint::Unix(_) => Err(no_port()),
        }
    }

    /// Binds beside others that share the port, and listens.
    ///
    /// # Errors
    /// Those of `reserve`.
    pub fn share(bind: &Bind, backlog: i32) -> io::Result<Self> {
        let mut reserved = Self::reserve(bind)?;
        reserved.backlog = Some(backlog);
        reserved.listen()?;
        Ok(reserved)
    }

    /// Takes over a socket that another process has reserved; `listen` has it listen.
    ///
    /// # Errors
    /// The descriptor is no stream socket that shares its port, or it listens.
    pub fn adopt_reserved(socket: Socket, backlog: i32) -> io::Result<Self> {
        if socket.r#type()? != Type::STREAM || !socket.reuse_port()? || socket.is_listener()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a reserved stream socket",
            ));
        }
        Self::adopt_bound(socket, Some(backlog))
    }

    /// Whether it waits for `listen`.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.backlog.is_some() && !self.socket.is_listener().unwrap_or(false)
    }

    /// Has one that was reserved listen; nothing happens to any other.
    ///
    /// # Errors
    /// Somebody who does not share the port listens there meanwhile.
    pub fn listen(&self) -> io::Result<()> {
        let Some(backlog) = self.backlog else {
            return Ok(());
        };
        self.socket
            .listen(backlog)
            .map_err(|error| match &self.address {
                Endpoint::Tcp(address) => {
                    io::Error::new(error.kind(), format!("{address}: {error}"))
                }
                Endpoint::Unix(_) => error,
            })
    }
}

fn no_port() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a Unix socket has no port to share",
    )
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpStream};

    use super::*;

    fn local(port: u16) -> Bind {
        Bind::Tcp("127.0.0.1".into(), port)
    }

    fn address_of(listener: &Listener) -> SocketAddr {
        let Endpoint::Tcp(address) = listener.address() else {
            panic!("a TCP address")
        };
        *address
    }

    #[test]
    fn a_reserved_port_refuses_until_somebody_listens_and_gives_nothing_to_who_does_not() {
        let anchor = Listener::reserve(&local(0)).unwrap();
        let address = address_of(&anchor);
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let lent = anchor.reserve_beside().unwrap();
        let own = Listener::adopt_reserved(lent.socket().try_clone().unwrap(), 16).unwrap();
        // Who lends it keeps no copy: that would listen as well.
        drop(lent);
        assert!(own.is_reserved());
        own.listen().unwrap();
        assert!(!own.is_reserved());
        // Half of them would be the anchor's if it counted.
        for _ in 0..16 {
            let _client = TcpStream::connect(address).unwrap();
            assert!(own.socket().accept().is_ok());
        }
        drop(own);
        let refused = TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn each_of_those_that_share_a_port_gets_connections() {
        let first = Listener::share(&local(0), 128).unwrap();
        let second = Listener::share(&local(address_of(&first).port()), 128).unwrap();
        let clients: Vec<TcpStream> = (0..64)
            .map(|_| TcpStream::connect(address_of(&first)).unwrap())
            .collect();
        let count =
            |listener: &Listener| std::iter::from_fn(|| listener.socket().accept().ok()).count();
        let (first, second) = (count(&first), count(&second));
        assert_eq!(first + second, clients.len());
        assert!(first > 0 && second > 0, "{first} and {second}");
    }

    #[test]
    fn a_port_of_somebody_who_does_not_share_it_is_in_use() {
        let other = Listener::bind(&local(0), 16).unwrap();
        let error = Listener::reserve(&local(address_of(&other).port())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let own = Listener::share(&local(0), 16).unwrap();
        let error = Listener::bind(&local(address_of(&own).port()), 16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn what_is_not_reserved_is_not_adopted() {
        let plain = Listener::bind(&local(0), 16).unwrap();
        let shared = Listener::share(&local(0), 16).unwrap();
        for listener in [plain, shared] {
            let copy = listener.socket().try_clone().unwrap();
            assert!(Listener::adopt_reserved(copy, 16).is_err());
        }
        assert!(Listener::reserve(&Bind::Unix("/tmp/a.sock".into())).is_err());
    }
}
