//! Whether a manifest makes sense by itself: its names, its references, its sizes. Contracts are checked where they are compiled.

use lakeward_manifest::{Column, DataType, Gold, Input, Layer, Manifest, Product};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A product or an event with more columns than this is refused: each costs memory in every chunk.
const MAX_COLUMNS: usize = 1_000;
/// Structs and lists may nest this deep.
const MAX_DEPTH: usize = 16;
/// Names become folder and file names.
const MAX_NAME: usize = 100;

/// Something in a manifest that the host cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place, for example `product sales, column line_total`.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// Looks for everything that is wrong with the structure of `manifest`; none is what a usable one gives.
#[must_use]
pub fn check(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Problems::default();
    problems.name("the module", "name", &manifest.name);
    problems.name("the module", "owner", &manifest.owner);
    if manifest.inputs.is_empty() {
        problems.add("the module", "it has no inputs, so it would never run");
    }
    problems.unique("the module", "product", manifest.products.iter().map(|product| product.name.as_str()));
    problems.unique("the module", "gold product", manifest.gold.iter().map(|gold| gold.name.as_str()));
    problems.unique("the module", "transform", manifest.inputs.iter().map(|input| input.transform.as_str()));
    for input in &manifest.inputs {
        check_input(&mut problems, manifest, input);
    }
    for product in &manifest.products {
        check_product(&mut problems, product);
    }
    for gold in &manifest.gold {
        check_gold(&mut problems, manifest, gold);
    }
    check_feeding(&mut problems, manifest);
    problems.0
}

fn check_input(problems: &mut Problems, manifest: &Manifest, input: &Input) {
    let place = format!("transform {}", input.transform);
    if !is_topic(&input.topic) {
        problems.add(&place, format!("`{}` cannot be the name of a Kafka topic", input.topic));
    }
    if input.columns.is_empty() {
        problems.add(&place, "its event has no columns");
    }
    problems.columns(&place, &input.columns);
    if let Some(time) = &input.event_time {
        match input.columns.iter().find(|column| column.name == *time) {
            None => problems.add(&place, format!("the event time `{time}` is not a column of the event")),
            Some(column) if column.data_type != DataType::Timestamp => {
                problems.add(&place, format!("the event time `{time}` is a {}, not a timestamp", column.data_type));
            }
            Some(_) => {}
        }
    }
    if input.products.is_empty() {
        problems.add(&place, "it writes no product");
    }
    for name in &input.products {
        if !manifest.products.iter().any(|product| product.name == *name) {
            problems.add(&place, format!("it writes the product `{name}`, which the module does not declare"));
        }
    }
}

fn check_product(problems: &mut Problems, product: &Product) {
    let place = format!("product {}", product.name);
    problems.name(&place, "name", &product.name);
    if product.layer != Layer::Silver {
        problems.add(&place, format!("transforms write silver products, not {} ones", product.layer));
    }
    if product.columns.is_empty() {
        problems.add(&place, "it has no columns");
    }
    problems.columns(&place, &product.columns);
    problems.unique(&place, "expectation", product.expectations.iter().map(|expectation| expectation.name.as_str()));
    for part in &product.partition_by {
        if !product.columns.iter().any(|column| column.name == part.column) {
            problems.add(&place, format!("it is partitioned by `{}`, which is not a column of it", part.column));
        }
    }
}

fn check_gold(problems: &mut Problems, manifest: &Manifest, gold: &Gold) {
    let place = format!("gold {}", gold.name);
    problems.name(&place, "name", &gold.name);
    let names = gold.keys.iter().map(|key| &key.name).chain(gold.measures.iter().map(|measure| &measure.name));
    let names: Vec<&str> = names.map(String::as_str).chain(["window_start", "window_end"]).collect();
    for name in &names {
        problems.column_name(&place, name);
    }
    problems.unique(&place, "column", names.iter().copied());
    problems.count(&place, names.len());
    let Some(product) = manifest.products.iter().find(|product| product.name == gold.from) else {
        problems.add(&place, format!("it aggregates the product `{}`, which the module does not declare", gold.from));
        return;
    };
    let measured = gold.measures.iter().filter_map(|measure| measure.column.as_deref());
    for column in gold.keys.iter().map(|key| key.column.as_str()).chain(measured).chain([gold.time.as_str()]) {
        if !product.columns.iter().any(|known| known.name == column) {
            problems.add(&place, format!("it reads `{column}`, which is not a column of {}", product.name));
        }
    }
}

