//! Where servers listen and who connects: binding, and addresses as text.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

mod reserved;

/// What to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Name or literal address, and a port; 0 for any free one.
    Tcp(String, u16),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Bind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(formatter, "{host}:{port}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// A bound, non-blocking socket that listens, or will. Dropping it closes it and removes its socket file.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Endpoint,
    file: Option<SocketFile>,
    /// What it will listen with; none for one that listens already, or never.
    backlog: Option<i32>,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Address and port.
    Tcp(SocketAddr),
    /// Path of a Unix socket; empty for an unnamed one.
    Unix(PathBuf),
}

/// The file of a Unix socket, known by device and inode so that nobody else's is removed.
/// Dropping it removes the file.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if is_ours {
            // Nothing can be done about a failure, and the next start copes with a stale file.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// The operating system's: in use, not permitted, no such name.
    pub fn bind(bind: &Bind, backlog: i32) -> io::Result<Self> {
        match bind {
            Bind::Tcp(host, port) => first_of(host, *port, |address| {
                let bound = Self::bind_address(address, false)?;
                bound.socket.listen(backlog)?;
                Ok(bound)
            }),
            Bind::Unix(path) => Self::bind_unix(path, backlog),
        }
    }

    /// Takes over a socket that somebody else has bound, such as a parent process.
    ///
    /// # Errors
    /// The descriptor is no listening stream socket.
    pub fn adopt(socket: Socket) -> io::Result<Self> {
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a listening stream socket",
            ));
        }
        Self::adopt_bound(socket, None)
    }

    /// The socket, to accept from.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Closes it. The file of a Unix socket stays until what is returned is dropped: clients find it
    /// while another process that has the socket still answers.
    #[must_use]
    pub fn close(self) -> Option<SocketFile> {
        self.file
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Endpoint {
        &self.address
    }

    /// What each head of a connection from `peer` begins with.
    #[must_use]
    pub fn pseudo_head(&self, connection: &Socket, peer: &SockAddr) -> Box<[u8]> {
        let local = match &self.address {
            // Only a wildcard listener has to ask which of its addresses was meant.
            Endpoint::Tcp(address) if address.ip().is_unspecified() => connection
                .local_addr()
                .map_or_else(|_| self.address.clone(), |found| Endpoint::from(&found)),
            address => address.clone(),
        };
        write_pseudo_head(&Endpoint::from(peer), &local)
    }

    /// The same for a connection that the process has with itself: from this machine, and from port 0,
    /// which no other peer has.
    #[must_use]
    pub fn pseudo_head_inside(&self) -> Box<[u8]> {
        let local = match &self.address {
            Endpoint::Tcp(address) if address.ip().is_unspecified() => {
                Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())))
            }
            address => address.clone(),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        write_pseudo_head(&Endpoint::Tcp(peer), &local)
    }

    fn adopt_bound(socket: Socket, backlog: Option<i32>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        bound_unsent(&socket);
        let address = Endpoint::from(&socket.local_addr()?);
        Ok(Self {
            socket,
            address,
            file: None,
            backlog,
        })
    }

    /// Binds and does not listen.
    fn bind_address(address: SocketAddr, shares_port: bool) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for old connections in TIME_WAIT. SO_REUSEPORT stays off unless
        // somebody asks for it: it would hide a port that is in use.
        socket.set_reuse_address(true)?;
        if shares_port {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        bound_unsent(&socket);
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        let address = Endpoint::from(&socket.local_addr()?);
        Ok(Self {
            socket,
            address,
            file: None,
            backlog: None,
        })
    }

    fn bind_unix(path: &Path, backlog: i32) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let address = SockAddr::unix(path)?;
        if let Err(error) = socket.bind(&address) {
            if std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
                let reason =
                    "a file that is no socket is in the way; remove it or choose another path";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
            }
            if error.kind() != io::ErrorKind::AddrInUse || !is_stale(path, &address) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            socket.bind(&address)?;
        }
        let found = std::fs::symlink_metadata(path)?;
        let file = SocketFile {
            path: path.to_path_buf(),
            device: found.dev(),
            inode: found.ino(),
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            address: Endpoint::Unix(path.to_path_buf()),
            file: Some(file),
            backlog: None,
        })
    }
}

fn write_pseudo_head(peer: &Endpoint, local: &Endpoint) -> Box<[u8]> {
    let mut text = Vec::with_capacity(64);
    peer.write_pseudo(&mut text, b"\n@peer:");
    local.write_pseudo(&mut text, b"\n@local:");
    text.into_boxed_slice()
}

