//! Rounds in which the module stands apart from the other over the same topic: paused, taken back, and on its way to where the other is.

use crate::orders::{MODULE, OTHER};
use crate::round::Round;
use anyhow::{Context, Result, ensure};
use lakeward_tests::wait;
use std::time::Duration;

/// Between two parts of what is sent before a rewind, so that there are micro-batches to go back to.
const PART: Duration = Duration::from_millis(250);

impl Round<'_> {
    /// While the module is paused nothing is committed for it, whatever dies, and the other one goes on; then nothing is missing.
    pub(crate) fn pause(&mut self) -> Result<()> {
        self.all_ready()?;
        self.take_amid_a_kill(&["pause", MODULE])?;
        self.follow()?;
        let stands = self.world.checker.stands(MODULE)?;
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            round.victim().kill()
        })?;
        self.replace_the_dead()?;
        self.all_ready()?;
        self.follow()?;
        self.while_sending(|_| Ok(()))?;
        self.world.drained_by(self.epoch, &[OTHER])?;
        let wrong = self.world.check_other()?;
        self.played.wrong.extend(wrong.into_iter().map(|wrong| format!("while {MODULE} is paused: {wrong}")));
        let still = self.world.checker.stands(MODULE)?;
        ensure!(still == stands, "{MODULE} is paused and went on from {stands} to {still}");
        let (before, begun) = self.take_amid_a_kill(&["resume", MODULE])?;
        self.go_on(&before, begun)
    }

    /// The module's products go back to an earlier micro-batch while an instance dies; then it catches up, and the other never went back.
    pub(crate) fn rewind(&mut self) -> Result<()> {
        self.all_ready()?;
        let since = self.world.checker.version()?;
        for _ in 0..self.random.between(1, 4) {
            self.while_sending(|_| {
                wait::moment(PART);
                Ok(())
            })?;
        }
        if self.random.per_mille(500) {
            self.world.drained(self.epoch)?;
        }
        let to = self.target(since)?;
        let standing = self.world.standing()?;
        let previous = standing.previous().filter(|_| self.random.per_mille(400));
        let mut order = vec!["rewind", MODULE, "--to", &to];
        order.extend(previous.map(|_| "--rollback"));
        let (before, begun) = self.take_amid_a_kill(&order)?;
        let active = self.world.standing()?;
        ensure!(active.active() == previous.unwrap_or(standing.active()), "{order:?} came to {active:?}");
        self.go_on(&before, begun)
    }

    /// Where to go back to: mostly a micro-batch of this round, sometimes any of the lake, or before a digest.
    fn target(&mut self, since: i64) -> Result<String> {
        let since = if self.random.per_mille(700) { since } else { -1 };
        let (share, wants_digest) = (self.random.between(0, 1_000), self.random.per_mille(150));
        // Of the round itself there may be none yet: then any will do.
        let mut targets = self.world.checker.targets(MODULE, since)?;
        if targets.micro_batches.is_empty() {
            targets = self.world.checker.targets(MODULE, -1)?;
        }
        match targets.digests.last() {
            Some(digest) if wants_digest => Ok(digest.clone()),
            _ => {
                let count = u64::try_from(targets.micro_batches.len())?;
                let at = usize::try_from(share * count / 1_000)?;
                targets.micro_batches.get(at).map(i64::to_string).context("there is no micro-batch to go back to")
            }
        }
    }
}
