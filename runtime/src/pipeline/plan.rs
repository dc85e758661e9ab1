//! What the pipeline is made of: modules, topics, products and tables, checked against each other before anything runs.

use super::{Build, Error};
use crate::aggregate;
use crate::config::{Config, Secret};
use crate::product::Contract;
use crate::release::compare::Comparison;
use crate::sink::{Layout, TableSpec, bronze, system};
use crate::transform::{self, Module, ModuleFile};
use arrow_schema::Schema;
use lakeward_manifest::{Column, Granularity, Manifest, PartitionBy};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The parts of a pipeline. Indices into its lists are what the workers pass around.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) modules: Vec<Module>,
    pub(super) topics: Vec<Topic>,
    pub(super) products: Vec<Product>,
    pub(super) golds: Vec<Gold>,
    pub(super) tables: Vec<TablePlan>,
    pub(super) shadows: Vec<Shadow>,
    /// Whether the modules read what others have read already, beside these: then the offsets that all modules share are the others' to
    /// move, and what is asked for is the others' to do.
    pub(super) catches_up: bool,
    /// The digests of the modules, by name.
    pub(super) digests: Arc<BTreeMap<String, String>>,
    /// How far a row's event time may be ahead of its record's timestamp to be counted.
    pub(super) ahead: Duration,
}

/// A module that runs beside an active one; its rows go nowhere.
#[derive(Debug)]
pub(super) struct Shadow {
    pub(super) module: Module,
    /// The active module that it is compared with.
    pub(super) active: usize,
    /// By product of its manifest.
    pub(super) contracts: Vec<Contract>,
    /// What a worker's comparison begins from.
    pub(super) comparison: Comparison,
}

/// A topic and who reads it.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) inputs: Vec<Input>,
    /// Inputs of shadows, each with the shadow's index; they are decoded behind the others.
    pub(super) shadows: Vec<(usize, u32)>,
    /// The table of its records as they were read, where they are kept.
    pub(super) bronze: Option<usize>,
    /// Whether they are added to it here, rather than by those who read beside.
    pub(super) is_kept: bool,
}

/// One input of one module.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) module: usize,
    /// The input's index in the module's manifest.
    pub(super) index: u32,
    /// The pipeline's products, by their index in the module's manifest.
    pub(super) products: Vec<usize>,
}

/// A silver product.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) path: String,
    pub(super) contract: Contract,
    pub(super) table: usize,
    pub(super) golds: Vec<usize>,
}

/// A gold product.
#[derive(Debug)]
pub(super) struct Gold {
    pub(super) plan: Arc<aggregate::Plan>,
    pub(super) topic: usize,
    pub(super) state_table: usize,
    pub(super) gold_table: usize,
    /// The name of the gold table's partition column.
    pub(super) part_column: Option<String>,
}

/// A table and who feeds it.
#[derive(Debug)]
pub(super) struct TablePlan {
    pub(super) spec: TableSpec,
    pub(super) layout: Arc<Layout>,
    pub(super) kind: TableKind,
    /// The topic whose partitions the table follows; `None` for all.
    pub(super) topic: Option<usize>,
}

/// What a table is in a group commit, in the order in which the kinds are committed: see `commit.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TableKind {
    Bronze,
    Silver,
    DeadLetters,
    State,
    Commits,
    Gold,
}

/// The tables that every pipeline has, by index.
pub(super) const DEAD_LETTERS: usize = 0;
pub(super) const COMMITS: usize = 1;

