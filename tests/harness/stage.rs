//! The world of one case: its folder, its lake, its broker, and `lakeward` to run in it.

use crate::broker::{Broker, free_port};
use crate::config::Config;
use crate::embedded::Embedded;
use crate::instance::Instance;
use crate::kafka::{Kafka, Turn};
use crate::lake::{Lake, TableAt};
use crate::minio::Minio;
use crate::process::Leashed;
use crate::product::Product;
use crate::readers::{Engine, Readers};
use crate::{command, wait};
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// How long a run to the end may take, in a debug build on a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// What all cases share, made when the first one asks for it. A failure is kept: every case that needs it fails alike.
pub struct Shared {
    binary: PathBuf,
    product: OnceLock<Result<Product, String>>,
    readers: OnceLock<Result<Readers, String>>,
    kafka: OnceLock<Result<Arc<Kafka>, String>>,
    minio: OnceLock<Result<Minio, String>>,
}

impl Shared {
    /// Nothing made yet; `binary` is the `lakeward` that cargo built beside the tests.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            product: OnceLock::new(),
            readers: OnceLock::new(),
            kafka: OnceLock::new(),
            minio: OnceLock::new(),
        }
    }

    fn kafka(&self) -> Result<Arc<Kafka>> {
        once(&self.kafka, || {
            let kafka = Kafka::prepare()?;
            kafka.start()?;
            Ok(Arc::new(kafka))
        })
        .cloned()
    }
}

fn once<T>(cell: &OnceLock<Result<T, String>>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    cell.get_or_init(|| make().map_err(|error| format!("{error:#}"))).as_ref().map_err(|error| anyhow!("{error}"))
}

/// Which broker a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// A real Apache Kafka.
    Kafka,
    /// librdkafka's, in the tests' process.
    Embedded,
    /// None: the case reads files, or never gets as far.
    None,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// The last line of `lakeward run --until-current --json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Records read.
    pub records: i64,
    /// Rows by product.
    pub rows: BTreeMap<String, i64>,
    /// Records from which a transform made nothing, on purpose.
    pub skips: i64,
    /// Records that could not become rows.
    pub dead_letters: i64,
    /// Rows that came after their window had closed.
    pub late: i64,
    /// Commits.
    pub micro_batches: i64,
    /// How long it took.
    pub seconds: f64,
}

/// One case's world.
pub struct Stage {
    pipeline: String,
    folder: TempDir,
    broker: Option<Box<dyn Broker>>,
    kafka: Option<Arc<Kafka>>,
    shared: Arc<Shared>,
    runs: AtomicUsize,
    lake: OnceLock<Lake>,
    environment: OnceLock<Vec<(String, String)>>,
}

impl Stage {
    /// Sets up the world of the case `name`.
    ///
    /// # Errors
    /// When its broker does not start.
    pub fn set_up(name: &str, broker: BrokerKind, shared: Arc<Shared>) -> Result<Self> {
        let kafka = if broker == BrokerKind::Kafka { Some(shared.kafka()?) } else { None };
        let broker: Option<Box<dyn Broker>> = match (broker, &kafka) {
            (BrokerKind::Embedded, _) => Some(Box::new(Embedded::start()?)),
            (_, Some(kafka)) => Some(Box::new(Turn::new(Arc::clone(kafka)))),
            _ => None,
        };
        let mut folder = tempfile::Builder::new().prefix("lakeward-case-").tempdir()?;
        // To look at what a case left behind.
        folder.disable_cleanup(std::env::var_os("LAKEWARD_KEEP").is_some());
        Ok(Self {
            pipeline: name.replace("::", "-").replace('_', "-"),
            folder,
            broker,
            kafka,
            shared,
            runs: AtomicUsize::new(0),
            lake: OnceLock::new(),
            environment: OnceLock::new(),
        })
    }

    /// The case's broker.
    ///
    /// # Errors
    /// When it has none.
    pub fn broker(&self) -> Result<&dyn Broker> {
        self.broker.as_deref().context("this case has no broker")
    }

    /// The shared Kafka itself, for what the embedded broker cannot do.
    ///
    /// # Errors
    /// When the case runs on another broker.
    pub fn kafka(&self) -> Result<&Kafka> {
        self.kafka.as_deref().context("this case does not run on Kafka")
    }

    /// The binary and its modules.
    ///
    /// # Errors
    /// When they do not build.
    pub fn product(&self) -> Result<&Product> {
        once(&self.shared.product, || Product::new(self.shared.binary.clone()))
    }

    /// The engines that read tables.
    ///
    /// # Errors
    /// When they cannot be installed.
    pub fn readers(&self) -> Result<&Readers> {
        once(&self.shared.readers, Readers::install)
    }

    /// The S3 server.
    ///
    /// # Errors
    /// When it cannot be built or does not start.
    pub fn minio(&self) -> Result<&Minio> {
        once(&self.shared.minio, Minio::start)
    }

    /// The case's lake: in its folder, unless [`Self::set_lake`] said otherwise before.
    pub fn lake(&self) -> &Lake {
        self.lake.get_or_init(|| Lake::folder(&self.folder().join("lake")))
    }

    /// Puts the lake elsewhere, once, before anything asks for it.
    ///
    /// # Errors
    /// When somebody has asked already.
    pub fn set_lake(&self, lake: Lake) -> Result<()> {
        self.lake.set(lake).map_err(|_| anyhow!("the case has its lake already"))
    }

