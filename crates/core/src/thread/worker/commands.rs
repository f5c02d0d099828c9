//! What the isolate says, done.

use super::super::batch::{Command, CommandBatch};
use super::{Stage, Worker};
use crate::answers::Answers;
use crate::exchange::Id;
use crate::http1::{AnswerFault, Reply};

impl Worker {
    /// Does everything that was said.
    pub(super) fn obey(&mut self) {
        let mut batch = std::mem::take(&mut self.commands);
        self.inbox.take(&mut batch);
        let CommandBatch { commands, bytes } = &mut batch;
        let mut rest: &[u8] = bytes;
        for command in commands.drain(..) {
            self.do_one(command, &mut rest);
        }
        bytes.clear();
        self.commands = batch;
    }

    fn do_one(&mut self, command: Command, rest: &mut &[u8]) {
        match command {
            Command::Chunk {
                id,
                data,
                is_last,
                wants_done,
                is_waiting,
            } => {
                let data = part(rest, data);
                self.give(id, data.len());
                let outcome = self.table.chunk(id, data, is_last, wants_done);
                self.check(id, outcome.map(drop));
                if is_waiting {
                    self.wait_for_room(id);
                }
            }
            Command::Close { timeout } => self.begin_close(timeout),
            Command::End { id, wants_done } => {
                self.table.end(id, wants_done);
            }
            Command::EndWithTrailers {
                id,
                count,
                fields,
                wants_done,
            } => {
                let fields = part(rest, fields);
                let outcome = self.table.end_with_trailers(id, fields, count, wants_done);
                self.check(id, outcome.map(drop));
            }
            Command::Extend { id, milliseconds } => {
                self.table.extend(id, milliseconds);
            }
            Command::Fail { id } => self.table.fail(id),
            Command::Flush => {
                self.drop_listeners();
                self.is_flushing = true;
            }
            Command::Invite => self.welcome(),
            Command::Leave { id } => self.leave(id),
            Command::Open => self.open_reserved(),
            Command::Reset { id } => {
                self.table.reset(id);
            }
            Command::Respond {
                id,
                status,
                count,
                fields,
                body,
                wants_done,
            } => {
                let fields = part(rest, fields);
                let body = part(rest, body);
                let reply = Reply {
                    status,
                    fields,
                    count,
                };
                let outcome = self.table.respond(id, &reply, body, wants_done);
                self.check(id, outcome);
            }
            Command::Start {
                id,
                status,
                count,
                fields,
            } => {
                let fields = part(rest, fields);
                let reply = Reply {
                    status,
                    fields,
                    count,
                };
                let outcome = self.table.start(id, &reply);
                self.check(id, outcome);
            }
            Command::Starve { id } => self.table.starve(id),
            Command::Stop => self.stop(),
            Command::Want { id } => self.want_body(id),
        }
    }

    /// The isolate has judged an answer before it was sent here, so a fault is one of our own.
    fn check(&mut self, id: Id, outcome: Result<(), AnswerFault>) {
        if !matches!(outcome, Ok(()) | Err(AnswerFault::Gone)) {
            self.table.fail(id);
        }
    }

    fn give(&mut self, id: Id, bytes: usize) {
        if let Some(key) = self.table.key_of(id)
            && let Some(Some(peer)) = self.peers.get_mut(key as usize)
        {
            peer.stream.give(id, bytes);
        }
    }

    /// The isolate has heard that a peer closed its side, and what it had to say before was said.
    fn leave(&mut self, id: Id) {
        let Some(key) = self.table.key_of(id) else {
            return;
        };
        if let Some(Some(peer)) = self.peers.get_mut(key as usize) {
            peer.ended = None;
            self.table.on_end(key);
        }
    }

    fn begin_close(&mut self, timeout: u64) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Closing;
        }
        self.drain_listeners();
        self.table.begin_close(self.server, timeout);
        // Each connection is read once more: a request that the kernel holds already is answered.
        for key in self.table.keys_of(self.server) {
            self.read_once(key);
            self.table.on_drained(key);
        }
    }

    fn stop(&mut self) {
        self.stage = Stage::Stopped;
        self.drop_listeners();
        for key in self.table.keys_of(self.server) {
            self.close(key, true);
        }
    }
}

/// The next bytes of a batch.
fn part<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (part, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
    *rest = after;
    part
}
