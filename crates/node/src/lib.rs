//! The Node-API border of gneiss: conversions and calls. It decides nothing about HTTP.
//!
//! In reading order: `server` (the cold functions), `binding` (from addresses to listeners), `calls` (the hot ones), `env` (what an isolate
//! owns), `driver`, `phases`, `listeners`, `peer`, `ready` and `dispatch` (the loop driver), `threads` (the threaded one),
//! `workers` (what a master shares with its workers), `process` (what both are to the machine), `output` (where they write), and the only places of `unsafe`: `sys` (Node-API) and `uv` (libuv).

#![cfg_attr(
    test,
    allow(dead_code, reason = "napi exports nothing under cfg(test)")
)]

mod binding;
mod calls;
mod dispatch;
mod driver;
mod env;
mod error;
mod inside;
mod listeners;
#[cfg(gneiss_must_not_compile)]
mod must_not_compile;
mod options;
mod output;
mod peer;
mod phases;
#[cfg(gneiss_probe)]
mod probe;
mod process;
mod ready;
mod server;
mod stats;
mod sys;
mod threads;
mod uv;
mod workers;
