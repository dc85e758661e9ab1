//! Rounds in which dead letters are sent through the module again while an instance dies.

use crate::round::Round;
use crate::world::LIMIT;
use anyhow::{Result, bail};
use lakeward_tests::wait;
use serde_json::json;
use std::time::Duration;

/// How a request is told that there is nothing to request, or nothing any more.
const NOTHING: [&str; 2] = ["no open dead letter meets the conditions", "requested already"];

/// How long the rest of a micro-batch may take, where an instance is to end itself in it.
const ARMED_TIME: Duration = Duration::from_secs(2);

impl Round<'_> {
    /// The module is the same, so all fails again but what was late: that gets into its window. Each request is done once.
    pub(crate) fn redrive(&mut self) -> Result<()> {
        self.all_ready()?;
        let before = self.epoch.generator.sent().to_vec();
        let stage = [None, None, Some("decode"), Some("transform"), Some("aggregate")];
        let stage = self.random.choose(&stage);
        let partition = self.random.per_mille(300).then(|| self.random.between(0, 4));
        let mut conditions = vec!["--all".to_owned()];
        conditions.extend(stage.iter().flat_map(|stage| ["--stage".to_owned(), (*stage).to_owned()]));
        conditions.extend(partition.iter().flat_map(|partition| ["--partition".to_owned(), partition.to_string()]));
        let mut receipts = vec![self.request_amid_a_kill(&conditions)?];
        let (stands, begun) = (self.world.checker.standing()?, wait::now());
        self.replace_the_dead()?;
        if self.random.per_mille(500) {
            // What has failed again by now is asked for once more.
            receipts.push(self.request(&conditions)?);
        }
        self.while_sending(|_| Ok(()))?;
        self.recovered(&stands, begun)?;
        self.world.drained(self.epoch)?;
        wait::until_true(LIMIT, "the redrives", || {
            self.epoch.all_live()?;
            let (asked, done) = self.world.checker.redrives()?;
            Ok(asked == done)
        })?;
        let request = json!({"stage": stage, "partition": partition, "before": before, "letters": receipts});
        let active = self.world.standing()?;
        let wrong = self.world.checker.answered(&request, active.active())?;
        self.played.wrong.extend(wrong);
        self.played.note = Some(format!("{receipts:?} letters"));
        Ok(())
    }

    /// Requests while records come in, and an instance dies: at a moment, or at a point of its commits.
    fn request_amid_a_kill(&mut self, conditions: &[String]) -> Result<u64> {
        let mut receipt = 0;
        if self.random.per_mille(500) {
            self.arm()?;
            self.while_sending(|round| {
                receipt = round.request(conditions)?;
                wait::moment(ARMED_TIME);
                Ok(())
            })?;
            self.disarm()?;
        } else {
            self.while_sending(|round| {
                receipt = round.request(conditions)?;
                wait::moment(round.fault.after + round.fault.length);
                round.victim().kill()
            })?;
        }
        Ok(receipt)
    }

    fn request(&mut self, conditions: &[String]) -> Result<u64> {
        match self.world.redrive(self.epoch, conditions)? {
            (Some(letters), _) => Ok(letters),
            (None, error) if NOTHING.iter().any(|words| error.contains(words)) => Ok(0),
            (None, error) => bail!("redriving {conditions:?}: {error}"),
        }
    }
}
