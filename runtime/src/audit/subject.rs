//! What there is to audit: topics, products and tables, as the modules' manifests tell of them.

use crate::columns::table_type;
use crate::transform::ModuleFile;
use arrow_schema::DataType as ArrowType;
use lakeward_manifest::{self as manifest, Manifest};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything that the modules of a pipeline write.
#[derive(Debug, Default)]
pub struct Subjects {
    /// The modules.
    pub modules: Vec<Module>,
    /// The silver products.
    pub silver: Vec<Silver>,
    /// The gold products.
    pub golds: Vec<Gold>,
}

/// A module and the topics that it reads.
#[derive(Debug)]
pub struct Module {
    /// The name.
    pub name: String,
    /// The topic of each of its transforms.
    pub topics: Vec<Arc<str>>,
}

/// A silver product.
#[derive(Debug)]
pub struct Silver {
    /// The path, `retail/sales`.
    pub path: String,
    /// The module that makes it.
    pub module: String,
    /// The topic that it is made of.
    pub topic: Arc<str>,
    /// As declared.
    pub product: manifest::Product,
}

/// A gold product.
#[derive(Debug)]
pub struct Gold {
    /// The path, `retail/sales_by_country`.
    pub path: String,
    /// The silver product that it aggregates, by index.
    pub from: usize,
    /// As declared.
    pub gold: manifest::Gold,
}

impl Subjects {
    /// What these modules write.
    #[must_use]
    pub fn of(files: &[ModuleFile]) -> Self {
        let mut subjects = Self::default();
        for file in files {
            subjects.add(&file.manifest);
        }
        subjects
    }

    fn add(&mut self, manifest: &Manifest) {
        let path = |name: &str| format!("{}/{name}", manifest.owner);
        let first = self.silver.len();
        for product in &manifest.products {
            let fed_by = manifest.inputs.iter().find(|input| input.products.contains(&product.name));
            let topic = fed_by.or(manifest.inputs.first()).map(|input| input.topic.as_str()).unwrap_or_default();
            self.silver.push(Silver {
                path: path(&product.name),
                module: manifest.name.clone(),
                topic: topic.into(),
                product: product.clone(),
            });
        }
        for gold in &manifest.gold {
            let from = manifest.products.iter().position(|product| product.name == gold.from);
            let Some(from) = from.map(|index| first + index) else { continue };
            self.golds.push(Gold { path: path(&gold.name), from, gold: gold.clone() });
        }
        let topics = manifest.inputs.iter().map(|input| input.topic.as_str().into()).collect();
        self.modules.push(Module { name: manifest.name.clone(), topics });
    }

    /// Whether a module is known and takes each record of a topic once: with two transforms on one topic a record has two fates.
    #[must_use]
    pub fn reads_once(&self, module: &str, topic: &str) -> bool {
        let known = self.modules.iter().find(|known| known.name == module);
        known.is_some_and(|module| module.topics.iter().filter(|read| &***read == topic).count() == 1)
    }

    /// The topics, each once.
    #[must_use]
    pub fn topics(&self) -> BTreeSet<Arc<str>> {
        self.modules.iter().flat_map(|module| &module.topics).cloned().collect()
    }

    /// The gold products over a silver product, by index.
    pub fn golds_of(&self, silver: usize) -> impl Iterator<Item = usize> {
        (0..self.golds.len()).filter(move |gold| self.golds[*gold].from == silver)
    }

    /// The topic that a gold product is made of.
    #[must_use]
    pub fn topic_of(&self, gold: &Gold) -> &Arc<str> {
        &self.silver[gold.from].topic
    }
}

impl Silver {
    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        format!("silver/{}", self.path)
    }

    /// The type in which a column stands in the table.
    #[must_use]
    pub fn column_type(&self, name: &str) -> Option<ArrowType> {
        self.product.columns.iter().find(|column| column.name == name).map(|column| table_type(&column.data_type))
    }
}

impl Gold {
    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        format!("gold/{}", self.path)
    }

    /// The table of its partial aggregates.
    #[must_use]
    pub fn state_table(&self) -> String {
        format!("_lakeward/state/{}", self.path)
    }
}
