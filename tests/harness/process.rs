//! Child processes that never outlive the harness, however it ends.

use crate::wait;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A child on a leash: a second, tiny process that kills the child once the harness is gone.
///
/// The leash reads a pipe that only the harness holds open, so it notices even a SIGKILL. (Linux's parent-death signal
/// fires when the *thread* that started the child ends, which test threads do all the time.)
#[derive(Debug)]
pub struct Leashed {
    child: Child,
    leash: Child,
}

impl Leashed {
    /// Starts `command`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        let leash = Command::new("sh")
            .args(["-c", r#"read -r _; kill -9 "$1""#, "leash", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match leash {
            Ok(leash) => Ok(Self { child, leash }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error).context("starting the leash of a child process")
            }
        }
    }

    /// The child's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the child at once, as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// When the child cannot be killed.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Sends a signal: SIGSTOP, as a machine that hangs, or SIGCONT.
    ///
    /// # Errors
    /// When the child is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Asks the child to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Waits for the child to end by itself.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait::until(limit, "a child process to end", || self.ended())
    }

    /// How the child ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Both may have ended already; there is nobody to tell either way.
        let _ = self.child.kill().and_then(|()| self.child.wait());
        let _ = self.leash.kill().and_then(|()| self.leash.wait());
    }
}
