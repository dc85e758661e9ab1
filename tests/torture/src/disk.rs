//! A small disk of its own for a lake, so that it can be filled up.

use anyhow::Result;
use lakeward_tests::command;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of the disk: several times what a lake of a few dozen rounds takes, whose files are many and of a page at least.
const SIZE: &str = "size=1g";

/// Disk space in memory, mounted on a folder.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Whether this process may mount one.
    pub(crate) fn is_possible() -> bool {
        tempfile::tempdir().is_ok_and(|folder| Self::mount(folder.path()).is_ok())
    }

    /// Mounts an empty disk on a folder.
    pub(crate) fn mount(folder: &Path) -> Result<Self> {
        command::output(Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "lakeward-torture"]).arg(folder))?;
        Ok(Self(folder.to_owned()))
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        let block = vec![0; 1 << 20];
        // The system says that it is full by an error, byte by byte at the end.
        while filler.write_all(&block).is_ok() {}
        while filler.write_all(&block[..512]).is_ok() {}
        Ok(())
    }

    /// Makes room again.
    pub(crate) fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a reader may still have a file open. If it fails, the folder's removal says so.
        let _ = command::output(Command::new("umount").arg("-l").arg(&self.0));
    }
}
