//! Where the lines go: a file that can be opened anew, or one that is open already, such as stdout.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

/// Where to write.
#[derive(Debug)]
pub enum Target {
    /// A file, which is appended to.
    File(PathBuf),
    /// What somebody else has opened, such as the stdout of the process.
    Open(File),
}

/// An open target.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    path: Option<PathBuf>,
    /// Bytes of one write: what several processes write into a pipe must not mix.
    most: usize,
    /// The last write ended within a line.
    is_torn: bool,
}

impl Sink {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        let (file, path) = match target {
            Target::File(path) => (append(path)?, Some(path.clone())),
            Target::Open(file) => (file.try_clone()?, None),
        };
        Ok(Self {
            most: most_of(&file),
            file,
            path,
            is_torn: false,
        })
    }

    /// Opens the file anew. One that cannot be opened leaves the old one in use.
    pub(super) fn reopen(&mut self) {
        if let Some(path) = &self.path
            && let Ok(file) = append(path)
        {
            self.most = most_of(&file);
            self.file = file;
            self.is_torn = false;
        }
    }

    /// Writes whole lines. Returns how many were lost. `gives_up`: nobody waits for a pipe that is full.
    pub(super) fn write(&mut self, lines: &[u8], gives_up: impl Fn() -> bool) -> usize {
        let mut lost: usize = 0;
        let mut rest = lines;
        while !rest.is_empty() {
            let (some, after) = rest
                .split_at_checked(self.piece(rest))
                .unwrap_or((rest, b""));
            rest = after;
            lost = lost.saturating_add(self.write_some(some, &gives_up));
        }
        lost
    }

    /// Length of as many whole lines as one write takes; of one line at least.
    fn piece(&self, lines: &[u8]) -> usize {
        let window = lines.get(..self.most).unwrap_or(lines);
        let end = memchr::memrchr(b'\n', window).or_else(|| memchr::memchr(b'\n', lines));
        end.map_or(lines.len(), |end| end.saturating_add(1))
    }

    /// How many of these lines are lost: those whose end was not written.
    fn write_some(&mut self, lines: &[u8], gives_up: &impl Fn() -> bool) -> usize {
        if self.is_torn && self.write_all(b"\n", gives_up) != 1 {
            return count_lines(lines);
        }
        let written = self.write_all(lines, gives_up);
        let (done, rest) = lines.split_at_checked(written).unwrap_or((lines, b""));
        self.is_torn = done.last().is_some_and(|byte| *byte != b'\n');
        count_lines(rest)
    }

    /// How many bytes went out before something failed.
    fn write_all(&mut self, bytes: &[u8], gives_up: &impl Fn() -> bool) -> usize {
        let mut done: usize = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Node makes pipes of its own non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock && !gives_up() => {
                    sleep(FULL_PIPE);
                }
                Err(_) => break,
            }
        }
        done
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn most_of(file: &File) -> usize {
    if file.metadata().is_ok_and(|found| found.is_file()) {
        FILE_MOST
    } else {
        PIPE_MOST
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// Bytes that a pipe takes whole or not at all.
const PIPE_MOST: usize = 4096;
const FILE_MOST: usize = 256 * 1024;
/// Until a full pipe is tried again.
const FULL_PIPE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_and_in_order_whatever_one_write_takes() {
        let path = std::env::temp_dir().join(format!("gneiss-sink-{}", std::process::id()));
        let mut sink = Sink::open(&Target::File(path.clone())).unwrap();
        sink.most = 10;
        let line = |length: usize| "x".repeat(length % 17);
        let lines: Vec<String> = (0..50).map(line).collect();
        let lines = lines.join("\n") + "\n";
        assert_eq!(sink.write(lines.as_bytes(), || true), 0);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
        std::fs::remove_file(&path).unwrap();
        sink.reopen();
        sink.write(b"again\n", || true);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "again\n");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let mut sink = Sink::open(&Target::File("/dev/full".into())).unwrap();
        assert_eq!(sink.write(b"a\nb\nc\n", || true), 3);
    }
}
