//! Configuration from JavaScript: plain objects in, the engine's types out.

#![expect(
    unreachable_pub,
    reason = "napi generates exports from public items; the crate has no Rust users"
)]

use std::path::PathBuf;
use std::sync::Arc;

use gneiss_core::{
    AccessLog, Bind, BodyRoute, Counters, Endpoint, FORWARDED_ALLOW_IPS, Line, ServerConfig,
    TrustedPeers,
};
use napi_derive::napi;

/// One address to listen on. Exactly one of `host` (with `port`), `path` and `fd` is set.
#[napi(object)]
pub struct NativeBind {
    /// Name or literal address.
    pub host: Option<String>,
    /// TCP port, 0 for any free one.
    pub port: Option<u16>,
    /// Path of a Unix socket.
    pub path: Option<String>,
    /// Listening socket inherited from the parent.
    pub fd: Option<i32>,
    /// Others may listen there as well, and each gets a part of the connections; with `host`.
    pub reuse_port: Option<bool>,
}

/// The cell of a worker in memory that its master has made.
#[napi(object)]
pub struct NativeGate {
    /// Descriptor of the memory, inherited from the master.
    pub fd: i32,
    /// Number of the worker's cell.
    pub index: u32,
    /// The listeners are this worker's alone: reserved by its master, and listening from `open_server` on.
    pub owns_listeners: Option<bool>,
}

impl NativeGate {
    /// Whether the worker shares its listeners with nobody.
    pub(crate) fn is_alone(&self) -> bool {
        self.owns_listeners == Some(true)
    }
}

/// What a `NativeBind` asks for.
pub(crate) enum Place {
    Adopt(i32),
    Bind(Bind),
    Share(Bind),
}

impl NativeBind {
    /// The place meant; `None` if it is not exactly one.
    pub(crate) fn place(&self) -> Option<Place> {
        match (&self.host, &self.path, self.fd) {
            (Some(host), None, None) => {
                let bind = Bind::Tcp(host.clone(), self.port?);
                Some(if self.reuse_port == Some(true) {
                    Place::Share(bind)
                } else {
                    Place::Bind(bind)
                })
            }
            (None, Some(path), None) => Some(Place::Bind(Bind::Unix(PathBuf::from(path)))),
            (None, None, Some(fd)) => Some(Place::Adopt(fd)),
            _ => None,
        }
    }
}

/// A path whose requests may have other bodies than the rest.
#[napi(object)]
pub struct NativeBodyRoute {
    /// The path, percent-decoded.
    pub path: String,
    /// Bytes of a body.
    pub limit: f64,
}

impl From<&NativeBodyRoute> for BodyRoute {
    fn from(route: &NativeBodyRoute) -> Self {
        Self {
            path: route.path.clone().into_bytes(),
            limit: whole(route.limit),
        }
    }
}

/// A finished, valid server configuration. Sizes are bytes, times milliseconds, 0 turns a deadline off.
#[napi(object)]
pub struct NativeConfig {
    /// Where to listen.
    pub bind: Vec<NativeBind>,
    /// Listen backlog.
    pub backlog: i32,
    /// Largest request head.
    pub limit_request_head: u32,
    /// Longest request line.
    pub limit_request_line: u32,
    /// Largest header field.
    pub limit_request_field_size: u32,
    /// Most header fields.
    pub limit_request_fields: u32,
    /// Largest trailers.
    pub limit_trailers: u32,
    /// Most trailer fields.
    pub limit_trailer_fields: u32,
    /// Largest request body.
    pub max_body: f64,
    /// Paths with another limit.
    pub max_body_routes: Vec<NativeBodyRoute>,
    /// Response bytes buffered per connection.
    pub stream_buffer: u32,
    /// Request bytes held ahead of the application.
    pub body_read_ahead: u32,
    /// Most requests that wait for JavaScript; 0 for any number.
    pub max_queue: u32,
    /// Longest wait for JavaScript.
    pub max_queue_wait: f64,
    /// Paths that are never turned away.
    pub shed_exempt: Vec<String>,
    /// Path of the server's own probe, which is never turned away; none unless given.
    pub health_probe: Option<String>,
    /// Most open connections.
    pub worker_connections: u32,
    /// Accepted and silent.
    pub first_byte_timeout: f64,
    /// Whole head.
    pub head_timeout: f64,
    /// Silence in a body.
    pub body_idle_timeout: f64,
    /// Bytes a second after 10 s of body.
    pub body_min_rate: f64,
    /// Head read to response head given.
    pub request_timeout: f64,
    /// Silence of the application in a response.
    pub response_idle_timeout: f64,
    /// Silence of a peer that should read.
    pub write_timeout: f64,
    /// Idle between requests.
    pub keep_alive: f64,
    /// Age from which a connection is not kept.
    pub keep_alive_max_age: f64,
    /// Serve peers that closed their sending side.
    pub allow_half_open: bool,
    /// Peers whose forwarding fields count: IP, CIDR, `unix`, `*`.
    pub forwarded_allow_ips: Vec<String>,
    /// Value of the `server` field; empty for none.
    pub server_header: String,
    /// `auto`, `loop` or `thread`.
    pub runtime_mode: String,
    /// I/O threads of the threaded driver.
    pub runtime_threads: u32,
    /// File of the access log, or `-`.
    pub access_log: Option<String>,
    /// What a line of it says.
    pub access_log_format: String,
    /// Shares the listeners with other workers: accepts from `open_server` on, and only when it is its turn.
    pub gate: Option<NativeGate>,
}