/// A product's offsets are those of its one topic; two topics would need two logs of offsets in one table.
fn check_feeding(problems: &mut Problems, manifest: &Manifest) {
    let mut topics: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for input in &manifest.inputs {
        for product in &input.products {
            topics.entry(product).or_default().insert(&input.topic);
        }
    }
    for (product, topics) in topics {
        if topics.len() > 1 {
            let topics = topics.into_iter().collect::<Vec<_>>().join(", ");
            problems.add(&format!("product {product}"), format!("it is fed from several topics ({topics}), one is allowed"));
        }
    }
    for product in &manifest.products {
        if !manifest.inputs.iter().any(|input| input.products.contains(&product.name)) {
            problems.add(&format!("product {}", product.name), "no transform writes it");
        }
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: &str, reason: impl Into<String>) {
        self.0.push(Problem { place: place.to_owned(), reason: reason.into() });
    }

    fn name(&mut self, place: &str, what: &str, name: &str) {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) {
            self.add(place, format!("the {what} `{name}` is not of the letters a-z, 0-9 and _ ({MAX_NAME} at most)"));
        }
    }

    fn column_name(&mut self, place: &str, name: &str) {
        // Parquet and Delta readers choke on these in column names.
        let awkward = |c: char| c.is_control() || " ,;{}()\n\t=.`".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || name.contains(awkward) {
            self.add(place, format!("the column name `{name}` is empty, too long or has characters that tables refuse"));
        }
        if name.starts_with("_lakeward") {
            self.add(place, format!("the column name `{name}` begins with `_lakeward`, which is the host's"));
        }
    }

    fn count(&mut self, place: &str, columns: usize) {
        if columns > MAX_COLUMNS {
            self.add(place, format!("it has {columns} columns, {MAX_COLUMNS} are allowed"));
        }
    }

    fn unique<'a>(&mut self, place: &str, what: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name.to_ascii_lowercase()) {
                self.add(place, format!("the {what} `{name}` stands there twice (upper and lower case are the same)"));
            }
        }
    }

    fn columns(&mut self, place: &str, columns: &[Column]) {
        self.count(place, columns.iter().map(|column| count(&column.data_type)).sum());
        self.fields(place, columns, 1);
    }

    fn fields(&mut self, place: &str, fields: &[Column], depth: usize) {
        if depth > MAX_DEPTH {
            self.add(place, format!("it nests deeper than {MAX_DEPTH} levels"));
            return;
        }
        self.unique(place, "column", fields.iter().map(|field| field.name.as_str()));
        for field in fields {
            self.column_name(place, &field.name);
            self.data_type(&format!("{place}, column {}", field.name), &field.data_type, depth);
        }
    }

    fn data_type(&mut self, place: &str, data_type: &DataType, depth: usize) {
        match data_type {
            DataType::Decimal { precision, scale } if !(1..=38).contains(precision) || scale > precision => {
                self.add(place, format!("{data_type} is not a decimal type: 1 to 38 digits, no more of them after the point"));
            }
            DataType::List(item) => self.fields(place, std::slice::from_ref(item), depth + 1),
            DataType::Struct(fields) if fields.is_empty() => self.add(place, "a struct without fields cannot be stored"),
            DataType::Struct(fields) => self.fields(place, fields, depth + 1),
            _ => {}
        }
    }
}

/// The number of columns that a type makes in a file.
fn count(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(item) => count(&item.data_type),
        DataType::Struct(fields) => fields.iter().map(|field| count(&field.data_type)).sum(),
        _ => 1,
    }
}

/// What Kafka takes as a topic's name.
fn is_topic(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(fits)
}

#[cfg(test)]
mod tests;
