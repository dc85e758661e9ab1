//! The pipeline itself: the one place that knows the order of the stages.

mod again;
mod ahead;
mod begin;
mod bronze;
mod catch_up;
mod chunk;
mod commit;
mod committer;
mod cut;
mod desk;
mod drive;
mod error;
mod floors;
mod gold;
mod history;
mod horizon;
mod incarnations;
mod lane;
mod ledger;
mod letters;
mod log_ends;
mod meters;
mod minute;
mod moved;
mod newcomer;
mod others;
mod parking;
mod parts;
mod plan;
mod progress;
mod reached;
mod reader;
mod rebuild;
mod redrives;
mod releases;
mod report;
mod restore;
mod rewind;
mod rewound;
mod row;
mod run;
mod session;
mod shadows;
mod share;
mod start;
mod still;
mod target;
mod threads;
mod topics;
mod torn;
mod voided;
mod worker;

pub use bronze::read_back;
pub use error::{Error, Remedy};
pub use parking::{Failing, Span};
pub use plan::read_modules;
pub use run::{Options, Summary};

use crate::aggregate::View;
use crate::clock::Clock;
use crate::config::Config;
use crate::serve::orders::{Asked, Operator, Operators};
use crate::serve::{Catalog, Site, Status, Time};
use crate::sink::Warehouse;
use crate::telemetry::Metrics;
use crate::transform::ModuleFile;
use lakeward_manifest::Layer;
use meters::Meters;
use plan::Plan;
use releases::{Release, Releases};
use session::Seen;
use shadows::Shadows;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use still::Still;
use tokio::sync::watch;

/// Builds the module crate in a folder and says where the component is.
pub type Build<'a> = &'a dyn Fn(&Path) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>>;

/// A pipeline whose parts fit together.
pub struct Pipeline {
    config: Arc<Config>,
    /// What the configuration names; what runs is the session's.
    plan: Arc<Plan>,
    releases: Arc<tokio::sync::Mutex<Releases>>,
    /// What is to run, as the log of deployments says.
    next: watch::Sender<Option<Release>>,
    shadows: Arc<Shadows>,
    seen: Seen,
    meters: Arc<Meters>,
    /// Taken by the run.
    asked: Mutex<Option<Asked>>,
    clock: Clock,
    site: Arc<Site>,
    workers: usize,
    /// Records that are not processed yet; -1 while that is not known.
    lag: Arc<AtomicI64>,
}

impl Pipeline {
    /// Reads and checks everything that the configuration names; contacts neither Kafka nor the lake.
    ///
    /// # Errors
    /// When the configuration, a module or their combination is wrong.
    pub fn load(config: Config, clock: Clock, build: Build<'_>) -> Result<Self, Error> {
        let files = plan::read_modules(&config, build)?;
        Self::of_modules(config, clock, &files)
    }

    /// The same, of modules that are read already.
    ///
    /// # Errors
    /// When the configuration, a module or their combination is wrong.
    pub fn of_modules(config: Config, clock: Clock, files: &[ModuleFile]) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = config.workers.count.map_or(cores, NonZeroUsize::get);
        let config = Arc::new(config);
        let (releases, plan) = Releases::load(&config, &clock, files, workers)?;
        check_configured(&config, &plan)?;
        let status = Status::starting(config.pipeline.clone(), Time(clock.now_ms()));
        let (operators, asked) = Operators::new(config.operators.iter().map(|(name, operator)| {
            let who = Operator { name: name.clone(), domains: operator.domains.clone() };
            (operator.token.expose().to_vec(), who)
        }));
        let site = Arc::new(Site::new(status, Arc::new(Metrics::new())).operated_by(operators));
        let meters = Arc::new(Meters::new(&config, site.metrics()));
        Ok(Self {
            config,
            plan,
            releases: Arc::new(tokio::sync::Mutex::new(releases)),
            next: watch::Sender::new(None),
            shadows: Arc::new(Shadows::new(Arc::clone(&site))),
            seen: Seen::default(),
            meters,
            asked: Mutex::new(Some(asked)),
            clock,
            site,
            workers,
            lag: Arc::new(AtomicI64::new(-1)),
        })
    }

    /// What the HTTP side shows.
    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The number of records that are not processed yet, as it changes; -1 while it is not known.
    #[must_use]
    pub fn lag(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.lag)
    }

    /// What was found, for a person: modules, topics and products, a line each.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for module in &self.plan.modules {
            let manifest = module.manifest();
            lines.push(format!("module {} {} of {}", manifest.name, manifest.version, manifest.owner));
        }
        lines.extend(self.plan.topics.iter().map(|topic| format!("topic {}", topic.name)));
        lines.extend(self.plan.products.iter().map(|product| format!("product silver/{}", product.path)));
        lines.extend(self.plan.golds.iter().map(|gold| format!("product gold/{}", gold.plan.path())));
        lines
    }
}

impl Pipeline {
    /// Shows the products of a plan and their answers, and those of modules that are paused.
    fn publish(&self, plan: &Plan, lake: &Warehouse, mut views: Vec<Arc<View>>, still: Option<&Still>) {
        let mut catalog = Catalog::default();
        for module in plan.modules.iter().chain(still.iter().flat_map(|still| &still.plan.modules)) {
            catalog.add_module(module.manifest(), |layer: Layer, path: &str| {
                lake.table_url(&format!("{layer}/{path}")).to_string()
            });
        }
        if let Some(still) = still {
            views.extend(still.views.iter().map(Arc::clone));
        }
        self.site.publish(catalog, views);
    }
}

/// Every configured topic is read, and the brokers' settings are such that a client takes them.
fn check_configured(config: &Config, plan: &Plan) -> Result<(), Error> {
    for name in config.topics.keys() {
        if plan.topics.iter().all(|topic| &*topic.name != name) {
            let read: Vec<&str> = plan.topics.iter().map(|topic| &*topic.name).collect();
            return Err(Error::UnreadTopic { topic: name.clone(), read: read.join(", ") });
        }
    }
    check_topics(config, plan)?;
    if let Some(topic) = plan.topics.first().filter(|_| config.kafka.brokers.is_some()) {
        session::connect(config, &topic.name)?;
    }
    Ok(())
}

/// Every topic can be read from somewhere, and its events can be decoded.
fn check_topics(config: &Config, plan: &Plan) -> Result<(), Error> {
    for topic in &plan.topics {
        let settings = config.topics.get(&*topic.name);
        let has_path = settings.is_some_and(|settings| settings.path.is_some());
        if has_path && settings.is_some_and(|settings| settings.bronze) {
            return Err(Error::BronzeOfFiles { topic: topic.name.to_string() });
        }
        if !has_path && config.kafka.brokers.is_none() {
            return Err(Error::NoBrokers { topic: topic.name.to_string() });
        }
        crate::decode::Decoder::new(&plan.columns(plan.topics.iter().position(|t| t.name == topic.name).unwrap_or(0)))
            .map_err(|source| Error::Decode { topic: topic.name.to_string(), source })?;
    }
    Ok(())
}