impl NativeConfig {
    /// The engine's own defaults: whoever documents others has drifted.
    pub(crate) fn defaults() -> Self {
        let core = ServerConfig::default();
        Self {
            bind: Vec::new(),
            backlog: 0,
            limit_request_head: size(core.limit_request_head),
            limit_request_line: size(core.limit_request_line),
            limit_request_field_size: size(core.limit_request_field_size),
            limit_request_fields: size(core.limit_request_fields),
            limit_trailers: size(core.limit_trailers),
            limit_trailer_fields: size(core.limit_trailer_fields),
            max_body: number(core.max_body),
            max_body_routes: Vec::new(),
            stream_buffer: size(core.stream_buffer),
            body_read_ahead: size(core.body_read_ahead),
            max_queue: size(core.max_queue),
            max_queue_wait: number(core.max_queue_wait),
            shed_exempt: Vec::new(),
            health_probe: None,
            worker_connections: size(core.worker_connections),
            first_byte_timeout: number(core.first_byte_timeout),
            head_timeout: number(core.head_timeout),
            body_idle_timeout: number(core.body_idle_timeout),
            body_min_rate: number(core.body_min_rate),
            request_timeout: number(core.request_timeout),
            response_idle_timeout: number(core.response_idle_timeout),
            write_timeout: number(core.write_timeout),
            keep_alive: number(core.keep_alive),
            keep_alive_max_age: number(core.keep_alive_max_age),
            allow_half_open: core.allow_half_open,
            forwarded_allow_ips: FORWARDED_ALLOW_IPS.map(str::to_owned).to_vec(),
            server_header: String::from_utf8_lossy(&core.server_header).into_owned(),
            runtime_mode: "auto".to_owned(),
            runtime_threads: 1,
            access_log: None,
            access_log_format: "combined".to_owned(),
            gate: None,
        }
    }

    /// The engine's configuration.
    pub(crate) fn to_core(&self, access_log: Option<Arc<AccessLog>>) -> ServerConfig {
        ServerConfig {
            limit_request_head: self.limit_request_head as usize,
            limit_request_line: self.limit_request_line as usize,
            limit_request_field_size: self.limit_request_field_size as usize,
            limit_request_fields: self.limit_request_fields as usize,
            limit_trailers: self.limit_trailers as usize,
            limit_trailer_fields: self.limit_trailer_fields as usize,
            max_body: whole(self.max_body),
            max_body_routes: self.max_body_routes.iter().map(BodyRoute::from).collect(),
            stream_buffer: self.stream_buffer as usize,
            body_read_ahead: self.body_read_ahead as usize,
            max_queue: self.max_queue as usize,
            max_queue_wait: whole(self.max_queue_wait),
            shed_exempt: self
                .shed_exempt
                .iter()
                .map(|path| path.clone().into_bytes())
                .collect(),
            health_probe: self.health_probe.clone().map(String::into_bytes),
            worker_connections: self.worker_connections as usize,
            first_byte_timeout: whole(self.first_byte_timeout),
            head_timeout: whole(self.head_timeout),
            body_idle_timeout: whole(self.body_idle_timeout),
            body_min_rate: whole(self.body_min_rate),
            request_timeout: whole(self.request_timeout),
            response_idle_timeout: whole(self.response_idle_timeout),
            write_timeout: whole(self.write_timeout),
            keep_alive: whole(self.keep_alive),
            keep_alive_max_age: whole(self.keep_alive_max_age),
            allow_half_open: self.allow_half_open,
            // Whoever validated them has refused what is no peer; nobody is believed by mistake.
            trusted_peers: TrustedPeers::parse(&self.forwarded_allow_ips).unwrap_or_default(),
            access_log,
            server_header: self
                .server_header
                .chars()
                .filter_map(|char| u8::try_from(char).ok())
                .collect(),
        }
    }
}

/// A line for the server's own log.
#[napi(object)]
pub struct NativeLine {
    /// It is about the server, and not about what a client did.
    pub is_warning: bool,
    /// What it says.
    pub text: String,
}

impl NativeLine {
    /// Takes the lines that wait.
    pub(crate) fn take_from(counters: &[Arc<Counters>]) -> Vec<Self> {
        let lines = counters
            .iter()
            .flat_map(|counters| counters.refusals.take());
        lines
            .map(|Line { is_warning, text }| Self { is_warning, text })
            .collect()
    }
}

/// Where a server listens.
#[napi(object)]
pub struct NativeAddress {
    /// Literal IP address, or the path of a Unix socket.
    pub host: String,
    /// TCP port; 0 for a Unix socket.
    pub port: u16,
    /// `IPv4`, `IPv6` or `unix`.
    pub family: String,
}

impl From<&Endpoint> for NativeAddress {
    fn from(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Tcp(address) => Self {
                host: address.ip().to_string(),
                port: address.port(),
                family: if address.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
            },
            Endpoint::Unix(path) => Self {
                host: path.to_string_lossy().into_owned(),
                port: 0,
                family: "unix".to_owned(),
            },
        }
    }
}

/// What the addon is: compared by a spec so that the two sides cannot drift.
#[napi(object)]
pub struct About {
    /// Version of the crate.
    pub version: String,
    /// Method names by code.
    pub methods: Vec<String>,
    /// Whether debug checks are compiled in.
    pub debug: bool,
    /// Whether this process has the libuv functions of the loop driver.
    pub has_loop: bool,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, NaN is 0"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// A count as JavaScript has it.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 are far away"
)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
