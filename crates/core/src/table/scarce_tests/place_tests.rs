//! The places that a connection needs in the tables.

use std::sync::Arc;

use super::stage::Silent;
use crate::counters::Counters;
use crate::exchange::ServerKey;
use crate::fail;
use crate::table::Table;

fn table() -> (Table, ServerKey, Arc<Counters>) {
    let mut table = Table::new(0, Box::new(Silent), 0);
    let counters = Arc::new(Counters::default());
    let server = table.add_server(Arc::default(), Arc::clone(&counters));
    (table, server, counters)
}

#[test]
fn a_connection_is_taken_in_only_where_each_table_has_a_place_for_it() {
    // Of connections, of keys that are free again, and of deadlines.
    for number in 1..=3 {
        let (mut table, server, counters) = table();
        fail::plan("memory", number);
        assert_eq!(table.accept(server, Box::default()), None, "{number}");
        fail::plan("", 0);
        assert_eq!(counters.connections.get(), 0);
        assert!(table.accept(server, Box::default()).is_some());
    }
}

#[test]
fn a_key_finds_its_place_among_those_that_are_free_again() {
    let (mut table, server, _) = table();
    let keys: Vec<u32> = (0..1_000)
        .map(|_| table.accept(server, Box::default()).unwrap())
        .collect();
    let room = table.free.capacity();
    for key in keys {
        table.remove(key);
    }
    assert_eq!(table.free.capacity(), room);
}
