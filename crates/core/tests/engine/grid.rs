//! The grid: every payload of `__test__/grid/grid.json` against the codec, whole, split at every byte, byte
//! by byte, and behind a good request. The specs send the same payloads over sockets and through proxies.

use std::fmt::Write as _;

use gneiss_core::{Answers, BodyOutcome, Event, Fate, Id, Reply, ServerConfig, TakenBody};
use serde::Deserialize;

use crate::workbench::{GET, Workbench};

const GRID: &str = include_str!("../../../../__test__/grid/grid.json");

#[derive(Deserialize)]
pub(crate) struct Grid {
    pub(crate) rows: Vec<Row>,
}

#[derive(Deserialize)]
pub(crate) struct Row {
    pub(crate) row: u32,
    pub(crate) variants: Vec<Variant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Variant {
    pub(crate) name: String,
    send: Vec<Part>,
    /// Statuses of the final answers.
    answers: Vec<u16>,
    /// Requests of which the application gets to see the end.
    messages: usize,
    after: After,
    refused_in: Option<Place>,
    #[serde(default)]
    app: App,
    host: Option<String>,
    target: Option<String>,
    #[serde(default)]
    absent: Vec<String>,
    interim: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Repeated { repeat: String, times: usize },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum After {
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Place {
    Body,
    Head,
}

/// What the application does: read the body and answer, or answer at once.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum App {
    Early,
    #[default]
    Read,
}

impl Variant {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        for part in &self.send {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Repeated { repeat, times } => text.push_str(&repeat.repeat(*times)),
            }
        }
        text.chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect()
    }
}

pub(crate) fn grid() -> Grid {
    serde_json::from_str(GRID).unwrap()
}

/// What came of a payload.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    answers: Vec<u16>,
    interim: bool,
    /// Requests that the application heard of.
    heard: usize,
    /// Requests whose end it saw.
    messages: usize,
    is_closed: bool,
    heads: Vec<String>,
}

/// Sends the pieces one by one; the application acts after each.
fn run(pieces: &[&[u8]], app: App) -> Found {
    let mut bench = Workbench::new(ServerConfig::default());
    let key = bench.connect();
    let mut found = Found::default();
    let mut reading: Vec<Id> = Vec::new();
    let mut output = String::new();
    for piece in pieces {
        if bench.wish(key).fate == Fate::Stay && bench.wish(key).read > 0 {
            bench.receive(key, piece);
        }
        while act(&mut bench, key, app, &mut found, &mut reading) {
            output.push_str(&bench.sent(key));
            bench.advance(key);
        }
        output.push_str(&bench.sent(key));
    }
    found.is_closed = bench.wish(key).fate != Fate::Stay;
    for status in statuses(&output) {
        if status < 200 {
            found.interim = true;
        } else {
            found.answers.push(status);
        }
    }
    bench.close_and_check(key);
    found
}

/// Takes one event, or reads on in a body; false when nothing can be done.
fn act(
    bench: &mut Workbench,
    key: u32,
    app: App,
    found: &mut Found,
    reading: &mut Vec<Id>,
) -> bool {
    if let Some(event) = bench.table.lane_mut().pop() {
        match event {
            Event::Request {
                id,
                offset,
                target_len,
                head_len,
                ..
            } => {
                found.heard += 1;
                let text = bench.table.lane().text(offset, target_len + head_len);
                found
                    .heads
                    .push(text.iter().map(|byte| char::from(*byte)).collect());
                if app == App::Early {
                    found.messages += 1;
                    answer(bench, id);
                } else {
                    reading.push(id);
                }
            }
            Event::Abort { id, .. } => reading.retain(|open| *open != id),
            _ => {}
        }
        return true;
    }
    let Some(id) = reading.first().copied() else {
        return bench.table.advance(key);
    };
    match bench.table.take_body(id) {
        TakenBody::Bytes(_) => true,
        TakenBody::None(BodyOutcome::End) => {
            found.messages += 1;
            reading.remove(0);
            answer(bench, id);
            true
        }
        TakenBody::None(_) => bench.table.advance(key),
    }
}

