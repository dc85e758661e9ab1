//! What outlives a round: the broker, the store before its proxy, the checker; and one lake with its topic for some dozen rounds.

use crate::checker::Checker;
use crate::disk::Disk;
use crate::fault::Means;
use crate::generator::Generator;
use crate::orders::{self, Asked, MODULE, MODULES, OPERATORS, OTHER, Order, Standing};
use crate::redrives::Request;
use crate::{LakeKind, Settings};
use anyhow::{Context, Result, bail, ensure};
use lakeward::transform::ModuleFile;
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
use serde_json::{Value, json};
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
/// Records between two modules from which on they are read apart: so few that one that was paused for a second catches up beside the other.
const BEHIND: &str = "150";
/// Records of a micro-batch behind the live edge: a module that catches up there commits several times.
const ROWS: &str = "250";
/// How long anything may take before it counts as stuck.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// How long an instance may take until it runs what is deployed: that it looks, compiles, and is given partitions again.
const FOLLOW_LIMIT: Duration = Duration::from_secs(60);
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
    /// Builds of one module that do the same and differ in their digests; the first is the one that the configuration names.
    versions: Vec<Version>,
    /// The digest of the other module: nobody changes it.
    other: String,
    /// Whether this `lakeward` has the command `verify`.
    pub(crate) can_verify: bool,
    /// Whether the record is falsified.
    falsify: bool,
    lakes: usize,
}

/// A build of the module.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) path: PathBuf,
    pub(crate) digest: String,
}

