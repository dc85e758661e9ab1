//! What outlives a round: the broker, the store before its proxy, the checker; and one lake with its topic for some dozen rounds.

use crate::checker::Checker;
use crate::disk::Disk;
use crate::fault::Means;
use crate::generator::Generator;
use crate::{LakeKind, Settings};
use anyhow::{Context, Result, bail, ensure};
use lakeward_tests::broker::free_port;
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::kafka::Kafka;
use lakeward_tests::lake::Lake;
use lakeward_tests::minio::{Minio, lake_at};
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::product::Product;
use lakeward_tests::random::Random;
use lakeward_tests::readers::Readers;
use lakeward_tests::store_proxy::StoreProxy;
use lakeward_tests::{command, retail, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The pipeline's name.
const PIPELINE: &str = "torture";
/// Partitions of the topic.
const PARTITIONS: i32 = 4;
/// How long anything may take before it counts as stuck.
const LIMIT: Duration = Duration::from_secs(120);
/// How long gold may be behind the state; whoever has the care for it may first have to take over.
const GOLD_LIMIT: Duration = Duration::from_secs(30);

/// What all rounds share.
pub(crate) struct World {
    pub(crate) kafka: Kafka,
    pub(crate) checker: Checker,
    pub(crate) proxy: Option<StoreProxy>,
    pub(crate) means: Means,
    minio: Option<Minio>,
    product: Product,
    /// Whether this `lakeward` has the command `verify`.
    pub(crate) can_verify: bool,
    /// Whether the record is falsified.
    falsify: bool,
    lakes: usize,
}

impl World {
    /// Starts what is needed; `binary` is `lakeward`.
    pub(crate) fn set_up(settings: &Settings, binary: &Path) -> Result<Self> {
        let checker = Checker::start(&Readers::install()?)?;
        let kafka = Kafka::prepare()?;
        kafka.start()?;
        let is_s3 = settings.lake == LakeKind::S3;
        let minio = if is_s3 { Some(Minio::start()?) } else { None };
        let proxy = match &minio {
            Some(minio) => Some(StoreProxy::start(minio.address(), settings.seed)?),
            None => None,
        };
        let product = Product::new(binary.to_owned())?;
        let can_verify = command::works(product.command().args(["verify", "--help"]));
        let means = Means { store: is_s3, disk: !is_s3 && Disk::is_possible(), instances: settings.instances };
        Ok(Self { kafka, checker, proxy, means, minio, product, can_verify, falsify: settings.falsify, lakes: 0 })
    }

    /// An empty topic and an empty lake.
    pub(crate) fn new_lake(&mut self) -> Result<Epoch> {
        if self.lakes > 0 {
            self.kafka.delete(retail::TOPIC)?;
        }
        self.kafka.create(retail::TOPIC, PARTITIONS)?;
        self.lakes += 1;
        let folder = tempfile::Builder::new().prefix("lakeward-torture-").tempdir()?;
        let local = folder.path().join("lake");
        fs::create_dir(&local)?;
        let disk = if self.means.disk { Some(Disk::mount(&local)?) } else { None };
        let prefix = format!("torture-{}", self.lakes);
        let lake = self.minio.as_ref().map_or_else(|| Lake::folder(&local), |minio| minio.lake(&prefix));
        let mut config = self.config()?;
        match &self.proxy {
            Some(proxy) => lake_at(proxy.address(), &prefix).configure(config.text("lake.options", "timeout", "1s")),
            None => lake.configure(&mut config),
        }
        self.checker.open(&lake, PIPELINE)?;
        let partitions = usize::try_from(PARTITIONS)?;
        Ok(Epoch {
            producer: Arc::new(Producer::new(&self.kafka.bootstrap())?),
            generator: Generator::new(partitions),
            instances: Vec::new(),
            runs: 0,
            config,
            disk,
            folder,
        })
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::default();
        config.text("", "pipeline", PIPELINE).text("kafka", "brokers", &self.kafka.bootstrap());
        // Small and frequent, so that a fault falls among the steps of many commits.
        config.text("micro_batch", "every", "200ms").text("gold", "every", "300ms").text("gold", "idle_after", "1h");
        config.set("workers", "count", "2").module("retail", &self.product.module("transforms/retail")?);
        // A frozen or killed member is out of the group soon, and a broker that is back is found soon.
        config.text("kafka.properties", "session.timeout.ms", "1500");
        config.text("kafka.properties", "heartbeat.interval.ms", "300");
        config.text("kafka.properties", "reconnect.backoff.max.ms", "500");
        Ok(config)
    }

    /// Starts an instance, with variables of its environment.
    pub(crate) fn start(&self, epoch: &mut Epoch, environment: &[(&str, &str)]) -> Result<()> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        epoch.config.text("serve", "listen", &listen);
        epoch.runs += 1;
        let config = epoch.folder.path().join(format!("lakeward-{}.toml", epoch.runs));
        fs::write(&config, epoch.config.toml())?;
        let mut command = self.product.command();
        command.arg("run").arg("--config").arg(config).envs(environment.iter().copied());
        let log = epoch.folder.path().join(format!("{}.log", epoch.runs));
        epoch.instances.push(Instance::start(&mut command, &listen, &log)?);
        Ok(())
    }

    /// The next `count` events: they are on the record from now on.
    pub(crate) fn events(&mut self, epoch: &mut Epoch, random: &mut Random, count: u64) -> Result<Vec<Message>> {
        let mut events = epoch.generator.events(random, usize::try_from(count)?);
        if self.falsify {
            events.falsify();
        }
        self.checker.expect(&events, epoch.folder.path())?;
        Ok(events.messages)
    }

    /// Waits until the commits table has moved from `before`.
    pub(crate) fn first_commit(&mut self, epoch: &mut Epoch, before: &[i64]) -> Result<()> {
        wait::until_true(LIMIT, "a commit", || {
            epoch.all_live()?;
            Ok(self.checker.standing()? != before)
        })
    }

    /// Waits until all that was sent is committed.
    pub(crate) fn drained(&mut self, epoch: &mut Epoch) -> Result<()> {
        let sent = epoch.generator.sent().to_vec();
        let mut standing = Vec::new();
        wait::until_true(LIMIT, "all records to be committed", || {
            epoch.all_live()?;
            standing = self.checker.standing()?;
            Ok(standing == sent)
        })
        .with_context(|| format!("{sent:?} were sent, {standing:?} committed"))
    }

    /// What is wrong with the lake, when it is to hold all that was sent.
    pub(crate) fn check(&mut self, epoch: &mut Epoch) -> Result<Vec<String>> {
        let mut wrong = self.checker.check(epoch.generator.sent())?;
        // Gold follows at its own pace.
        let mut gold = Vec::new();
        let followed = wait::until_true(GOLD_LIMIT, "gold", || {
            gold = self.checker.check_gold()?;
            Ok(gold.is_empty())
        });
        if followed.is_err() {
            wrong.append(&mut gold);
        }
        if self.can_verify {
            wrong.extend(self.verify(epoch)?);
        }
        Ok(wrong)
    }

    /// What `lakeward verify` says against the lake.
    fn verify(&self, epoch: &Epoch) -> Result<Option<String>> {
        let mut command: Command = self.product.command();
        command.arg("verify").arg("--config").arg(epoch.folder.path().join(format!("lakeward-{}.toml", epoch.runs)));
        let output = command.output().context("calling lakeward verify")?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((!output.status.success()).then(|| format!("lakeward verify: {}", command::tail(&text, 10))))
    }
}