fn answer(bench: &mut Workbench, id: Id) {
    let reply = Reply {
        status: 200,
        fields: b"",
        count: 0,
    };
    bench.table.respond(id, &reply, b"", false).unwrap();
}

/// Statuses of a sequence of answers whose bodies have a content-length.
fn statuses(mut output: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !output.is_empty() {
        let (head, rest) = output.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 "), "{output}");
        statuses.push(head[9..12].parse().unwrap());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        output = &rest[length.map_or(0, |length| length.parse().unwrap())..];
    }
    statuses
}

#[test]
fn the_grid_has_33_rows_and_at_least_39_payloads_to_refuse() {
    let rows = grid().rows;
    let numbers: Vec<u32> = rows.iter().map(|row| row.row).collect();
    assert_eq!(numbers, (1..=33).collect::<Vec<u32>>());
    let refused = rows
        .iter()
        .flat_map(|row| &row.variants)
        .filter(|variant| variant.refused_in.is_some())
        .count();
    assert!(refused >= 39, "{refused}");
}

#[test]
fn every_payload_of_the_grid_gets_its_verdict_however_it_arrives() {
    let mut faults = String::new();
    for row in grid().rows {
        for variant in row.variants {
            let bytes = variant.bytes();
            let name = format!("row {}, {}", row.row, variant.name);
            check(
                &mut faults,
                &format!("{name}, whole"),
                &variant,
                0,
                &run(&[&bytes], variant.app),
            );
            let joined = [GET, &bytes].concat();
            let found = run(&[&joined], variant.app);
            check(
                &mut faults,
                &format!("{name}, behind a good request"),
                &variant,
                1,
                &found,
            );
            for at in cuts(bytes.len()) {
                let (first, second) = bytes.split_at(at);
                let found = run(&[first, second], variant.app);
                check(
                    &mut faults,
                    &format!("{name}, cut at {at}"),
                    &variant,
                    0,
                    &found,
                );
            }
            let single: Vec<&[u8]> = bytes
                .chunks(if bytes.len() > 2_000 { 97 } else { 1 })
                .collect();
            let found = run(&single, variant.app);
            check(
                &mut faults,
                &format!("{name}, byte by byte"),
                &variant,
                0,
                &found,
            );
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// Every place, but only the ends and a sample of a payload that is long by repetition.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (1..length).filter(move |at| length < 2_000 || *at < 100 || length - at < 100 || at % 997 == 0)
}

fn check(faults: &mut String, name: &str, variant: &Variant, good: usize, found: &Found) {
    let mut answers = vec![200; good];
    answers.extend(&variant.answers);
    let is_closed = variant.after == After::Closed;
    let head = found.heads.get(good).map_or("", String::as_str);
    let is_heard = match variant.refused_in {
        Some(Place::Head) => found.heard == good,
        // A head may have been reported before its body turned out to be wrong.
        Some(Place::Body) => found.heard <= good + 1,
        None => found.heard == good + variant.messages,
    };
    let is_right = found.answers == answers
        && found.messages == good + variant.messages
        && found.is_closed == is_closed
        && is_heard
        && variant
            .interim
            .is_none_or(|interim| interim == found.interim)
        && variant
            .host
            .as_ref()
            .is_none_or(|host| head.contains(&format!("\nhost:{host}\n")))
        && variant
            .target
            .as_ref()
            .is_none_or(|target| head.starts_with(&format!("{target}\n@peer:")))
        && variant
            .absent
            .iter()
            .all(|field| !head.contains(&format!("\n{field}:")));
    if !is_right {
        writeln!(faults, "{name}: {found:?}").unwrap();
    }
}

#[test]
fn nothing_of_a_refused_request_that_arrives_whole_is_reported() {
    for row in grid().rows {
        for variant in row
            .variants
            .iter()
            .filter(|variant| variant.refused_in.is_some())
        {
            let found = run(&[&variant.bytes()], variant.app);
            assert_eq!(
                (found.heard, found.heads.len()),
                (0, 0),
                "row {}, {}",
                row.row,
                variant.name
            );
        }
    }
}
