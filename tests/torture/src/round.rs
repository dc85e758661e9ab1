//! One round: a fault while records come in, then the end of the fault, then peace until all is committed, then the check.

use crate::fault::{Fault, Kind};
use crate::world::{Epoch, World};
use anyhow::{Context, Result, anyhow, ensure};
use lakeward::fault::VARIABLE;
use lakeward_tests::instance::Instance;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::random::Random;
use lakeward_tests::store_proxy::Mischief;
use lakeward_tests::{retail, wait};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The signal of `kill -9`.
pub(crate) const SIGKILL: i32 = 9;

/// How long an instance may live that is to kill itself: it has to start, to be given partitions, and to commit to logs until they are due
/// for a checkpoint.
const ARMED_LIMIT: Duration = Duration::from_secs(60);

/// How long it is watched before more records are sent.
const ARMED_LOOK: Duration = Duration::from_millis(600);

/// Nothing goes wrong.
pub(crate) const NONE: Mischief =
    Mischief { refuse: 0, deny: 0, cut: 0, repeat: 0, hang: 0, slow: 0, hold: Duration::ZERO, delay: Duration::ZERO };

/// Half of what is asked is done and denied.
pub(crate) const LIES: Mischief = Mischief { deny: 200, cut: 200, repeat: 300, ..NONE };

/// Answers come later than the client waits.
pub(crate) const HANGS: Mischief = Mischief { hang: 300, hold: Duration::from_millis(1_500), ..NONE };

/// Most of what is asked is refused.
pub(crate) const FAILS: Mischief = Mischief { refuse: 700, ..NONE };

/// What a round brought.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// From the end of the fault to the first commit.
    pub(crate) recovered: Option<Duration>,
    /// What is worth saying beside.
    pub(crate) note: Option<String>,
    /// Records sent.
    pub(crate) records: u64,
    /// Whether an instance that was to kill itself at a point never passed it.
    pub(crate) missed: bool,
    /// Micro-batches of a module that caught up beside the other.
    pub(crate) apart: u64,
    /// Whether an instance was seen to say so.
    pub(crate) was_seen_apart: bool,
    /// What the tables have wrong.
    pub(crate) wrong: Vec<String>,
}

/// A round in the making.
pub(crate) struct Round<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) epoch: &'a mut Epoch,
    pub(crate) fault: &'a Fault,
    pub(crate) random: &'a mut Random,
    /// What the store does while an order is given.
    pub(crate) mischief: Mischief,
    pub(crate) played: Played,
}

/// Plays a round.
pub(crate) fn play(world: &mut World, epoch: &mut Epoch, fault: &Fault, random: &mut Random) -> Result<Played> {
    let mut round = Round { world, epoch, fault, random, mischief: NONE, played: Played::default() };
    let apart = round.world.checker.apart()?;
    round.epoch.has_seen_catch_up = false;
    while round.epoch.instances.len() < round.world.means.instances {
        round.world.start(round.epoch, &[])?;
    }
    round.suffer()?;
    round.world.drained(round.epoch)?;
    round.played.wrong.extend(round.world.check(round.epoch)?);
    round.played.apart = round.world.checker.apart()? - apart;
    round.played.was_seen_apart = round.epoch.has_seen_catch_up;
    Ok(round.played)
}