/// One lake with its topic and the instances that write it.
pub(crate) struct Epoch {
    pub(crate) producer: Arc<Producer>,
    pub(crate) generator: Generator,
    pub(crate) instances: Vec<Instance>,
    pub(crate) disk: Option<Disk>,
    runs: usize,
    config: Config,
    folder: TempDir,
}

impl Epoch {
    /// No instance has ended by itself.
    pub(crate) fn all_live(&mut self) -> Result<()> {
        for instance in &mut self.instances {
            if let Some(status) = instance.ended()? {
                let log = command::tail(&instance.log()?, 15);
                bail!("an instance ended by itself ({status}): {log}");
            }
        }
        Ok(())
    }

    /// Ends all instances cleanly.
    pub(crate) fn terminate(&mut self) -> Result<()> {
        for mut instance in self.instances.drain(..) {
            instance.wait_ready()?;
            let log = instance.log()?;
            let status = instance.terminate()?;
            ensure!(status.success(), "a stopped instance did not end well ({status}): {}", command::tail(&log, 15));
        }
        Ok(())
    }

    /// Ends everything at once and leaves the folder to be looked at. A lake on a disk of its own is copied first.
    pub(crate) fn keep(mut self) -> Result<PathBuf> {
        self.instances.clear();
        let (lake, copy) = (self.folder.path().join("lake"), self.folder.path().join("lake-kept"));
        if self.disk.is_some() {
            command::output(Command::new("cp").arg("-a").arg(&lake).arg(&copy))?;
        }
        self.disk = None;
        Ok(self.folder.keep())
    }
}