impl Plan {
    /// Checks modules against each other, and `shadows` against those of their names.
    pub(super) fn new(config: &Config, modules: &[Module], shadows: &[Module]) -> Result<Self, Error> {
        let mut plan = Self {
            modules: Vec::new(),
            topics: Vec::new(),
            products: Vec::new(),
            golds: Vec::new(),
            tables: Vec::new(),
            shadows: Vec::new(),
            catches_up: false,
            digests: Arc::default(),
            ahead: config.gold.ahead,
        };
        let named = modules.iter().map(|module| (module.manifest().name.clone(), module.digest().to_string()));
        plan.digests = Arc::new(named.collect());
        plan.add_table(
            system::DEAD_LETTERS,
            "Records that could not become rows.",
            TableKind::DeadLetters,
            None,
            &system::dead_letters_schema(),
            &[],
            &["offset"],
        );
        plan.add_table(
            system::COMMITS,
            "One row for every micro-batch.",
            TableKind::Commits,
            None,
            &system::commits_schema(),
            &[],
            &[],
        );
        for module in modules {
            plan.add_module(module, config.masks.secret.as_ref().map(Secret::expose))?;
        }
        for shadow in shadows {
            plan.add_shadow(shadow, config.masks.secret.as_ref().map(Secret::expose))?;
        }
        for topic in 0..plan.topics.len() {
            if config.topics.get(&*plan.topics[topic].name).is_some_and(|settings| settings.bronze) {
                plan.add_bronze(topic);
            }
        }
        Ok(plan)
    }

    fn add_bronze(&mut self, topic: usize) {
        let path = bronze::path(&self.topics[topic].name);
        let description = "Records as they were read.";
        let (schema, by) = (bronze::schema(), [bronze::partition_by()]);
        let increasing = [system::ORIGIN_COLUMNS[2]];
        let table = self.add_table(&path, description, TableKind::Bronze, Some(topic), &schema, &by, &increasing);
        self.topics[topic].bronze = Some(table);
        self.topics[topic].is_kept = true;
    }

    /// The same for modules that catch up beside `others`. Bronze is theirs to fill, of the topics that they read.
    pub(super) fn beside(mut self, others: &Self) -> Self {
        self.catches_up = true;
        for topic in &mut self.topics {
            topic.is_kept &= others.topics.iter().all(|other| other.name != topic.name);
        }
        self
    }

    /// Whether a table is written here: a bronze table may be filled by those who read beside.
    pub(super) fn writes(&self, table: usize) -> bool {
        let TablePlan { kind, topic, .. } = &self.tables[table];
        *kind != TableKind::Bronze || topic.is_some_and(|topic| self.topics[topic].is_kept)
    }

    /// What reads topics that no active module reads is left out: there is nothing to compare it with.
    fn add_shadow(&mut self, compiled: &Module, secret: Option<&[u8]>) -> Result<(), Error> {
        let manifest = compiled.manifest();
        check_manifest(manifest)?;
        let module = || manifest.name.clone();
        let Some(active) = self.modules.iter().position(|active| active.manifest().name == manifest.name) else {
            return Ok(());
        };
        let contract = |product| {
            Contract::new(product, secret)
                .map_err(|source| Error::Contract { module: module(), source: Box::new(source) })
        };
        let contracts = manifest.products.iter().map(contract).collect::<Result<_, _>>()?;
        let comparison = Comparison::new(self.modules[active].manifest(), manifest)
            .map_err(|source| Error::Compare { module: module(), source })?;
        let shadow = self.shadows.len();
        for (index, input) in (0..).zip(&manifest.inputs) {
            if let Some(topic) = self.topics.iter_mut().find(|topic| *topic.name == *input.topic) {
                topic.shadows.push((shadow, index));
            }
        }
        self.shadows.push(Shadow { module: compiled.clone(), active, contracts, comparison });
        Ok(())
    }

    fn add_module(&mut self, compiled: &Module, secret: Option<&[u8]>) -> Result<(), Error> {
        let manifest = compiled.manifest();
        check_manifest(manifest)?;
        if self.modules.iter().any(|module| module.manifest().name == manifest.name) {
            return Err(Error::TwoModules { module: manifest.name.clone() });
        }
        let module = self.modules.len();
        let first_product = self.products.len();
        self.modules.push(compiled.clone());
        for (index, product) in manifest.products.iter().enumerate() {
            let topic = self.topic_of(manifest, index);
            self.add_product(manifest, product, topic, secret)?;
        }
        for (index, input) in manifest.inputs.iter().enumerate() {
            let topic = self.topic(&input.topic);
            let products = (first_product..self.products.len()).collect();
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            self.topics[topic].inputs.push(Input { module, index, products });
        }
        Ok(())
    }

    /// The topic that feeds a product: the checks of the manifest leave exactly one.
    fn topic_of(&mut self, manifest: &Manifest, product: usize) -> usize {
        let name = &manifest.products[product].name;
        let fed_by = manifest.inputs.iter().find(|input| input.products.contains(name));
        let topic = fed_by.or(manifest.inputs.first()).map(|input| input.topic.clone()).unwrap_or_default();
        self.topic(&topic)
    }