impl Endpoint {
    fn write_pseudo(&self, text: &mut Vec<u8>, name: &[u8]) {
        text.extend_from_slice(name);
        match self {
            Self::Tcp(address) => {
                // A dual-stack listener sees IPv4 peers as mapped addresses; people know the plain one.
                let ip = match address.ip() {
                    IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
                    v4 @ IpAddr::V4(_) => v4,
                };
                text.extend_from_slice(format!("{ip} {}", address.port()).as_bytes());
            }
            Self::Unix(path) => {
                text.extend_from_slice(b"unix:");
                // The head is a sequence of lines, so a line feed in a path cannot be kept.
                text.extend(
                    path.as_os_str()
                        .as_encoded_bytes()
                        .iter()
                        .map(|&byte| if byte == b'\n' { b'?' } else { byte }),
                );
            }
        }
    }
}

impl From<&SockAddr> for Endpoint {
    fn from(address: &SockAddr) -> Self {
        address.as_socket().map_or_else(
            || {
                Self::Unix(
                    address
                        .as_pathname()
                        .map(Path::to_path_buf)
                        .unwrap_or_default(),
                )
            },
            Self::Tcp,
        )
    }
}

/// What the first address of a name gives that can be had.
fn first_of(
    host: &str,
    port: u16,
    open: impl Fn(SocketAddr) -> io::Result<Listener>,
) -> io::Result<Listener> {
    let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match open(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// Has the kernel keep little that it cannot send yet, for each connection that is accepted here.
///
/// It would take 1.7 MB for a client on the same machine that reads nothing, whatever our own buffer is, and a
/// thousand of those use up the memory that the machine has for all of its connections. What is on its way to a
/// client that reads does not count, so that nobody becomes slower.
fn bound_unsent(socket: &Socket) {
    // Connections inherit it. Unix sockets know no such thing, and without it only memory is lost.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}

/// Bytes that wait in the kernel and were never sent.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 * 1024;

/// A socket file that nobody answers at was left behind by a process that died.
fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket
        && Socket::new(Domain::UNIX, Type::STREAM, None)
            .and_then(|probe| probe.connect(address))
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error() {
        let first = Listener::bind(&Bind::Tcp("127.0.0.1".into(), 0), 16).unwrap();
        let Endpoint::Tcp(address) = first.address() else {
            panic!("a TCP address")
        };
        let error = Listener::bind(&Bind::Tcp("127.0.0.1".into(), address.port()), 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let folder = std::env::temp_dir().join(format!("gneiss-address-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.sock");
        let stale = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        stale.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        drop(stale);
        let live = Listener::bind(&Bind::Unix(path.clone()), 16).unwrap();
        assert!(Listener::bind(&Bind::Unix(path.clone()), 16).is_err());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        drop(live);
        assert!(!path.exists());
        std::fs::write(&path, b"a file of somebody else").unwrap();
        let error = Listener::bind(&Bind::Unix(path.clone()), 16).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn connections_inherit_how_little_the_kernel_keeps_for_a_peer_that_does_not_read() {
        let bound = Listener::bind(&Bind::Tcp("127.0.0.1".into(), 0), 16).unwrap();
        let given = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        given.bind(&any.into()).unwrap();
        given.listen(16).unwrap();
        for listener in [bound, Listener::adopt(given).unwrap()] {
            let Endpoint::Tcp(address) = listener.address() else {
                panic!("a TCP address")
            };
            let mut peer = std::net::TcpStream::connect(address).unwrap();
            listener.socket().set_nonblocking(false).unwrap();
            let (socket, _) = listener.socket().accept().unwrap();
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
            // It reads nothing, and the kernel of this machine would take megabytes for it.
            socket2::SockRef::from(&peer)
                .set_recv_buffer_size(1_024)
                .unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut taken = 0;
            while let Ok(count) = socket.send(&[b'x'; 16 * 1024]) {
                taken += count;
            }
            assert!(taken < 512 * 1024, "{taken}");
            std::io::Write::flush(&mut peer).unwrap();
        }
    }

    #[test]
    fn a_connection_from_inside_is_a_client_on_this_machine_with_a_port_that_no_other_has() {
        for host in ["127.0.0.1", "0.0.0.0"] {
            let listener = Listener::bind(&Bind::Tcp(host.into(), 0), 16).unwrap();
            let Endpoint::Tcp(address) = listener.address() else {
                panic!("a TCP address")
            };
            let head = format!("\n@peer:127.0.0.1 0\n@local:127.0.0.1 {}", address.port());
            assert_eq!(*listener.pseudo_head_inside(), *head.as_bytes());
        }
    }

    #[test]
    fn pseudo_fields_name_both_ends() {
        let mut text = Vec::new();
        Endpoint::Tcp("[::ffff:192.0.2.1]:80".parse().unwrap())
            .write_pseudo(&mut text, b"\n@peer:");
        Endpoint::Unix("/tmp/a\nb".into()).write_pseudo(&mut text, b"\n@local:");
        assert_eq!(text, b"\n@peer:192.0.2.1 80\n@local:unix:/tmp/a?b");
    }
}
