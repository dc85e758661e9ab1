//! Which modules run: what the log of deployments says, compiled once for each digest.

use super::commit::{chain, persist};
use super::plan::Plan;
use super::session::Slot;
use super::{Error, check_topics, rewound};
use crate::checkpoint::SourcePartition;
use crate::clock::Clock;
use crate::config::Config;
use crate::release::{self, Action, AppendError, Deployment, Deployments, Standing, Target};
use crate::serve::Time;
use crate::serve::orders::{Decision, Released};
use crate::sink::{Table, TableSpec, Warehouse};
use crate::transform::{Host, Limits, Module, ModuleFile};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Who deploys what a configuration names and nobody has deployed.
const CONFIGURATION: &str = "configuration";

/// Compiled modules that are kept although they may not run: who rolls back need not wait for a compiler.
const SPARE: usize = 32;

/// What runs at a time.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) plan: Arc<Plan>,
    /// The topics that any module reads, a paused one too.
    pub(super) topics: Vec<String>,
    /// Modules that get no records, each with the topics that it reads.
    paused: Vec<(String, Vec<String>)>,
    /// The newest rewind of modules, with its number.
    pub(super) rewinds: Vec<(String, i64, Target)>,
    /// Paused modules that run all the same, to finish what they have begun: a rewind of theirs waits until they are resumed.
    pub(super) finishing: Vec<String>,
    /// Where the modules stand for that.
    standings: BTreeMap<String, Standing>,
}

impl Release {
    /// Whether a session over `other` can go on with this one at the end of a micro-batch.
    pub(super) fn follows(&self, other: &Plan, rewinds: &[(String, i64, Target)]) -> bool {
        other.has_shape_of(&self.plan) && self.rewinds == rewinds
    }

    /// How many decisions about modules have led to it.
    pub(super) fn decisions(&self) -> i64 {
        self.standings.values().map(|standing| standing.sequence).sum()
    }

    /// The paused modules that read a topic.
    pub(super) fn paused_readers(&self, topic: &str) -> impl Iterator<Item = &str> {
        let reads = move |(_, topics): &&(String, Vec<String>)| topics.iter().any(|of| of == topic);
        self.paused.iter().filter(reads).map(|(name, _)| name.as_str())
    }

    /// The progress that modules may have of their own in a partition.
    pub(super) fn progress_of(&self, slot: &Slot) -> impl Iterator<Item = SourcePartition> {
        let all = self.plan.readers(slot.topic).chain(self.paused_readers(&slot.partition.topic));
        all.map(|reader| slot.partition.of_reader(reader))
    }
}

/// What modules are to run for.
#[derive(Debug, Clone, Copy)]
enum Way<'a> {
    /// They read at the live edge.
    Live,
    /// They are behind, and catch up beside these others.
    Beside(&'a Plan),
    /// These digests, by module, have begun what is not wholly committed, and finish it.
    Finish(&'a BTreeMap<String, String>),
}

impl Way<'_> {
    /// Whether a module is not given up on, however long it takes: nobody else can finish what it has begun.
    fn is_patient_with(self, module: &str) -> bool {
        matches!(self, Self::Finish(digests) if digests.contains_key(module))
    }
}

/// The modules, by the log.
pub(super) struct Releases {
    config: Arc<Config>,
    clock: Clock,
    host: Host,
    configured: Vec<ModuleFile>,
    compiled: BTreeMap<String, Module>,
    log: Option<(Warehouse, Deployments)>,
    /// What was built last, and of which digests.
    built: Option<(Vec<String>, Release)>,
}

impl std::fmt::Debug for Releases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Releases").field("compiled", &self.compiled.keys()).finish_non_exhaustive()
    }
}

impl Releases {
    /// Compiles what the configuration names; contacts nothing.
    pub(super) fn load(
        config: &Arc<Config>,
        clock: &Clock,
        files: &[ModuleFile],
        workers: usize,
    ) -> Result<(Self, Arc<Plan>), Error> {
        let limits = Limits {
            fuel: config.transform.fuel.get(),
            memory: usize::try_from(config.transform.memory).unwrap_or(usize::MAX),
            output: usize::try_from(config.transform.output).unwrap_or(usize::MAX),
            timeout: config.transform.timeout,
        };
        let mut releases = Self {
            config: Arc::clone(config),
            clock: clock.clone(),
            host: Host::new(limits, workers)?,
            configured: files.to_vec(),
            compiled: BTreeMap::new(),
            log: None,
            built: None,
        };
        let modules = files.iter().map(|file| releases.compile(file)).collect::<Result<Vec<_>, _>>()?;
        let plan = Arc::new(Plan::new(config, &modules, &[])?);
        Ok((releases, plan))
    }

