//! Rounds in which operators deploy, shadow, promote and roll back while instances die around the order; and how orders are given.

use crate::fault::is_of_rewind;
use crate::orders::{self, Asked, MODULE, Order, Outcome, Standing};
use crate::round::{FAILS, HANGS, LIES, NONE, Round, SIGKILL};
use crate::world::{LIMIT, Version};
use anyhow::{Context, Result, bail, ensure};
use lakeward::fault::VARIABLE;
use lakeward_tests::store_proxy::Mischief;
use lakeward_tests::wait;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// How long an instance that is to kill itself may live on once the order has been given.
const ARMED_LIMIT: Duration = Duration::from_secs(8);
/// How long its end is waited for before more records are sent.
const ARMED_LOOK: Duration = Duration::from_millis(300);

/// Passes of a point among which the last one of an instance is.
const PASSES: u64 = 12;
/// The same of the points that a rewind passes with each of the module's tables.
const REWIND_PASSES: u64 = 7;

/// Records that a shadow compares at least before it is judged.
const COMPARED: &str = "50";

impl Round<'_> {
    /// Another version is made active, by a deployment or by a rollback.
    pub(crate) fn deploy(&mut self) -> Result<()> {
        self.all_ready()?;
        let standing = self.world.standing()?;
        let is_back = standing.previous().is_some() && self.random.per_mille(400);
        let others = self.others(&standing)?;
        let version = &others[usize::from(self.random.per_mille(500))];
        let order = if is_back { ["rollback", MODULE] } else { ["deploy", text(version)?] };
        let target = if is_back { standing.previous().unwrap_or_default() } else { version.digest.as_str() };
        let (before, begun) = self.take_amid_a_kill(&order)?;
        let active = self.world.standing()?;
        ensure!(active.active() == target, "{order:?} came to {active:?}");
        self.go_on(&before, begun)
    }

    /// The shadow finds no difference, as there is none, and is promoted or ended.
    pub(crate) fn shadow(&mut self) -> Result<()> {
        self.all_ready()?;
        let standing = self.world.standing()?;
        let version = self.others(&standing)?.swap_remove(usize::from(self.random.per_mille(500)));
        let compare = ["shadow", text(&version)?, "--records", COMPARED];
        self.order_amid_a_kill(&compare)?;
        self.replace_the_dead()?;
        self.all_ready()?;
        // Where the order is in the log this only waits for the report.
        let order = self.order(&compare)?;
        let Outcome::Reported(report) = &order.outcome else { bail!("the shadow ended with {order:?}") };
        let (rows, rejects) = (&report["rows"], &report["rejects"]);
        let differing = [&rows["changed"], &rows["only_old"], &rows["only_new"], &rejects["lost"], &rejects["gained"]];
        ensure!(rows["same"].as_u64() > Some(0), "nothing was compared: {report}");
        ensure!(differing.iter().all(|count| count.as_u64() == Some(0)), "a difference where there is none: {report}");
        let shadow = self.world.standing()?.shadow;
        ensure!(shadow.as_deref() == Some(version.digest.as_str()), "the shadow is {shadow:?}");
        let is_promoted = self.random.per_mille(600);
        let end: &[&str] = if is_promoted { &["promote", MODULE] } else { &["shadow", "--end", MODULE] };
        let (before, begun) = self.take_amid_a_kill(end)?;
        let after = self.world.standing()?;
        let expected = if is_promoted { &version.digest } else { standing.active() };
        ensure!(after.shadow.is_none() && after.active() == expected, "{end:?} came to {after:?}");
        self.played.note = Some(end[0].to_owned());
        self.go_on(&before, begun)
    }

    /// Of two who deploy different versions at the same moment one is first, and the other is told or has seen it.
    pub(crate) fn two_operators(&mut self) -> Result<()> {
        self.all_ready()?;
        let standing = self.world.standing()?;
        let others = self.others(&standing)?;
        let orders = [["deploy", text(&others[0])?], ["deploy", text(&others[1])?]];
        let is_deadly = self.random.per_mille(400);
        let moment = self.fault.after + self.fault.length;
        let mut given = Vec::new();
        self.while_sending(|round| {
            let first = round.ask(0, &orders[0])?;
            let second = round.ask(1, &orders[1])?;
            if is_deadly {
                wait::moment(moment);
                round.victim().kill()?;
            }
            given.extend([first.order()?, second.order()?]);
            Ok(())
        })?;
        let of = |is_it: fn(&Outcome) -> bool| given.iter().filter(|order| is_it(&order.outcome)).count();
        let taken = of(|outcome| matches!(outcome, Outcome::Taken(..)));
        let overtaken = of(|outcome| *outcome == Outcome::Overtaken);
        ensure!(is_deadly || (taken >= 1 && taken + overtaken == 2), "two operators were told {given:?}");
        self.played.note = Some(format!("{taken} taken, {overtaken} overtaken"));
        self.epoch.orders.append(&mut given);
        let (before, begun) = (self.world.checker.standing()?, wait::now());
        self.replace_the_dead()?;
        self.go_on(&before, begun)
    }

    /// An order is given while the store cannot be relied on, and an instance dies.
    pub(crate) fn deploy_under_lies(&mut self) -> Result<()> {
        let (mischief, how) = self.random.choose(&[(LIES, "lies"), (HANGS, "hangs"), (FAILS, "fails")]);
        self.mischief = mischief;
        let before = self.proxy_mischief(NONE)?;
        match self.random.between(0, 5) {
            0 => self.pause()?,
            1 => self.shadow()?,
            2 | 3 => self.rewind()?,
            _ => self.deploy()?,
        }
        let (met, note) = (self.proxy_mischief(NONE)? - before, self.played.note.take().unwrap_or_default());
        self.played.note = Some(format!("{note}; the store {how}, {met} requests met with it"));
        Ok(())
    }

    /// Gives an order amid a kill, and once more where it is not in the log then. When the dead were replaced, and where the commits stood.
    pub(crate) fn take_amid_a_kill(&mut self, order: &[&str]) -> Result<(Vec<i64>, Instant)> {
        let given = self.order_amid_a_kill(order)?;
        let (before, begun) = (self.world.checker.standing()?, wait::now());
        self.replace_the_dead()?;
        self.all_ready()?;
        let is_taken = orders::holds(&self.world.checker.deployments()?, &given.why);
        if !is_taken {
            let again = self.order(order)?;
            ensure!(matches!(again.outcome, Outcome::Taken(..)), "{order:?} ended with {again:?}");
        }
        self.played.note =
            Some(format!("{} {}", order[0], if is_taken { "was in the log" } else { "was given again" }));
        Ok((before, begun))
    }

    /// Gives an order to an instance while records come in and one dies: at a moment, or at a point of its commits.
    fn order_amid_a_kill(&mut self, order: &[&str]) -> Result<Order> {
        let operator = usize::from(self.random.per_mille(500));
        let order = if self.random.per_mille(500) {
            self.order_to_the_armed(operator, order)?
        } else {
            let (mut given, moment) = (None, self.fault.after + self.fault.length);
            self.while_sending(|round| {
                round.misbehave(round.mischief);
                let asked = round.ask(operator, order)?;
                wait::moment(moment);
                round.victim().kill()?;
                round.misbehave(NONE);
                given = Some(asked.order()?);
                Ok(())
            })?;
            given.context("an order was given")?
        };
        self.epoch.orders.push(order.clone());
        Ok(order)
    }

    /// One instance ends itself at a point of the commit while the order is given.
    fn order_to_the_armed(&mut self, operator: usize, order: &[&str]) -> Result<Order> {
        self.arm()?;
        self.misbehave(self.mischief);
        let mut asked = self.ask(operator, order)?;
        let begun = wait::now();
        loop {
            let mut is_over = false;
            self.while_sending(|round| {
                let armed = round.epoch.instances.last_mut().context("the armed instance is there")?;
                let both = || Ok(armed.ended()?.is_some() && asked.has_ended()?);
                // Not to be over yet is no error: more records may bring it to its point.
                is_over = wait::until_true(ARMED_LOOK, "the fault point", both).is_ok();
                Ok(())
            })?;
            if is_over || begun.elapsed() >= ARMED_LIMIT {
                break;
            }
        }
        self.disarm()?;
        self.misbehave(NONE);
        asked.order()
    }

    /// From here on the store does this, where there is one before which a proxy stands.
    fn misbehave(&self, mischief: Mischief) {
        if let Some(proxy) = &self.world.proxy {
            proxy.set(mischief);
        }
    }

    /// Another instance takes the place of one, and will end itself at a point of the commit.
    pub(crate) fn arm(&mut self) -> Result<()> {
        self.victim().kill()?;
        let passes = if is_of_rewind(self.fault.point) { REWIND_PASSES } else { PASSES };
        let armed = format!("{}:{}", self.fault.point, self.random.between(1, passes + 1));
        self.world.start(self.epoch, &[(VARIABLE, &armed)])?;
        let armed = self.epoch.instances.last_mut().context("the armed instance is there")?;
        // It may pass its point before it is ready.
        armed.wait_ready().or_else(|error| if armed.ended()?.is_some() { Ok(()) } else { Err(error) })
    }

    /// The armed instance is gone; if it has not come to its point, it is killed.
    pub(crate) fn disarm(&mut self) -> Result<()> {
        let mut armed = self.epoch.instances.pop().context("the armed instance is there")?;
        match armed.ended()? {
            Some(status) => ensure!(status.signal() == Some(SIGKILL), "the armed instance ended with {status}"),
            None => {
                self.played.missed = true;
                armed.kill()?;
            }
        }
        Ok(())
    }

    /// Gives an order in peace, while records come in.
    fn order(&mut self, order: &[&str]) -> Result<Order> {
        let mut asked = self.ask(0, order)?;
        let mut has_ended = false;
        let begun = wait::now();
        while !has_ended {
            ensure!(begun.elapsed() < LIMIT, "{order:?} does not end");
            self.while_sending(|round| {
                round.epoch.all_live()?;
                has_ended = wait::until_true(ARMED_LOOK, "the answer", || asked.has_ended()).is_ok();
                Ok(())
            })?;
        }
        let order = asked.order()?;
        self.epoch.orders.push(order.clone());
        Ok(order)
    }

    /// Asks one of the instances, by the seed.
    fn ask(&mut self, operator: usize, order: &[&str]) -> Result<Asked> {
        let servers: Vec<String> = self.epoch.instances.iter().map(|instance| instance.server()).collect();
        let count = u64::try_from(servers.len()).unwrap_or(1);
        let index = usize::try_from(self.random.between(0, count)).unwrap_or_default();
        self.world.ask(self.epoch, &servers[index], operator, order)
    }

    /// As many instances as there are to be.
    pub(crate) fn replace_the_dead(&mut self) -> Result<()> {
        while self.epoch.instances.len() < self.world.means.instances {
            self.world.start(self.epoch, &[])?;
        }
        Ok(())
    }

    pub(crate) fn all_ready(&mut self) -> Result<()> {
        self.epoch.instances.iter_mut().try_for_each(|instance| instance.wait_ready())
    }

    /// Waits until all instances are where the log is.
    pub(crate) fn follow(&mut self) -> Result<()> {
        let standing = self.world.standing()?;
        self.epoch.follow(&standing)
    }

    /// All instances are where the log is, and more records come: their commits are of the active module.
    pub(crate) fn go_on(&mut self, before: &[i64], begun: Instant) -> Result<()> {
        self.follow()?;
        self.while_sending(|_| Ok(()))?;
        self.recovered(before, begun)
    }

    /// The two versions that are not active.
    fn others(&mut self, standing: &Standing) -> Result<Vec<Version>> {
        let others = self.world.versions()?.into_iter().filter(|version| version.digest != standing.active());
        let others: Vec<Version> = others.collect();
        ensure!(others.len() == 2, "of three versions {} are not active", others.len());
        Ok(others)
    }
}

fn text(version: &Version) -> Result<&str> {
    version.path.to_str().context("a path that is not text")
}