impl Version {
    fn read(path: PathBuf) -> Result<Self> {
        let digest = ModuleFile::read(&path)?.digest;
        Ok(Self { path, digest })
    }
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
        let other = Version::read(other(&product)?)?.digest;
        let (versions, falsify) = (Vec::new(), settings.falsify);
        Ok(Self { kafka, checker, proxy, means, minio, product, versions, other, can_verify, falsify, lakes: 0 })
    }

    /// Builds of the module: made when the first round wants them.
    pub(crate) fn versions(&mut self) -> Result<Vec<Version>> {
        if self.versions.is_empty() {
            // What is replaced is said to nobody: no event is so large.
            let other = [("the line total is too large", "the line total is much too large")];
            let paths = [
                self.product.module(&format!("transforms/{MODULE}"))?,
                self.product.retail_variant("second", &[])?,
                self.product.retail_variant("third", &other)?,
            ];
            self.versions = paths.into_iter().map(Version::read).collect::<Result<_>>()?;
        }
        Ok(self.versions.clone())
    }

    /// An empty topic and an empty lake, in which the topic's records are kept or not.
    pub(crate) fn new_lake(&mut self, has_bronze: bool) -> Result<Epoch> {
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
        if has_bronze {
            config.set(&format!("topics.{}", retail::TOPIC), "bronze", "true");
        }
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
            orders: Vec::new(),
            asked: 0,
            has_seen_catch_up: false,
            has_bronze,
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
        config.set("workers", "count", "2").module(MODULE, &self.product.module(&format!("transforms/{MODULE}"))?);
        config.set("micro_batch", "rows", ROWS).set("catch_up", "behind", BEHIND).module(OTHER, &other(&self.product)?);
        for (name, token) in OPERATORS {
            config.text(&format!("operators.{name}"), "token", token);
        }
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

    /// Calls a command that asks the instance at `server`, as one of the operators.
    pub(crate) fn ask(&self, epoch: &mut Epoch, server: &str, operator: usize, arguments: &[&str]) -> Result<Asked> {
        epoch.asked += 1;
        let why = format!("order {}", epoch.asked);
        let (_, token) = OPERATORS[operator % OPERATORS.len()];
        let mut command = self.product.command();
        command.args(arguments).args(["--server", server, "--why", &why, "--json"]).env("LAKEWARD_TOKEN", token);
        Asked::new(command, why)
    }

    /// Asks something of dead letters. How many that are; `None` where there is none, or it did not work.
    pub(crate) fn request(&self, epoch: &Epoch, request: &Request) -> Result<(Option<u64>, String)> {
        let mut command = self.product.command();
        command.args(["dead-letters", request.action, "--who", OPERATORS[0].0, "--json"]).args(request.conditions());
        let output = command.arg("--config").arg(epoch.newest_config()).output().context("calling lakeward")?;
        let receipt = serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default();
        Ok((receipt["letters"].as_u64(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// The digests that are active, by module, where the one that is deployed stands so.
    pub(crate) fn active(&self, standing: &Standing) -> Value {
        json!({ MODULE: standing.active(), OTHER: self.other })
    }

    /// Where the module stands by the log of deployments.
    pub(crate) fn standing(&mut self) -> Result<Standing> {
        Ok(Standing::of(&self.checker.deployments()?))
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
        self.drained_by(epoch, &MODULES)
    }

    /// Waits until all that was sent is committed by these modules, of which one reads first.
    pub(crate) fn drained_by(&mut self, epoch: &mut Epoch, modules: &[&str]) -> Result<()> {
        let sent = epoch.generator.sent().to_vec();
        let mut standings = std::collections::BTreeMap::new();
        wait::until_true(LIMIT, "all records to be committed", || {
            epoch.all_live()?;
            epoch.look_for_catch_up();
            standings = self.checker.standings()?;
            Ok(modules.iter().chain(&[""]).all(|module| standings.get(*module) == Some(&sent)))
        })
        .with_context(|| format!("{sent:?} were sent, {standings:?} committed"))
    }

    /// What is wrong with the lake, when it is to hold all that was sent.
    pub(crate) fn check(&mut self, epoch: &mut Epoch) -> Result<Vec<String>> {
        let log = self.checker.deployments()?;
        let mut wrong = orders::judge(&log, &epoch.orders);
        let standing = Standing::of(&log);
        if let Err(error) = epoch.follow(&standing) {
            wrong.push(format!("{error:#}"));
        }
        wrong.append(&mut self.checker.check(epoch.generator.sent(), &self.active(&standing))?);
        wrong.append(&mut self.check_gold(&MODULES)?);
        if self.can_verify {
            wrong.extend(self.verify(epoch)?);
        }
        Ok(wrong)
    }

    /// What is wrong with the tables of the module to which nothing is done, when it is to have all that was sent.
    pub(crate) fn check_other(&mut self) -> Result<Vec<String>> {
        let mut wrong = self.checker.check_module(OTHER)?;
        wrong.append(&mut self.check_gold(&[OTHER])?);
        Ok(wrong)
    }

    /// What stays wrong with gold, which follows at its own pace.
    fn check_gold(&mut self, modules: &[&str]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let followed = wait::until_true(GOLD_LIMIT, "gold", || {
            wrong = self.checker.check_gold(modules)?;
            Ok(wrong.is_empty())
        });
        Ok(if followed.is_ok() { Vec::new() } else { wrong })
    }

    /// What `lakeward verify` says against the lake.
    fn verify(&self, epoch: &Epoch) -> Result<Option<String>> {
        let mut command: Command = self.product.command();
        command.arg("verify").arg("--config").arg(epoch.newest_config());
        let output = command.output().context("calling lakeward verify")?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let wrong = text.lines().filter(|line| !line.starts_with("ok ")).collect::<Vec<_>>().join("\n  ");
        Ok((!output.status.success()).then(|| format!("lakeward verify: {}", command::tail(&wrong, 20))))
    }
}

/// The module that is the retail module of another owner.
fn other(product: &Product) -> Result<PathBuf> {
    product.variant(OTHER, OTHER, &[("owner = \"retail\"", "owner = \"wholesale\"")])
}

/// Whether an instance says that modules catch up; one that starts, or is dead, says nothing.
fn says_catch_up(instance: &Instance) -> bool {
    let status = instance.get("/v1/status").and_then(|answer| answer.json());
    status.is_ok_and(|status| status["catch_up"].is_object())
}

/// One lake with its topic and the instances that write it.
pub(crate) struct Epoch {
    pub(crate) producer: Arc<Producer>,
    pub(crate) generator: Generator,
    pub(crate) instances: Vec<Instance>,
    pub(crate) disk: Option<Disk>,
    /// Orders to the pipeline, each with its end.
    pub(crate) orders: Vec<Order>,
    /// Whether an instance has said, since the round began, that modules catch up beside the others.
    pub(crate) has_seen_catch_up: bool,
    /// Whether the topic's records are kept in the lake.
    pub(crate) has_bronze: bool,
    asked: usize,
    runs: usize,
    config: Config,
    folder: TempDir,
}

impl Epoch {
    fn newest_config(&self) -> PathBuf {
        self.folder.path().join(format!("lakeward-{}.toml", self.runs))
    }

    /// Asks the instances whether modules catch up.
    fn look_for_catch_up(&mut self) {
        self.has_seen_catch_up = self.has_seen_catch_up || self.instances.iter().any(says_catch_up);
    }

    /// Waits until every instance says of the module what the log says, and runs what is active.
    pub(crate) fn follow(&mut self, standing: &Standing) -> Result<()> {
        let path = format!("/v1/modules/{MODULE}");
        let running = (!standing.is_paused).then(|| standing.active());
        let mut has_seen_catch_up = false;
        for instance in &mut self.instances {
            let mut said = String::new();
            let followed =
                instance.wait_for(FOLLOW_LIMIT, "an instance to follow the log of deployments", |instance| {
                    let Ok(answer) = instance.get(&path) else { return Ok(None) };
                    has_seen_catch_up |= says_catch_up(instance);
                    said.clone_from(&answer.body);
                    let Ok(module) = answer.json() else { return Ok(None) };
                    let is_there = module["digest"] == standing.active()
                        && module["running"].as_str() == running
                        && module["paused"].is_string() == standing.is_paused
                        && module["shadow"].as_str() == standing.shadow.as_deref();
                    Ok(is_there.then_some(()))
                });
            followed.with_context(|| format!("it says {said}, the log comes to {standing:?}"))?;
        }
        self.has_seen_catch_up |= has_seen_catch_up;
        Ok(())
    }

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