    /// Compiles a module that stands under its own name, once.
    pub(super) fn compile(&mut self, file: &ModuleFile) -> Result<Module, Error> {
        if let Some(module) = self.compiled.get(&file.digest) {
            return Ok(module.clone());
        }
        let module = Module::load(&self.host, file)?;
        self.make_room();
        self.compiled.insert(file.digest.clone(), module.clone());
        Ok(module)
    }

    /// Forgets what does not run, where that has become much.
    fn make_room(&mut self) {
        let standings = self.standings();
        let configured = self.configured.iter().map(|file| file.digest.as_str());
        let deployed = standings.values().flat_map(|standing| [standing.active(), standing.shadow.as_deref()]);
        let used: BTreeSet<&str> = deployed.flatten().chain(configured).collect();
        if self.compiled.len() >= used.len() + SPARE {
            self.compiled.retain(|digest, _| used.contains(digest.as_str()));
        }
    }

    /// Opens the log where it is not open, and deploys what the configuration names and was never deployed.
    pub(super) async fn open(&mut self, lake: &Warehouse) -> Result<(), Error> {
        if self.log.is_some() {
            return Ok(());
        }
        let log = Deployments::open(lake, &self.config.pipeline).await?;
        self.log = Some((lake.clone(), log));
        let deployed = self.deploy_configured().await;
        if deployed.is_err() {
            self.log = None;
        }
        deployed
    }

    /// Writes down what the configuration names and nobody has deployed, where it fits everything else: what is in the log stays in it.
    async fn deploy_configured(&mut self) -> Result<(), Error> {
        for file in self.configured.clone() {
            let name = &file.manifest.name;
            // Another instance may have the same configuration, and be first.
            while self.standing(name).is_none() {
                let deployment = Deployment {
                    digest: Some(file.digest.clone()),
                    version: Some(file.manifest.version.clone()),
                    at_ms: self.clock.now_ms(),
                    ..Deployment::of(name, Action::Deploy, CONFIGURATION)
                };
                let mut standing = Standing::default();
                standing.apply(&deployment);
                let planned = self.release_with(Some((name, &standing))).await?;
                self.check_tables(&planned, None).await?;
                match self.append(Some(&file), 0, deployment).await {
                    Ok(()) | Err(AppendError::Lost) => self.refresh().await?,
                    Err(AppendError::Sink(error)) => return Err(error.into()),
                };
            }
            let active = self.standing(name).and_then(|standing| standing.active().map(str::to_owned));
            if active.as_ref().is_some_and(|active| *active != file.digest) {
                let path = self.config.modules.get(name).map_or_else(PathBuf::new, |module| module.path.clone());
                tracing::warn!(
                    module = name,
                    active,
                    file = file.digest,
                    "another module is deployed than the configuration's file: `lakeward deploy {}` makes that one active",
                    path.display()
                );
            }
        }
        for name in self.standings().into_keys().filter(|name| !self.config.modules.contains_key(name)) {
            tracing::info!(module = name, "runs as deployed, the configuration does not name it");
        }
        Ok(())
    }

