//! Several writers, one reader: nothing lost, nothing twice, each writer's order kept, every wake-up heard.

use std::sync::Arc;

use super::{Flag, check};
use crate::thread::mailbox::{Batch, Mailbox};

#[derive(Default)]
struct Numbers(Vec<(usize, usize)>);

impl Batch for Numbers {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        0
    }

    fn make_room(&mut self, _other: &Self) -> bool {
        true
    }

    fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    fn trim(&mut self) {
        self.0.clear();
    }
}

const WRITERS: usize = 2;
const POSTS: usize = 2;

#[test]
fn a_reader_that_sleeps_until_it_is_told_gets_everything_once_and_in_order() {
    check(|| {
        let mailbox = Arc::new(Mailbox::new(Numbers::default()));
        let told = Arc::new(Flag::default());
        let write = |writer: usize| {
            let (mailbox, told) = (Arc::clone(&mailbox), Arc::clone(&told));
            loom::thread::spawn(move || {
                let mut mine = Numbers::default();
                for post in 0..POSTS {
                    mine.0.push((writer, post));
                    if mailbox.post(&mut mine) {
                        told.set();
                    }
                    assert!(mine.is_empty());
                }
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let mut got = Vec::new();
        let mut batch = Numbers::default();
        while got.len() < WRITERS * POSTS {
            told.wait();
            mailbox.take(&mut batch);
            got.append(&mut batch.0);
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(mailbox.len(), 0);
        for writer in 0..WRITERS {
            let of = got.iter().filter(|(from, _)| *from == writer);
            let posts: Vec<usize> = of.map(|(_, post)| *post).collect();
            assert_eq!(posts, (0..POSTS).collect::<Vec<_>>());
        }
    });
}
