//! Whether a module may take the place of another: what its tables, and those who read them, can follow, and what breaks.
//!
//! Both manifests are compared as the tables see them: `uuid` and `string`, or `uint8` and `int16`, are one type there.
//!
//! | the new module | verdict |
//! |---|---|
//! | has one more nullable column | addition: the commit that first carries it adds it to the table |
//! | has one more column without nulls | breaking: the rows so far have no value |
//! | lacks a column that was nullable | change: readers find null in it from here on |
//! | lacks a column without nulls | breaking |
//! | has, at the place of a column that is gone, another of its type | breaking: a rename, whatever may be null |
//! | makes a nullable column one without nulls | change: the table's column stays nullable |
//! | makes a column without nulls nullable | breaking: readers were promised a value |
//! | widens a column's type | breaking, see below |
//! | has another type, partitioning, layer, or mask (more, less or another one) | breaking |
//! | has another expectation, description or order of columns | change, or nothing to say |
//! | has one more product or gold product | breaking: its table would lack what the module read before, and what was rejected or late of that |
//! | lacks a product or gold product | change: its table stays as it is, without new rows, and no way on would alter that |
//! | has, for a product that is gone, a new one of the same topic and columns | breaking: a rename |
//! | feeds a product from another topic | breaking: the table's offsets are the old topic's |
//! | reads more, fewer or other columns | change |
//! | has another key, window, time, source, measure or layout of a gold product | breaking |
//! | has another lateness | change: it holds from here on |
//! | has another name or owner | breaking |
//!
//! **Widening.** Delta Lake can widen types in place by its table feature `typeWidening`. DuckDB 1.5 reads such tables; Python's
//! `deltalake` 1.6 refuses the whole table ("reader features .. not yet supported"). One release would lock readers out of all
//! rows, so widening counts as breaking, and says that it is one.

mod columns;
mod gold;
mod text;

use columns::Columns;
use lakeward_manifest::{Expectation, Input, Manifest, Product};
use serde::Serialize;
use std::collections::BTreeSet;

/// How a module differs from the one that it is to replace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compatibility {
    /// What is new and takes nothing away.
    pub additions: Vec<Change>,
    /// What is different, and harmless to tables and their readers.
    pub changes: Vec<Change>,
    /// What a table or its readers cannot follow.
    pub breaking: Vec<Breaking>,
}

/// A difference that breaks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The product's path, `retail/sales`; none where it is about the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is different, in a sentence.
    pub what: String,
}

/// A difference that breaks something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breaking {
    /// The product's path, `retail/sales`; none where it is about the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What breaks, in a sentence.
    pub what: String,
    /// The ways on; empty where only the module itself can be mended.
    pub ways: Vec<Way>,
}

/// A way to release what breaks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// `--as-version 2`: the module is deployed beside the old one, its products have other names, as `sales_v2`, and are filled from the
    /// start of their topics.
    AsVersion,
    /// `--rebuild`: the module's tables are emptied, get its columns, and are filled again from the start of their topics.
    Rebuild,
}

impl Way {
    /// What most breaking changes leave.
    pub const ALL: [Self; 2] = [Self::AsVersion, Self::Rebuild];

    /// What leads on, for a person, where `version` is the next that is free.
    #[must_use]
    pub fn command(self, version: u32) -> String {
        match self {
            Self::AsVersion => format!(
                "deploy --as-version {version} (new products beside the old ones, as sales_v{version}, filled from the start of their topics)"
            ),
            Self::Rebuild => {
                "deploy --rebuild (the products are emptied and made anew, from the start of their topics)".to_owned()
            }
        }
    }
}

impl Compatibility {
    /// Whether nothing breaks.
    #[must_use]
    pub fn is_compatible(&self) -> bool {
        self.breaking.is_empty()
    }

