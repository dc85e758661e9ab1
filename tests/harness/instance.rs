//! One running `lakeward run`.

use crate::http::{self, Answer};
use crate::process::Leashed;
use crate::{command, wait};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a start may take: modules are compiled, state is restored, partitions are assigned.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long the last commit may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);

/// A pipeline that runs until it is told to end, or killed.
#[derive(Debug)]
pub struct Instance {
    process: Leashed,
    listen: String,
    log: PathBuf,
}

impl Instance {
    /// Starts `command`, which will answer at `listen` and whose output goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, listen: &str, log: &Path) -> Result<Self> {
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(Self { process: Leashed::spawn(command)?, listen: listen.to_owned(), log: log.to_owned() })
    }

    /// Where it answers.
    #[must_use]
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// When it does not in time, or the process ends.
    pub fn wait_ready(&mut self) -> Result<()> {
        self.wait_status("/readyz", 200)
    }

    /// Waits until `path` answers with `status`.
    ///
    /// # Errors
    /// When it does not in time, or the process ends.
    pub fn wait_status(&mut self, path: &str, status: i32) -> Result<()> {
        self.wait_for(READY_LIMIT, &format!("{path} to answer {status}"), |instance| {
            Ok(instance.get(path).ok().filter(|answer| answer.status == status).map(drop))
        })
    }

    /// Looks until `condition` gives a value.
    ///
    /// # Errors
    /// When it does not in time, or the process ends.
    pub fn wait_for<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        wait::until(limit, what, || {
            if let Some(status) = self.process.ended()? {
                bail!("lakeward ended ({status}) before {what}: {}", command::tail(&self.log()?, 20));
            }
            condition(self)
        })
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer> {
        http::get(&format!("http://{}{path}", self.listen), None)
    }

    /// Asks for a path, if it is no longer what `etag` stands for.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get_changed(&self, path: &str, etag: &str) -> Result<Answer> {
        http::get(&format!("http://{}{path}", self.listen), Some(etag))
    }

    /// Where it answers, as `--server` wants it.
    #[must_use]
    pub fn server(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.ended()
    }

    /// SIGSTOP: the process hangs, with its connections open, as on a machine that swaps.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on as if nothing had happened.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the process cannot be killed.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// SIGTERM; waits until all is committed and the process has ended.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        self.process.terminate(DRAIN_LIMIT)
    }

    /// The most memory that it has had so far, in KiB; `None` where the system does not say.
    #[must_use]
    pub fn peak_memory_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    /// What it has printed.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| format!("reading {}", self.log.display()))
    }
}
