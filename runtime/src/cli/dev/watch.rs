//! Notices that a file of a crate was saved: by looking, since that works on every file system and needs no library.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(200);

/// How long nothing more may happen before a save counts as done: editors write in several steps.
const SETTLED: Duration = Duration::from_millis(40);

/// After so many looks at files that go on changing, it is built all the same.
const PATIENCE: usize = 50;

/// When the watched files were last written, and how long they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look(BTreeMap<PathBuf, (Option<SystemTime>, u64)>);

impl Look {
    /// Looks at these files, and at all files under these folders. What is not there is not seen.
    pub(super) fn at(paths: &[PathBuf]) -> Self {
        let mut look = Self::default();
        paths.iter().for_each(|path| look.add(path));
        look
    }

    fn add(&mut self, path: &Path) {
        // What vanishes while it is looked at is gone at the next look.
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if !metadata.is_dir() {
            self.0.insert(path.to_owned(), (metadata.modified().ok(), metadata.len()));
            return;
        }
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        // A link to a folder may lead round in a circle.
        let entries =
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()) || entry.path().is_file());
        entries.for_each(|entry| self.add(&entry.path()));
    }

    /// The files that were written, made or removed since `before`.
    pub(super) fn changes<'a>(&'a self, before: &'a Self) -> Vec<&'a Path> {
        let written = self.0.iter().filter(|(path, state)| before.0.get(*path) != Some(*state));
        let removed = before.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        written.chain(removed).map(|(path, _)| path.as_path()).collect()
    }
}

/// Waits until what was seen of these files at `before` is out of date; gives the files that are at fault.
pub(super) fn wait(paths: &[PathBuf], before: &Look) -> Vec<PathBuf> {
    let mut now = Look::at(paths);
    while now == *before {
        std::thread::sleep(EVERY);
        now = Look::at(paths);
    }
    for _ in 0..PATIENCE {
        std::thread::sleep(SETTLED);
        let last = std::mem::replace(&mut now, Look::at(paths));
        if now == last {
            break;
        }
    }
    now.changes(before).into_iter().map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_written_made_or_removed_is_seen_and_the_rest_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("src/deep")).unwrap();
        for name in ["Cargo.toml", "src/lib.rs", "src/deep/a.rs", "notes.md"] {
            fs::write(at(name), name).unwrap();
        }
        let paths = [at("src"), at("Cargo.toml"), at("events.ndjson")];
        let before = Look::at(&paths);
        fs::write(at("notes.md"), "other notes").unwrap();
        assert_eq!(Look::at(&paths), before);
        fs::write(at("src/deep/a.rs"), "longer than before").unwrap();
        fs::write(at("events.ndjson"), "{}").unwrap();
        fs::remove_file(at("src/lib.rs")).unwrap();
        let now = Look::at(&paths);
        assert_eq!(now.changes(&before), [at("events.ndjson"), at("src/deep/a.rs"), at("src/lib.rs")]);
        assert_eq!(wait(&paths, &before), [at("events.ndjson"), at("src/deep/a.rs"), at("src/lib.rs")]);
    }

    #[test]
    fn a_link_that_leads_round_in_a_circle_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        assert_eq!(Look::at(&[folder.path().to_owned()]), Look::default());
    }
}