    /// Gives `lakeward` variables of the environment, once, before it is first called.
    ///
    /// # Errors
    /// When it has some already.
    pub fn set_environment(&self, variables: Vec<(String, String)>) -> Result<()> {
        self.environment.set(variables).map_err(|_| anyhow!("the case has its environment already"))
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.product()?.command();
        let variables = self.environment.get().map(Vec::as_slice).unwrap_or_default();
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// The case's own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of the case's pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Where a table of a lake in the case's folder stands.
    #[must_use]
    pub fn table(&self, path: &str) -> PathBuf {
        self.folder().join("lake").join(path)
    }

    /// A configuration that runs the modules of these crates on the case's broker into the case's lake.
    ///
    /// # Errors
    /// When a module does not build or no port is free.
    pub fn config(&self, sources: &[&str]) -> Result<Config> {
        let mut config = Config::default();
        config.text("", "pipeline", &self.pipeline);
        self.lake().configure(&mut config);
        config.text("serve", "listen", &format!("127.0.0.1:{}", free_port()?));
        if let Some(broker) = &self.broker {
            config.text("kafka", "brokers", &broker.bootstrap());
            if self.kafka.is_none() {
                // The embedded broker is slow to notice that a member was killed, and has one reader anyway.
                config.text("kafka", "membership", "alone");
            }
        }
        for source in sources {
            let name = source.rsplit('/').next().unwrap_or(source);
            config.module(name, &self.product()?.module(source)?);
        }
        Ok(config)
    }

    /// Calls `lakeward` to its end, with a configuration if one is given.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn call(&self, arguments: &[&str], config: Option<&str>) -> Result<Finished> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let output = |name: &str| self.folder().join(format!("{run}.{name}.log"));
        let mut command = self.command()?;
        command.args(arguments).stdin(Stdio::null());
        command.stdout(File::create(output("stdout"))?).stderr(File::create(output("stderr"))?);
        if let Some(toml) = config {
            let path = self.folder().join(format!("lakeward-{run}.toml"));
            fs::write(&path, toml)?;
            command.arg("--config").arg(path);
        }
        let status = Leashed::spawn(&mut command)?.wait(RUN_LIMIT)?;
        let read = |name: &str| fs::read(output(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Finished { code: status.code(), stdout: read("stdout")?, stderr: read("stderr")? })
    }

    /// Runs the pipeline until it has what was in the topics at the start.
    ///
    /// # Errors
    /// When it fails or prints no summary.
    pub fn until_current(&self, config: &Config) -> Result<Summary> {
        let finished = self.call(&["run", "--until-current", "--json"], Some(&config.toml()))?;
        if finished.code != Some(0) {
            bail!("lakeward ended with {:?}: {}", finished.code, command::tail(&finished.stderr, 20));
        }
        let last = finished.stdout.trim_end().lines().next_back().context("a run that printed nothing")?;
        serde_json::from_str(last).with_context(|| format!("not a summary: {last}"))
    }

    /// Starts the pipeline; it runs until it is told to end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, config: &mut Config) -> Result<Instance> {
        self.start_with(config, &[])
    }

    /// The same, with further variables of the environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with(&self, config: &mut Config, variables: &[(&str, &str)]) -> Result<Instance> {
        // A new port each time: after a SIGKILL the old one may still be closing.
        let listen = format!("127.0.0.1:{}", free_port()?);
        config.text("serve", "listen", &listen);
        self.spawn(&listen, config, variables)
    }

    /// The same at an address that the configuration gives already.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_at(&self, listen: &str, config: &Config) -> Result<Instance> {
        self.spawn(listen, config, &[])
    }

    fn spawn(&self, listen: &str, config: &Config, variables: &[(&str, &str)]) -> Result<Instance> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let path = self.folder().join(format!("lakeward-{run}.toml"));
        fs::write(&path, config.toml())?;
        let mut command = self.command()?;
        command.arg("run").arg("--config").arg(path).envs(variables.iter().copied());
        Instance::start(&mut command, listen, &self.folder().join(format!("{run}.log")))
    }

    /// Runs a query over tables of the lake, given by name and path.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub fn query(&self, engine: Engine, tables: &[(&str, &str)], sql: &str) -> Result<Vec<Value>> {
        let tables: Vec<(&str, TableAt)> = tables.iter().map(|(name, path)| (*name, self.lake().table(path))).collect();
        self.readers()?.query(engine, &tables, sql)
    }

    /// Runs a query over one table of the lake as it was at a version, as Python's deltalake reads it.
    ///
    /// # Errors
    /// When the table cannot be read as it was then.
    pub fn query_past(&self, (name, path): (&str, &str), version: u64, sql: &str) -> Result<Vec<Value>> {
        self.readers()?.query(Engine::DeltaLake, &[(name, self.lake().table(path).at(version))], sql)
    }

    /// Waits until a table has at least `count` versions.
    ///
    /// # Errors
    /// When `going_on` fails, or the versions do not come.
    pub fn wait_versions(&self, table: &str, count: usize, mut going_on: impl FnMut() -> Result<()>) -> Result<()> {
        let log = self.table(table).join("_delta_log");
        wait::until_true(RUN_LIMIT, &format!("{count} versions of {table}"), || {
            going_on()?;
            let Ok(entries) = fs::read_dir(&log) else { return Ok(false) };
            let versions =
                entries.flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "json"));
            Ok(versions.count() >= count)
        })
    }

    /// The end of everything that `lakeward` printed in this case.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut logs = String::new();
        for entry in fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|kind| kind == "log") {
                let bytes = fs::read(&path).unwrap_or_default();
                let text = command::tail(&String::from_utf8_lossy(&bytes), 20);
                logs.push_str(&format!("--- {}\n{text}\n", entry.file_name().display()));
            }
        }
        logs
    }
}