    fn topic(&mut self, name: &str) -> usize {
        if let Some(known) = self.topics.iter().position(|topic| &*topic.name == name) {
            return known;
        }
        self.topics.push(Topic {
            name: name.into(),
            inputs: Vec::new(),
            shadows: Vec::new(),
            bronze: None,
            is_kept: false,
        });
        self.topics.len() - 1
    }

    fn add_product(
        &mut self,
        manifest: &Manifest,
        product: &lakeward_manifest::Product,
        topic: usize,
        secret: Option<&[u8]>,
    ) -> Result<(), Error> {
        let path = format!("{}/{}", manifest.owner, product.name);
        if let Some(other) = self.owner_of(&path) {
            return Err(Error::TwoOwners { product: path, module: manifest.name.clone(), other });
        }
        let contract = Contract::new(product, secret)
            .map_err(|source| Error::Contract { module: manifest.name.clone(), source: Box::new(source) })?;
        let mut fields: Vec<_> = contract.table_schema().fields().iter().cloned().collect();
        fields.extend(system::origin_fields());
        let schema = Schema::new(fields);
        let increasing: Vec<&str> = vec![system::ORIGIN_COLUMNS[2]];
        let table = self.add_table(
            &format!("silver/{path}"),
            &product.description,
            TableKind::Silver,
            Some(topic),
            &schema,
            &product.partition_by,
            &increasing,
        );
        let mut golds = Vec::new();
        for gold in manifest.gold.iter().filter(|gold| gold.from == product.name) {
            golds.push(self.add_gold(manifest, gold, product, topic)?);
        }
        self.products.push(Product { path, contract, table, golds });
        Ok(())
    }

    fn add_gold(
        &mut self,
        manifest: &Manifest,
        gold: &lakeward_manifest::Gold,
        product: &lakeward_manifest::Product,
        topic: usize,
    ) -> Result<usize, Error> {
        let plan = aggregate::Plan::new(&manifest.owner, gold, product)
            .map_err(|source| Error::Gold { module: manifest.name.clone(), source: Box::new(source) })?;
        let path = plan.path().to_owned();
        if let Some(other) = self.owner_of(&path) {
            return Err(Error::TwoOwners { product: path, module: manifest.name.clone(), other });
        }
        let state_table = self.add_table(
            &format!("_lakeward/state/{path}"),
            "Partial aggregates by Kafka partition.",
            TableKind::State,
            Some(topic),
            &plan.state_schema(),
            &[],
            &[],
        );
        let by = (gold.partition_by != Granularity::Value)
            .then(|| PartitionBy { column: "window_start".to_owned(), by: gold.partition_by });
        let by: Vec<PartitionBy> = by.into_iter().collect();
        let gold_table = self.add_table(
            &format!("gold/{path}"),
            &gold.description,
            TableKind::Gold,
            Some(topic),
            &plan.gold_schema(),
            &by,
            &[],
        );
        let part_column = by.first().map(PartitionBy::table_column);
        self.golds.push(Gold { plan, topic, state_table, gold_table, part_column });
        Ok(self.golds.len() - 1)
    }

    fn owner_of(&self, path: &str) -> Option<String> {
        let taken = self.products.iter().any(|product| product.path == path)
            || self.golds.iter().any(|gold| gold.plan.path() == path);
        let makes = |module: &&Module| {
            let manifest = module.manifest();
            let names = manifest.products.iter().map(|p| &p.name).chain(manifest.gold.iter().map(|g| &g.name));
            names.into_iter().any(|name| format!("{}/{name}", manifest.owner) == path)
        };
        taken.then(|| self.modules.iter().find(makes).map(|module| module.manifest().name.clone()).unwrap_or_default())
    }