impl Round<'_> {
    fn suffer(&mut self) -> Result<()> {
        match self.fault.kind {
            Kind::KillAtPoint => self.kill_at_point(),
            Kind::Kill => self.kill(),
            Kind::Zombie => self.zombie(),
            Kind::Broker => self.broker(),
            Kind::Restart => self.restart(),
            Kind::Join => self.join(),
            Kind::Leave => self.leave(),
            Kind::Rolling => self.rolling(),
            Kind::StoreFails => self.store(FAILS),
            Kind::StoreHangs => self.store(HANGS),
            Kind::StoreLies => self.store(LIES),
            Kind::KillUnderLies => self.kill_under_lies(),
            Kind::Compaction => self.compaction(),
            Kind::DiskFull => self.disk_full(),
            Kind::Deploy => self.deploy(),
            Kind::Pause => self.pause(),
            Kind::Shadow => self.shadow(),
            Kind::Rewind => self.rewind(),
            Kind::DeployUnderLies => self.deploy_under_lies(),
            Kind::TwoOperators => self.two_operators(),
            Kind::Redrive => self.redrive(),
        }
    }

    fn kill_at_point(&mut self) -> Result<()> {
        self.victim().kill()?;
        let armed = format!("{}:{}", self.fault.point, self.fault.pass);
        self.world.start(self.epoch, &[(VARIABLE, &armed)])?;
        let begun = wait::now();
        loop {
            let mut ended = None;
            self.while_sending(|round| {
                let instance = round.epoch.instances.last_mut().context("the armed instance is there")?;
                // Not to have ended yet is no error: more records may bring it to its point.
                ended = wait::until(ARMED_LOOK, "the fault point", || instance.ended()).ok();
                Ok(())
            })?;
            if ended.is_none() && begun.elapsed() < ARMED_LIMIT {
                continue;
            }
            let instance = self.epoch.instances.pop().context("the armed instance is there")?;
            if let Some(status) = ended {
                ensure!(status.signal() == Some(SIGKILL), "the armed instance ended with {status}");
            } else {
                self.played.missed = true;
                instance.kill()?;
            }
            break;
        }
        self.start_and_recover()
    }

    fn kill(&mut self) -> Result<()> {
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            round.victim().kill()
        })?;
        self.start_and_recover()
    }

    /// Two instances that both believe to be the one, until one of them dies.
    fn zombie(&mut self) -> Result<()> {
        let zombie = self.victim();
        zombie.freeze()?;
        if self.epoch.instances.is_empty() {
            self.world.start(self.epoch, &[])?;
        }
        let (before, begun) = (self.world.checker.standing()?, wait::now());
        self.while_sending(|_| Ok(()))?;
        self.recovered(&before, begun)?;
        self.world.drained(self.epoch)?;
        zombie.thaw()?;
        self.epoch.instances.push(zombie);
        let length = self.fault.length;
        self.while_sending(|_| {
            wait::moment(length);
            Ok(())
        })?;
        if self.epoch.instances.len() > self.world.means.instances {
            self.victim().kill()?;
        }
        Ok(())
    }

    fn broker(&mut self) -> Result<()> {
        let (mut before, mut begun) = (Vec::new(), wait::now());
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            round.world.kafka.stop();
            round.world.kafka.start()?;
            (before, begun) = (round.world.checker.standing()?, wait::now());
            Ok(())
        })?;
        self.while_sending(|_| Ok(()))?;
        self.recovered(&before, begun)
    }

    fn restart(&mut self) -> Result<()> {
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            end_well(round.victim())
        })?;
        self.start_and_recover()
    }

    fn join(&mut self) -> Result<()> {
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            round.world.start(round.epoch, &[])
        })?;
        self.recover()?;
        self.leave()
    }

    fn leave(&mut self) -> Result<()> {
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            end_well(round.victim())
        })?;
        self.recover()
    }

    fn rolling(&mut self) -> Result<()> {
        self.while_sending(|round| {
            for _ in 0..round.epoch.instances.len() {
                end_well(round.epoch.instances.remove(0))?;
                round.world.start(round.epoch, &[])?;
                wait::moment(Duration::from_millis(200));
            }
            Ok(())
        })?;
        self.recover()
    }

    fn store(&mut self, mischief: Mischief) -> Result<()> {
        let before = self.proxy_mischief(mischief)?;
        self.while_sending(|round| {
            wait::moment(round.fault.length);
            Ok(())
        })?;
        let after = self.proxy_mischief(NONE)?;
        self.played.note = Some(format!("{} requests met with it", after - before));
        self.recover()
    }

    fn kill_under_lies(&mut self) -> Result<()> {
        self.proxy_mischief(LIES)?;
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            round.victim().kill()?;
            round.world.start(round.epoch, &[])?;
            wait::moment(round.fault.length);
            Ok(())
        })?;
        self.proxy_mischief(NONE)?;
        self.recover()
    }

    /// Gives the proxy a plan; gives back how many requests have met with mischief so far.
    pub(crate) fn proxy_mischief(&mut self, mischief: Mischief) -> Result<u64> {
        let proxy = self.world.proxy.as_ref().context("the lake is behind no proxy")?;
        proxy.set(mischief);
        Ok(proxy.seen().mischief)
    }

    fn compaction(&mut self) -> Result<()> {
        self.while_sending(|round| {
            wait::moment(round.fault.after);
            round.played.note = Some(round.world.checker.compact()?);
            Ok(())
        })?;
        self.recover()
    }

    fn disk_full(&mut self) -> Result<()> {
        self.epoch.disk.as_ref().context("the lake has no disk of its own")?.fill()?;
        self.while_sending(|round| {
            wait::moment(round.fault.length);
            round.epoch.disk.as_ref().context("the lake has no disk of its own")?.free()
        })?;
        self.recover()
    }

    /// Takes an instance, by the seed.
    pub(crate) fn victim(&mut self) -> Instance {
        let count = u64::try_from(self.epoch.instances.len()).unwrap_or(1);
        let index = usize::try_from(self.random.between(0, count)).unwrap_or_default();
        self.epoch.instances.remove(index)
    }

    /// Sends records a few at a time while `meanwhile` goes on.
    pub(crate) fn while_sending(&mut self, meanwhile: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let count = self.random.between(100, 600);
        let messages = self.world.events(self.epoch, self.random, count)?;
        self.played.records += count;
        let producer = Arc::clone(&self.epoch.producer);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| trickle(&producer, &messages));
            let went_on = meanwhile(self);
            sending.join().map_err(|_| anyhow!("the sending thread panicked"))??;
            went_on
        })
    }

    /// An instance starts again, and more records come.
    fn start_and_recover(&mut self) -> Result<()> {
        let (before, begun) = (self.world.checker.standing()?, wait::now());
        self.world.start(self.epoch, &[])?;
        self.while_sending(|_| Ok(()))?;
        self.recovered(&before, begun)
    }

    /// The fault is over, and more records come.
    pub(crate) fn recover(&mut self) -> Result<()> {
        let (before, begun) = (self.world.checker.standing()?, wait::now());
        self.while_sending(|_| Ok(()))?;
        self.recovered(&before, begun)
    }

    pub(crate) fn recovered(&mut self, before: &[i64], begun: Instant) -> Result<()> {
        self.world.first_commit(self.epoch, before)?;
        self.played.recovered = Some(begun.elapsed());
        Ok(())
    }
}

/// SIGTERM to an instance that has started: before that the signal ends it as it ends any process, and there is nothing to commit.
fn end_well(mut instance: Instance) -> Result<()> {
    instance.wait_ready()?;
    let status = instance.terminate()?;
    ensure!(status.success(), "a stopped instance did not end well: {status}");
    Ok(())
}

/// Sends records over some tenths of a second.
fn trickle(producer: &Producer, messages: &[Message]) -> Result<()> {
    const PARTS: usize = 8;
    for part in messages.chunks(messages.len().div_ceil(PARTS)) {
        producer.send(retail::TOPIC, part.iter().cloned())?;
        wait::moment(Duration::from_millis(40));
    }
    Ok(())
}