    fn standing(&self, name: &str) -> Option<Standing> {
        self.log.as_ref().and_then(|(_, log)| log.standing(name))
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The lake, once it is open.
    pub(super) fn lake(&self) -> Option<Warehouse> {
        self.log.as_ref().map(|(lake, _)| lake.clone())
    }

    /// The log and its lake, once they are open.
    pub(super) fn log(&mut self) -> Option<(&Warehouse, &mut Deployments)> {
        self.log.as_mut().map(|(lake, log)| (&*lake, log))
    }

    /// Reads what was decided since.
    pub(super) async fn refresh(&mut self) -> Result<(), Error> {
        if let Some((_, log)) = &mut self.log {
            log.refresh().await?;
        }
        Ok(())
    }

    /// What the log says is to run.
    pub(super) async fn release(&mut self) -> Result<Release, Error> {
        self.release_with(None).await
    }

    /// Whether the tables take what a release writes, or are to be made anew. A manifest says only what the module before wrote, a table has
    /// columns of all before that. Tables that `running` writes alike need no look.
    pub(super) async fn check_tables(&self, release: &Release, running: Option<&Plan>) -> Result<(), Error> {
        let Some((lake, _)) = &self.log else { return Ok(()) };
        let renewed = rewound::to_renew(&self.config, lake, release).await?;
        let is_known = |spec: &TableSpec| {
            let tables = running.map(|plan| plan.tables.as_slice()).unwrap_or_default();
            let same = |other: &TableSpec| {
                other.path == spec.path
                    && other.schema == spec.schema
                    && other.partition_columns == spec.partition_columns
            };
            tables.iter().any(|table| same(&table.spec))
        };
        let tables = release.plan.tables.iter().filter(|table| !renewed.contains(&table.spec.path));
        for table in tables.filter(|table| !is_known(&table.spec)) {
            Table::check(lake, &self.config.pipeline, table.spec.clone()).await?;
        }
        Ok(())
    }

    /// What is to run, with other digests of some modules, which finish what they have begun, whether or not they get records after that.
    pub(super) async fn release_as(&mut self, digests: &BTreeMap<String, String>) -> Result<Release, Error> {
        let mut standings = self.standings();
        let mut finishing = Vec::new();
        for (name, digest) in digests {
            if let Some(standing) = standings.get_mut(name) {
                standing.digests.push(digest.clone());
                finishing.extend(standing.paused.take().map(|_| name.clone()));
                standing.shadow = None;
            }
        }
        let release = self.release_of(&standings, Way::Finish(digests)).await?;
        Ok(Release { finishing, ..release })
    }

    /// What is to run, with one module as if it stood otherwise.
    pub(super) async fn release_with(&mut self, instead: Option<(&str, &Standing)>) -> Result<Release, Error> {
        let mut standings = self.standings();
        if let Some((name, standing)) = instead {
            standings.insert(name.to_owned(), standing.clone());
        }
        let key: Vec<String> = standings
            .iter()
            .map(|(name, standing)| {
                let active = standing.active().unwrap_or_default();
                let shadow = standing.shadow.as_deref().unwrap_or_default();
                let rewind = standing.rewind.as_ref().map_or(0, |(number, _)| *number);
                format!("{name} {active} {shadow} {} {rewind}", standing.paused.is_some())
            })
            .collect();
        if let Some((_, release)) = self.built.as_ref().filter(|(of, _)| *of == key) {
            return Ok(release.clone());
        }
        let release = self.release_of(&standings, Way::Live).await?;
        if instead.is_none() {
            self.built = Some((key, release.clone()));
        }
        Ok(release)
    }

    async fn release_of(&mut self, standings: &BTreeMap<String, Standing>, way: Way<'_>) -> Result<Release, Error> {
        let (mut modules, mut shadows, mut topics) = (Vec::new(), Vec::new(), Vec::new());
        let (mut paused, mut rewinds) = (Vec::new(), Vec::new());
        for (name, standing) in standings {
            let Some(digest) = standing.active() else { continue };
            let module = self.module(name, digest).await?;
            let read: Vec<String> = module.manifest().inputs.iter().map(|input| input.topic.clone()).collect();
            topics.extend(read.iter().cloned());
            rewinds.extend(standing.rewind.iter().map(|(number, target)| (name.clone(), *number, target.clone())));
            if standing.paused.is_some() {
                paused.push((name.clone(), read));
            } else {
                modules.push(if way.is_patient_with(name) { module.parked_after(None) } else { module });
                if let Some(shadow) = &standing.shadow {
                    shadows.push(self.module(name, shadow).await?);
                }
            }
        }
        topics.sort();
        topics.dedup();
        let plan = Plan::new(&self.config, &modules, &shadows)?;
        let plan = match way {
            Way::Beside(others) => plan.beside(others),
            Way::Live | Way::Finish(_) => plan,
        };
        check_topics(&self.config, &plan)?;
        let (plan, standings) = (Arc::new(plan), standings.clone());
        Ok(Release { plan, topics, paused, rewinds, finishing: Vec::new(), standings })
    }

    /// A release in two: without the modules that are `behind`, and these alone, which catch up beside the others. Those that `wait` are in
    /// neither.
    pub(super) async fn split(
        &mut self,
        whole: &Release,
        behind: &[String],
        wait: &[String],
    ) -> Result<(Release, Release), Error> {
        let standings = whole.standings.clone();
        let without = |leave: &dyn Fn(&String) -> bool| {
            let mut standings = standings.clone();
            for (_, standing) in standings.iter_mut().filter(|(name, _)| leave(name)) {
                standing.paused.get_or_insert_with(|| "it is read apart".to_owned());
            }
            standings
        };
        let ahead = self.release_of(&without(&|name| behind.contains(name) || wait.contains(name)), Way::Live).await?;
        let behind = self.release_of(&without(&|name| !behind.contains(name)), Way::Beside(&ahead.plan)).await?;
        Ok((ahead, behind))
    }

    /// The paused modules alone, as if they ran, but for those that run all the same to finish something; `None` where there are none.
    pub(super) async fn still(&mut self, running: &Plan) -> Result<Option<Release>, Error> {
        let mut standings = self.standings();
        let runs = |name: &String| running.modules.iter().any(|module| module.manifest().name == *name);
        standings.retain(|name, standing| standing.paused.take().is_some() && !runs(name));
        standings.values_mut().for_each(|standing| standing.shadow = None);
        let release = self.release_of(&standings, Way::Live).await?;
        Ok(Some(release).filter(|release| !release.plan.modules.is_empty()))
    }

    fn standings(&self) -> BTreeMap<String, Standing> {
        let of_log = self.log.iter().flat_map(|(_, log)| log.standings());
        of_log.map(|(name, standing)| (name.to_owned(), standing)).collect()
    }

    /// The module of a digest under the name that it is deployed as.
    pub(super) async fn module(&mut self, name: &str, digest: &str) -> Result<Module, Error> {
        let module = self.stored(digest).await?;
        let found = || module.manifest().name.clone();
        let named = module.deployed_as(name);
        let named = named.ok_or_else(|| Error::ModuleName { configured: name.to_owned(), found: found() })?;
        Ok(named.parked_after(self.config.park_after(name)))
    }

    /// The module of a digest under its own name: compiled, configured, or in the lake.
    pub(super) async fn stored(&mut self, digest: &str) -> Result<Module, Error> {
        if let Some(module) = self.compiled.get(digest) {
            return Ok(module.clone());
        }
        let Some((lake, _)) = &self.log else { return Err(Error::NoRelease) };
        let file = match release::find(lake, digest).await {
            Ok(file) => file,
            Err(release::FindError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(Error::Stored { source: Box::new(error) }),
        };
        tokio::task::block_in_place(|| self.compile(&file))
    }

    /// Stores a module and writes the decision down.
    pub(super) async fn append(
        &mut self,
        file: Option<&ModuleFile>,
        after: i64,
        deployment: Deployment,
    ) -> Result<(), AppendError> {
        let Some((lake, log)) = &mut self.log else { return Ok(()) };
        if let Some(file) = file {
            persist("storing a module", || release::store(lake, file)).await.map_err(|error| match error {
                Error::Sink(error) => AppendError::Sink(error),
                _ => AppendError::Lost,
            })?;
        }
        log.append(lake, after, deployment).await
    }

    /// Where every module stands, for who asks; what runs, the site knows better.
    pub(super) async fn released(&mut self) -> Vec<Released> {
        let mut released = Vec::new();
        for (name, standing) in self.standings() {
            let Some(digest) = standing.active() else { continue };
            let manifest = match self.module(&name, digest).await {
                Ok(module) => module.manifest().clone(),
                Err(error) => {
                    tracing::warn!(module = name, error = %chain(&error), "the active module cannot be had");
                    continue;
                }
            };
            let Some((_, log)) = &self.log else { continue };
            let mut history: Vec<Decision> = log.history(&name).map(decision).collect();
            history.reverse();
            released.push(Released {
                owner: manifest.owner,
                digest: digest.to_owned(),
                version: manifest.version,
                running: None,
                rewound: None,
                paused: standing.paused.clone(),
                parked: standing.is_parked,
                stopped: BTreeMap::new(),
                metered: None,
                shadow: standing.shadow.clone(),
                sequence: standing.sequence,
                history,
                module: name,
            });
        }
        released
    }
}

fn decision(deployment: &Deployment) -> Decision {
    Decision {
        sequence: deployment.sequence,
        action: deployment.action.name().to_owned(),
        digest: deployment.digest.clone(),
        version: deployment.version.clone(),
        micro_batch: deployment.target.as_ref().map(|target| target.micro_batch),
        who: deployment.who.clone(),
        why: deployment.why.clone(),
        at: Time(deployment.at_ms),
    }
}