    #[expect(clippy::too_many_arguments, reason = "a table is described in one place, by what it is made of")]
    fn add_table(
        &mut self,
        path: &str,
        description: &str,
        kind: TableKind,
        topic: Option<usize>,
        schema: &Schema,
        partition_by: &[PartitionBy],
        increasing: &[&str],
    ) -> usize {
        let layout = match kind {
            TableKind::Bronze => Layout::of_records(path, schema, partition_by, increasing, "value"),
            _ => Layout::new(path, schema, partition_by, increasing),
        };
        let spec = TableSpec {
            path: path.to_owned(),
            description: description.to_owned(),
            schema: layout.table_schema(),
            partition_columns: layout.partition_columns(),
            track_files: matches!(kind, TableKind::State | TableKind::Gold),
            evolves: !matches!(kind, TableKind::Bronze | TableKind::State | TableKind::Gold),
        };
        self.tables.push(TablePlan { spec, layout, kind, topic });
        self.tables.len() - 1
    }

    /// The declared columns of a topic's inputs, for the decoder; those of shadows last.
    pub(super) fn columns(&self, topic: usize) -> Vec<&[Column]> {
        fn columns(module: &Module, input: u32) -> &[Column] {
            module.manifest().inputs[input as usize].columns.as_slice()
        }
        let topic = &self.topics[topic];
        let active = topic.inputs.iter().map(|input| columns(&self.modules[input.module], input.index));
        let shadows = topic.shadows.iter().map(|(shadow, input)| columns(&self.shadows[*shadow].module, *input));
        active.chain(shadows).collect()
    }

    /// The names of the modules that read a topic.
    pub(super) fn readers(&self, topic: usize) -> impl Iterator<Item = &str> {
        let mut modules: Vec<usize> = self.topics[topic].inputs.iter().map(|input| input.module).collect();
        modules.dedup();
        modules.into_iter().map(|module| self.modules[module].manifest().name.as_str())
    }

    /// Whether `other` has the same topics, products, tables and groups at the same places, so that workers can go on with it between two
    /// micro-batches; what the modules do and what they read of an event may differ.
    pub(super) fn has_shape_of(&self, other: &Self) -> bool {
        let inputs = |topic: &Topic| -> Vec<(usize, u32, Vec<usize>)> {
            topic.inputs.iter().map(|input| (input.module, input.index, input.products.clone())).collect()
        };
        let same_topic = |(a, b): (&Topic, &Topic)| a.name == b.name && inputs(a) == inputs(b);
        let same_table = |(a, b): (&TablePlan, &TablePlan)| {
            let is_same = a.spec.path == b.spec.path && a.kind == b.kind && a.topic == b.topic;
            is_same && a.spec.schema == b.spec.schema && a.spec.partition_columns == b.spec.partition_columns
        };
        let same_module = |(a, b): (&Module, &Module)| {
            let (a, b) = (a.manifest(), b.manifest());
            a.name == b.name && a.owner == b.owner && a.gold == b.gold
        };
        self.topics.len() == other.topics.len()
            && self.tables.len() == other.tables.len()
            && self.modules.len() == other.modules.len()
            && self.topics.iter().zip(&other.topics).all(same_topic)
            && self.tables.iter().zip(&other.tables).all(same_table)
            && self.modules.iter().zip(&other.modules).all(same_module)
    }

    /// The digests of the modules by name, as JSON.
    pub(super) fn digests(&self) -> String {
        serde_json::to_string(&*self.digests).unwrap_or_default()
    }
}

fn check_manifest(manifest: &Manifest) -> Result<(), Error> {
    let problems: Vec<String> = transform::check(manifest).iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Manifest { module: manifest.name.clone(), problems: problems.join("; ") })
}

/// Reads the modules of a configuration; a path that is a crate's folder is built first.
///
/// # Errors
/// When a crate does not build, or a file is no module or not the one that the configuration names.
pub fn read_modules(config: &Config, build: Build<'_>) -> Result<Vec<ModuleFile>, Error> {
    let mut files = Vec::new();
    for (name, module) in &config.modules {
        let path = if module.path.is_dir() {
            build(&module.path).map_err(|source| Error::Build { module: name.clone(), source })?
        } else {
            module.path.clone()
        };
        let file = ModuleFile::read(&path).map_err(|source| Error::ReadModule { module: name.clone(), source })?;
        if &file.manifest.name != name {
            return Err(Error::ModuleName { configured: name.clone(), found: file.manifest.name.clone() });
        }
        files.push(file);
    }
    Ok(files)
}