    /// Whether there is nothing to say at all.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.additions.is_empty() && self.changes.is_empty() && self.breaking.is_empty()
    }

    /// The ways that lead on from everything that breaks.
    pub fn ways(&self) -> impl Iterator<Item = Way> {
        let mends = |way: &Way| self.breaking.iter().all(|breaking| breaking.ways.contains(way));
        Way::ALL.into_iter().filter(mends).filter(|_| !self.is_compatible())
    }

    fn add(&mut self, product: Option<&str>, column: Option<&str>, what: impl Into<String>) {
        self.additions.push(Change::new(product, column, what));
    }

    fn change(&mut self, product: Option<&str>, column: Option<&str>, what: impl Into<String>) {
        self.changes.push(Change::new(product, column, what));
    }

    fn breaks(&mut self, product: Option<&str>, column: Option<&str>, what: impl Into<String>, ways: &[Way]) {
        let Change { product, column, what } = Change::new(product, column, what);
        self.breaking.push(Breaking { product, column, what, ways: ways.to_vec() });
    }
}

impl Change {
    fn new(product: Option<&str>, column: Option<&str>, what: impl Into<String>) -> Self {
        Self { product: product.map(str::to_owned), column: column.map(str::to_owned), what: what.into() }
    }
}

/// Of a product, or a gold product, that the old module did not make: it would be filled by other code than the rest, from what Kafka still
/// holds, beside the dead letters of the old module.
const NEW: &str = "it is new, and its table would not agree with the others about the records that were read before";

/// Compares a module with the one that it is to replace. Both manifests are taken to make sense by themselves.
#[must_use]
pub fn compare(old: &Manifest, new: &Manifest) -> Compatibility {
    let mut found = Compatibility::default();
    module(&mut found, old, new);
    inputs(&mut found, old, new);
    products(&mut found, old, new);
    gold::compare(&mut found, old, new);
    found
}

fn module(found: &mut Compatibility, old: &Manifest, new: &Manifest) {
    if old.name != new.name {
        let what = format!(
            "the module was {} and is {}: under another name it is another module, to be deployed beside the old one",
            old.name, new.name
        );
        found.breaks(None, None, what, &[]);
    }
    if old.owner != new.owner {
        let what = format!(
            "the owner was {} and is {}: all products would move to other paths, and their tables stay behind",
            old.owner, new.owner
        );
        found.breaks(None, None, what, &[]);
    }
    if old.version != new.version {
        found.change(None, None, format!("version {} becomes {}", old.version, new.version));
    }
}

/// What a transform reads is its own affair: no table holds it.
fn inputs(found: &mut Compatibility, old: &Manifest, new: &Manifest) {
    for input in &new.inputs {
        let Some(before) = old.inputs.iter().find(|before| before.transform == input.transform) else {
            found.add(None, None, format!("transform {} reads topic {}", input.transform, input.topic));
            continue;
        };
        let names = |input: &Input| input.columns.iter().map(|column| column.name.clone()).collect::<BTreeSet<_>>();
        let (was, is) = (names(before), names(input));
        let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let (more, fewer) = (list(is.difference(&was).collect()), list(was.difference(&is).collect()));
        let place = format!("transform {}", input.transform);
        if !more.is_empty() {
            found.add(None, None, format!("{place} reads {more} too"));
        }
        if !fewer.is_empty() {
            found.change(None, None, format!("{place} no longer reads {fewer}"));
        }
        for column in &input.columns {
            let Some(other) = before.columns.iter().find(|other| other.name == column.name) else { continue };
            if (other.source(), &other.data_type, other.nullable, &other.format)
                != (column.source(), &column.data_type, column.nullable, &column.format)
            {
                found.change(None, None, format!("{place} reads {} in another way", column.name));
            }
        }
        if before.event_time != input.event_time {
            found.change(None, None, format!("{place} takes the event time from another column"));
        }
    }
    for before in &old.inputs {
        if !new.inputs.iter().any(|input| input.transform == before.transform) {
            found.change(None, None, format!("there is no transform {} any more", before.transform));
        }
    }
}

