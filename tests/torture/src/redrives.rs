//! Rounds in which dead letters are sent through the module again, or discarded, while an instance dies.

use crate::orders::{MODULE, OTHER};
use crate::round::Round;
use crate::world::LIMIT;
use anyhow::{Result, bail};
use lakeward_tests::wait;
use serde::Serialize;
use std::time::Duration;

/// How a request is told that there is nothing to request, or nothing any more.
const NOTHING: [&str; 2] = ["no open dead letter meets the conditions", "requested already"];

/// How long the rest of a micro-batch may take, where an instance is to end itself in it.
const ARMED_TIME: Duration = Duration::from_secs(2);

/// What is asked of dead letters: of all, or of those that meet the conditions.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Request {
    pub(crate) action: &'static str,
    stage: Option<&'static str>,
    partition: Option<u64>,
    module: Option<&'static str>,
    /// How many met them, as it was told.
    letters: u64,
}

impl Request {
    /// As the command takes them.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let partition = self.partition.map(|partition| partition.to_string());
        let named = [
            ("--stage", self.stage.map(str::to_owned)),
            ("--partition", partition),
            ("--module", self.module.map(str::to_owned)),
        ];
        let given = named.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        ["--all".to_owned()].into_iter().chain(given.flatten()).collect()
    }
}

impl Round<'_> {
    /// The modules are the same, so all fails again but what was late: that gets into its window. Each request is done once, and what was
    /// discarded stays so.
    pub(crate) fn redrive(&mut self) -> Result<()> {
        self.all_ready()?;
        let before = self.epoch.generator.sent().to_vec();
        let mut requests = Vec::new();
        if self.random.per_mille(400) {
            let discarded = Request { action: "discard", partition: Some(self.random.between(0, 4)), ..self.draw() };
            requests.push(self.request(discarded)?);
        }
        let request = self.draw();
        requests.push(self.request_amid_a_kill(request.clone())?);
        let (stands, begun) = (self.world.checker.standing()?, wait::now());
        self.replace_the_dead()?;
        if self.random.per_mille(500) {
            // What has failed again by now is asked for once more.
            requests.push(self.request(request)?);
        }
        self.while_sending(|_| Ok(()))?;
        self.recovered(&stands, begun)?;
        self.world.drained(self.epoch)?;
        wait::until_true(LIMIT, "the redrives", || {
            self.epoch.all_live()?;
            let (asked, done) = self.world.checker.redrives()?;
            Ok(asked == done)
        })?;
        let active = self.world.standing()?;
        let active = self.world.active(&active);
        let wrong = self.world.checker.answered(&requests, &before, &active)?;
        self.played.wrong.extend(wrong);
        let told = requests.iter().map(|request| format!("{} {}", request.action, request.letters));
        self.played.note = Some(told.collect::<Vec<_>>().join(", "));
        Ok(())
    }

    /// A redrive of letters that the seed chooses.
    fn draw(&mut self) -> Request {
        let stage = self.random.choose(&[None, None, Some("decode"), Some("transform"), Some("aggregate")]);
        let partition = self.random.per_mille(300).then(|| self.random.between(0, 4));
        let module = self.random.choose(&[None, None, Some(MODULE), Some(OTHER)]);
        Request { action: "redrive", stage, partition, module, letters: 0 }
    }

    /// Requests while records come in, and an instance dies: at a moment, or at a point of its commits.
    fn request_amid_a_kill(&mut self, mut request: Request) -> Result<Request> {
        if self.random.per_mille(500) {
            self.arm()?;
            self.while_sending(|round| {
                request = round.request(request.clone())?;
                wait::moment(ARMED_TIME);
                Ok(())
            })?;
            self.disarm()?;
        } else {
            self.while_sending(|round| {
                request = round.request(request.clone())?;
                wait::moment(round.fault.after + round.fault.length);
                round.victim().kill()
            })?;
        }
        Ok(request)
    }

    /// Asks, and notes how many letters that are.
    fn request(&mut self, request: Request) -> Result<Request> {
        match self.world.request(self.epoch, &request)? {
            (Some(letters), _) => Ok(Request { letters, ..request }),
            (None, error) if NOTHING.iter().any(|words| error.contains(words)) => Ok(Request { letters: 0, ..request }),
            (None, error) => bail!("{request:?}: {error}"),
        }
    }
}
