//! A finished, valid server configuration, and the only home of the engine's defaults.

use std::sync::Arc;

use crate::access::AccessLog;
use crate::trusted::TrustedPeers;

/// Everything the engine needs to know about one server.
///
/// Times are milliseconds and 0 turns a deadline off; sizes are bytes. Whoever builds one from
/// user input has validated it: the engine never looks at it twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Whole request head, default 32 KiB; beyond it 431.
    pub limit_request_head: usize,
    /// Request line, default 8 KiB; beyond it 414.
    pub limit_request_line: usize,
    /// One header field, default 8 KiB; beyond it 431.
    pub limit_request_field_size: usize,
    /// Number of header fields, default 100; beyond it 431.
    pub limit_request_fields: usize,
    /// All trailer fields together, default 16 KiB; beyond it 400.
    pub limit_trailers: usize,
    /// Number of trailer fields, default 32; beyond it 400.
    pub limit_trailer_fields: usize,
    /// Request body, default 16 MiB; beyond it 413.
    pub max_body: u64,
    /// Paths with a limit of their own in its place, each with what lies below it; default none.
    pub max_body_routes: Vec<BodyRoute>,
    /// Response bytes buffered per connection before the application is told to wait, default 256 KiB.
    pub stream_buffer: usize,
    /// Request bytes held ahead of the application, default 64 KiB.
    pub body_read_ahead: usize,
    /// Requests that may wait for the application, default 1024; 0 for any number. Beyond it 503.
    pub max_queue: usize,
    /// Longest wait of a request for the application, real or predicted, default 10 s. Beyond it 503.
    pub max_queue_wait: u64,
    /// Paths that are never turned away for want of time, each with what lies below it; default none.
    pub shed_exempt: Vec<Vec<u8>>,
    /// The path that the server asks for itself, which is never turned away either; default none.
    pub health_probe: Option<Vec<u8>>,
    /// Open connections, default 10,000; at the cap nothing is accepted.
    pub worker_connections: usize,
    /// Accepted and silent, default 5 s.
    pub first_byte_timeout: u64,
    /// First byte of a head to its end, default 15 s.
    pub head_timeout: u64,
    /// No body byte although the application or the buffer has room, default 30 s.
    pub body_idle_timeout: u64,
    /// Bytes a second that a body must average after 10 s, default 240; 0 is off.
    pub body_min_rate: u64,
    /// Head read to response head given, default 30 s.
    pub request_timeout: u64,
    /// Response open and the application silent, default 300 s.
    pub response_idle_timeout: u64,
    /// Response bytes waiting and the peer not reading, default 60 s.
    pub write_timeout: u64,
    /// Idle between two requests, default 75 s.
    pub keep_alive: u64,
    /// Age from which a connection is not kept alive any more, default off.
    pub keep_alive_max_age: u64,
    /// Serve a peer that closed its sending side, default off: such a peer is gone.
    pub allow_half_open: bool,
    /// Proxies whose forwarding fields count, default 127.0.0.1 and `::1`.
    pub trusted_peers: TrustedPeers,
    /// Where requests are logged; default nowhere.
    pub access_log: Option<Arc<AccessLog>>,
    /// Value of the `server` response field; empty, the default, for none.
    pub server_header: Vec<u8>,
}

/// A path whose requests may have other bodies than the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRoute {
    /// The path, percent-decoded; it holds for what lies below it as well, unless a longer one does.
    pub path: Vec<u8>,
    /// Bytes of a body.
    pub limit: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limit_request_head: 32 * 1024,
            limit_request_line: 8 * 1024,
            limit_request_field_size: 8 * 1024,
            limit_request_fields: 100,
            limit_trailers: 16 * 1024,
            limit_trailer_fields: 32,
            max_body: 16 * 1024 * 1024,
            max_body_routes: Vec::new(),
            stream_buffer: 256 * 1024,
            body_read_ahead: 64 * 1024,
            max_queue: 1024,
            max_queue_wait: 10_000,
            shed_exempt: Vec::new(),
            health_probe: None,
            worker_connections: 10_000,
            first_byte_timeout: 5_000,
            head_timeout: 15_000,
            body_idle_timeout: 30_000,
            body_min_rate: 240,
            request_timeout: 30_000,
            response_idle_timeout: 300_000,
            write_timeout: 60_000,
            keep_alive: 75_000,
            keep_alive_max_age: 0,
            allow_half_open: false,
            trusted_peers: TrustedPeers::parse(&FORWARDED_ALLOW_IPS).unwrap_or_default(),
            access_log: None,
            server_header: Vec::new(),
        }
    }
}

/// The peers that are trusted by default, as they are written.
pub const FORWARDED_ALLOW_IPS: [&str; 2] = ["127.0.0.1", "::1"];

/// Unread input is discarded for this long after our FIN, so that the peer gets to read the answer.
pub const LINGER: u64 = 1_000;

/// A body's average rate counts from here on, so that a slow start is no crime.
pub const BODY_RATE_GRACE: u64 = 10_000;

/// Bytes of following requests that are read while one is being answered.
pub const PIPELINE_AHEAD: usize = 16 * 1024;
