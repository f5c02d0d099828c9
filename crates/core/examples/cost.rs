//! Serves requests from memory, so that what one costs the engine can be counted: `cost HEAD COUNT [LOG]`.
//!
//! Run under an instruction counter with two counts: the difference is free of the start of the process, and a
//! busy machine does not disturb it. `docs/instruments.md` has the command.

use std::sync::Arc;

use gneiss_core::{
    AccessLog, Answers, Counters, Delivery, Doorbell, Format, Reply, ServerConfig, Table, Target,
};

const SMALL: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /articles/2026/11?page=2 HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.org/articles\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Priority: u=0, i\r\n\r\n";

struct Silent;

impl Doorbell for Silent {
    fn ring(&self) {}
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let head = match arguments.next().as_deref() {
        Some("small") => SMALL,
        _ => BROWSER,
    };
    let count = arguments.next().and_then(|text| text.parse().ok());
    let log = arguments.next().map(|path| Target::File(path.into()));
    let access_log = log.map(|target| {
        let format = Format::parse("combined").map_err(|fault| fault.0);
        let log = format.map(|format| AccessLog::open(&target, format));
        Arc::new(log.ok().and_then(Result::ok).unwrap_or_else(|| {
            std::process::exit(2);
        }))
    });
    let config = ServerConfig {
        access_log,
        ..ServerConfig::default()
    };
    let mut table = Table::new(0, Box::new(Silent), 0);
    let server = table.add_server(Arc::new(config), Arc::new(Counters::default()));
    let pseudo = b"\n@peer:127.0.0.1 50000\n@local:127.0.0.1 8000";
    let Some(key) = table.accept(server, pseudo.as_slice().into()) else {
        return;
    };
    let reply = Reply {
        status: 200,
        fields: b"content-type:text/plain\n",
        count: 1,
    };
    let mut dirty = Vec::new();
    for _ in 0..count.unwrap_or(1_u32) {
        table.on_bytes(key, head);
        let Some(Delivery::Request { id, .. }) = table.deliver() else {
            std::process::exit(1);
        };
        if table.respond(id, &reply, b"Hello, World!", false).is_err() {
            std::process::exit(1);
        }
        table.lane_mut().recycle();
        let length = table.output(key).len();
        table.wrote(key, length);
        table.take_dirty(&mut dirty);
        dirty.clear();
        table.arm(key);
        table.flush_records();
    }
}