fn products(found: &mut Compatibility, old: &Manifest, new: &Manifest) {
    for product in &new.products {
        let path = format!("{}/{}", new.owner, product.name);
        match old.products.iter().find(|before| before.name == product.name) {
            Some(before) => {
                topic(found, &path, topics(old, &product.name), topics(new, &product.name));
                compare_product(found, &path, before, product);
            }
            None => match renamed(old, new, product) {
                Some(before) => {
                    let what = format!(
                        "it has the topic and the columns of {}/{before}, which is gone: a rename, after which readers of \
                         {before} find no more rows; keep the name, or remove the one in one release and add the other in the next",
                        old.owner
                    );
                    found.breaks(Some(&path), None, what, &[]);
                }
                None => found.breaks(Some(&path), None, NEW, &Way::ALL),
            },
        }
    }
    for before in &old.products {
        if !new.products.iter().any(|product| product.name == before.name) {
            let path = format!("{}/{}", old.owner, before.name);
            found.change(Some(&path), None, "no longer written: its table stays as it is, without new rows");
        }
    }
}

/// The product that is gone and of which `product` has the topic and the columns.
fn renamed<'a>(old: &'a Manifest, new: &Manifest, product: &Product) -> Option<&'a str> {
    let gone = |before: &&Product| !new.products.iter().any(|product| product.name == before.name);
    let alike = |before: &&Product| {
        let shape = |product: &Product| {
            let column = |column: &lakeward_manifest::Column| {
                (column.name.clone(), column.data_type.clone(), column.nullable, column.mask)
            };
            product.columns.iter().map(column).collect::<Vec<_>>()
        };
        shape(before) == shape(product) && topics(old, &before.name) == topics(new, &product.name)
    };
    old.products.iter().filter(gone).find(alike).map(|before| before.name.as_str())
}

/// The topics that feed a product: one, in a manifest that makes sense.
fn topics<'a>(manifest: &'a Manifest, product: &str) -> BTreeSet<&'a str> {
    let feeds = |input: &&Input| input.products.iter().any(|name| name == product);
    manifest.inputs.iter().filter(feeds).map(|input| input.topic.as_str()).collect()
}

fn topic(found: &mut Compatibility, path: &str, was: BTreeSet<&str>, is: BTreeSet<&str>) {
    if was != is {
        let list = |topics: BTreeSet<&str>| topics.into_iter().collect::<Vec<_>>().join(", ");
        let what = format!(
            "it was fed from topic {} and is from {}: the offsets in its table are those of the old topic",
            list(was),
            list(is)
        );
        found.breaks(Some(path), None, what, &Way::ALL);
    }
}

fn compare_product(found: &mut Compatibility, path: &str, old: &Product, new: &Product) {
    if old.layer != new.layer {
        let what = format!("it was a {} product and is a {} one", old.layer, new.layer);
        found.breaks(Some(path), None, what, &Way::ALL);
    }
    if old.partition_by != new.partition_by {
        let what = format!(
            "its table is partitioned by {}, the new module partitions by {}: files of both cannot stand in one table",
            text::partitioning(&old.partition_by),
            text::partitioning(&new.partition_by)
        );
        found.breaks(Some(path), None, what, &Way::ALL);
    }
    Columns { path, old: &old.columns, new: &new.columns }.compare(found);
    expectations(found, path, &old.expectations, &new.expectations);
}

fn expectations(found: &mut Compatibility, path: &str, old: &[Expectation], new: &[Expectation]) {
    for rule in new {
        let column = rule.column.as_deref();
        match old.iter().find(|before| before.name == rule.name) {
            None => found.change(Some(path), column, format!("expects {} too", text::expectation(rule))),
            Some(before) if before != rule => {
                let what = format!("expects {} instead of {}", text::expectation(rule), text::expectation(before));
                found.change(Some(path), column, what);
            }
            Some(_) => {}
        }
    }
    for before in old.iter().filter(|before| !new.iter().any(|rule| rule.name == before.name)) {
        let what = format!("no longer expects {}", text::expectation(before));
        found.change(Some(path), before.column.as_deref(), what);
    }
}

#[cfg(test)]
mod tests;
