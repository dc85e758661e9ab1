//! Reads newline-delimited JSON files as if they were a topic of one partition: the offset is the record's number.
//!
//! The files are read in the order of their names; a file that is added later must sort behind those read already. Only the last of them
//! may grow. Blank lines are no records.

use super::{Assigned, Chunker, Error, LogRange, Reader};
use crate::clock::Clock;
use crate::record::Record;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// Records given out per call, so that a stop is heard.
const BATCH: usize = 8_192;

/// How long to wait at the end before looking for new files.
const WAIT: Duration = Duration::from_millis(20);

/// How long the last file must have been left alone before a last line without an end is one, in milliseconds. Half a line must not become
/// a record: after a restart it would be the whole line, under the same offset.
const REST_MS: i64 = 2_000;

/// Files that are read as a topic.
#[derive(Debug)]
pub struct Files {
    pattern: PathBuf,
    start: i64,
    next: i64,
    current: Option<(PathBuf, BufReader<File>)>,
    done: Option<PathBuf>,
    line: Vec<u8>,
    /// Whether what is in `line` may go on.
    is_open: bool,
    /// Whether the end of the current file was met once since it became final.
    is_last_look: bool,
    clock: Clock,
    /// Whether nobody writes the files any more.
    is_whole: bool,
}

impl Files {
    /// Looks at the files of `pattern`, whose last part may hold `*`.
    ///
    /// # Errors
    /// When the pattern has a `*` in a folder's name.
    pub fn new(pattern: &Path) -> Result<Self, Error> {
        let folder = pattern.parent().unwrap_or(Path::new(""));
        if folder.to_string_lossy().contains('*') || pattern.file_name().is_none() {
            let reason = "only the last part may hold `*`".to_owned();
            return Err(Error::Pattern { pattern: pattern.display().to_string(), reason });
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            start: 0,
            next: 0,
            current: None,
            done: None,
            line: Vec::new(),
            is_open: false,
            is_last_look: false,
            clock: Clock::system(),
            is_whole: false,
        })
    }

    /// The same of files that nobody writes any more: a last line without an end is one.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { is_whole: true, ..self }
    }

    /// What can be read: all records of the files that are there.
    ///
    /// # Errors
    /// When a file cannot be read, or there is none.
    pub fn log_range(&self) -> Result<LogRange, Error> {
        self.check()?;
        let mut counter = Self { is_whole: self.is_whole, clock: self.clock.clone(), ..Self::new(&self.pattern)? };
        while counter.next_line()? {
            counter.next += 1;
        }
        Ok(LogRange { start: 0, end: counter.next })
    }

    /// Whether there is a file at all.
    ///
    /// # Errors
    /// When there is none, or the folder cannot be read.
    pub fn check(&self) -> Result<(), Error> {
        if self.list()?.is_empty() {
            return Err(Error::NoFiles { pattern: self.pattern.display().to_string() });
        }
        Ok(())
    }

    /// Starts at the partition's offset.
    pub fn assign(&mut self, assigned: &Assigned) {
        self.start = assigned.start;
    }

    fn list(&self) -> Result<Vec<PathBuf>, Error> {
        let folder = match self.pattern.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let error = |source| Error::File { file: folder.display().to_string(), source };
        let pattern = self.pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(error)? {
            let path = entry.map_err(error)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_file() && matches(&pattern, &name) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Whether the current file, of which all was read that is there, will not go on: there is a next one, or half a line has been its end for
    /// long.
    fn is_final(&self) -> Result<bool, Error> {
        let Some((path, reader)) = &self.current else { return Ok(true) };
        if self.is_whole || self.list()?.last().is_some_and(|last| last > path) {
            return Ok(true);
        }
        if self.line.is_empty() {
            return Ok(false);
        }
        let changed = reader.get_ref().metadata().and_then(|file| file.modified());
        let changed = changed.map_err(|source| file_error(path, source))?;
        let changed_ms = changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let rests = i128::from(self.clock.now_ms()) - i128::try_from(changed_ms).unwrap_or(i128::MAX);
        // A time to come is that of another clock.
        Ok(rests.unsigned_abs() >= u128::from(REST_MS.unsigned_abs()))
    }

    /// Reads the next line that is not blank into `line`; false at the end of all files, as far as they go.
    fn next_line(&mut self) -> Result<bool, Error> {
        loop {
            if self.current.is_none() {
                let done = self.done.clone();
                let next = self.list()?.into_iter().find(|file| done.as_ref().is_none_or(|done| file > done));
                let Some(path) = next else { return Ok(false) };
                let file = File::open(&path).map_err(|source| file_error(&path, source))?;
                self.current = Some((path, BufReader::with_capacity(BUFFER, file)));
            }
            let Some((path, reader)) = &mut self.current else { return Ok(false) };
            if !std::mem::take(&mut self.is_open) {
                self.line.clear();
            }
            reader.read_until(b'\n', &mut self.line).map_err(|source| file_error(path, source))?;
            if !self.line.ends_with(b"\n") {
                let is_final = self.is_final()?;
                // It may have grown before the next file came, so its end counts when it is met again.
                if !is_final || !std::mem::replace(&mut self.is_last_look, true) {
                    self.is_open = true;
                    if is_final {
                        continue;
                    }
                    return Ok(false);
                }
            }
            self.is_last_look = false;
            if self.line.is_empty() {
                self.done = self.current.take().map(|(path, _)| path);
                continue;
            }
            let blank = self.line.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.line.truncate(self.line.len() - blank);
            if !self.line.is_empty() {
                return Ok(true);
            }
        }
    }
}

impl Reader for Files {
    fn read(&mut self, chunker: &mut Chunker) -> Result<(), Error> {
        for _ in 0..BATCH {
            if !self.next_line()? {
                std::thread::sleep(WAIT);
                return Ok(());
            }
            let offset = self.next;
            self.next += 1;
            if offset >= self.start {
                chunker.push(0, Record { offset, timestamp_ms: -1, key: None, value: Some(&self.line) });
            }
        }
        Ok(())
    }

    fn log_end(&self, _slot: usize) -> Option<i64> {
        None
    }

    fn committed(&mut self, _next_offsets: &[(usize, i64)]) {}
}

fn file_error(path: &Path, source: std::io::Error) -> Error {
    Error::File { file: path.display().to_string(), source }
}

/// Whether `name` fits `pattern`, in which `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name, expected) in [
            ("*.ndjson", "a.ndjson", true),
            ("*.ndjson", "a.json", false),
            ("orders-*.nd*", "orders-1.ndjson", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn records_are_numbered_over_all_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.ndjson"), "3\n\n4").unwrap();
        std::fs::write(folder.path().join("a.ndjson"), "1\n2\r\n").unwrap();
        let mut files = Files::new(&folder.path().join("*.ndjson")).unwrap();
        assert_eq!(files.log_range().unwrap(), LogRange { start: 0, end: 3 }, "the last line may go on");
        files = files.whole();
        assert_eq!(files.log_range().unwrap(), LogRange { start: 0, end: 4 });
        let assigned =
            Assigned { topic: "t".into(), partition: 0, start: 1, with_headers: false, from_beginning: false };
        files.assign(&assigned);
        let mut chunker = Chunker::new(&[assigned]);
        files.read(&mut chunker).unwrap();
        chunker.close_all();
        let (_, chunk) = chunker.take(crate::clock::instant()).unwrap();
        let values: Vec<_> = (0..chunk.len()).map(|i| (chunk.offset(i), chunk.value(i).unwrap())).collect();
        assert_eq!(values, [(1, &b"2"[..]), (2, b"3"), (3, b"4")]);
    }

    #[test]
    fn half_a_line_is_no_record_while_its_file_may_grow() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(folder.path().join(name));
            std::io::Write::write_all(&mut file.unwrap(), text.as_bytes()).unwrap();
        };
        let mut files = Files::new(&folder.path().join("*.ndjson")).unwrap();
        let mut read = || files.next_line().unwrap().then(|| String::from_utf8(files.line.clone()).unwrap());
        write("a.ndjson", "1\nha");
        assert_eq!((read(), read()), (Some("1".to_owned()), None));
        write("a.ndjson", "lf\n2\n");
        assert_eq!((read(), read(), read()), (Some("half".to_owned()), Some("2".to_owned()), None));
        write("a.ndjson", "3\nend");
        write("b.ndjson", "4\nlast");
        let ends = ["3", "end", "4"].map(str::to_owned).map(Some);
        assert_eq!([read(), read(), read()], ends, "a file ends where the next one begins");
        assert_eq!(read(), None);
        files.clock = Clock::manual(Clock::system().now_ms() + 2 * REST_MS);
        assert!(files.next_line().unwrap());
        assert_eq!(files.line, b"last");
        assert!(!files.next_line().unwrap());
    }
}
