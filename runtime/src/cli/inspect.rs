//! `lakeward inspect`: a module's manifest, as a person wants to read it and as JSON.

use crate::cli::table::Table;
use crate::transform::ModuleFile;
use lakeward_manifest::{Column, Expectation, Function, Gold, Granularity, Input, Mask, OnViolation, PartitionBy};
use lakeward_manifest::{Manifest, Product, Window};

/// The manifest with the file's digest and size, as one JSON document.
#[must_use]
pub fn json(module: &ModuleFile) -> String {
    let document = serde_json::json!({
        "digest": module.digest,
        "bytes": module.bytes.len(),
        "manifest": module.manifest,
    });
    format!("{document:#}\n")
}

/// The manifest in sections of aligned columns.
#[must_use]
pub fn text(module: &ModuleFile) -> String {
    let mut text = head(module);
    for input in &module.manifest.inputs {
        text.push_str(&section_of_input(input));
    }
    for product in &module.manifest.products {
        text.push_str(&section_of_product(&module.manifest, product));
    }
    for gold in &module.manifest.gold {
        text.push_str(&section_of_gold(&module.manifest, gold));
    }
    // The module's own words reach a terminal: nothing in them may steer it.
    text.replace(|c: char| c.is_control() && c != '\n', "\u{FFFD}")
}

fn head(module: &ModuleFile) -> String {
    let manifest = &module.manifest;
    let mut text = format!("module {} {}, owned by {}\n", manifest.name, manifest.version, manifest.owner);
    text.push_str(&about(&manifest.description));
    let mut table = Table::new(2);
    table.row(["size", &format!("{} bytes", module.bytes.len())]);
    table.row(["sha256", &module.digest]);
    text + &table.to_string()
}

fn section_of_input(input: &Input) -> String {
    let mut text = format!("\nreads topic {} as {}, by transform {}\n", input.topic, input.name, input.transform);
    text.push_str(&about(&input.description));
    let mut table = Table::new(2);
    for column in &input.columns {
        let time = if input.event_time.as_deref() == Some(column.name.as_str()) { "event time" } else { "" };
        let format = column.format.as_deref().map(|format| format!("format {format}"));
        let source = if column.source() == column.name { String::new() } else { format!("field {}", column.source()) };
        let notes = join(&[&source, format.as_deref().unwrap_or_default(), time, &column.description]);
        table.row([column.name.as_str(), &type_of(column), &notes]);
    }
    text + &table.to_string() + &format!("  writes {}\n", input.products.join(", "))
}

fn section_of_product(manifest: &Manifest, product: &Product) -> String {
    let mut text = format!("\nwrites {}/{}/{}\n", product.layer, manifest.owner, product.name);
    text.push_str(&about(&product.description));
    let mut table = Table::new(2);
    for column in &product.columns {
        let mask = column.mask.map(mask).unwrap_or_default();
        table.row([column.name.as_str(), &type_of(column), &join(&[&mask, &column.description])]);
    }
    text.push_str(&table.to_string());
    if !product.partition_by.is_empty() {
        let parts: Vec<String> = product.partition_by.iter().map(partition).collect();
        text.push_str(&format!("  partitioned by {}\n", parts.join(", ")));
    }
    if !product.expectations.is_empty() {
        text.push_str("  expects\n");
        let mut table = Table::new(4);
        for expectation in &product.expectations {
            table.row([
                expectation.name.as_str(),
                &expectation_text(expectation),
                on_violation(expectation.on_violation),
            ]);
        }
        text.push_str(&table.to_string());
    }
    text
}

fn section_of_gold(manifest: &Manifest, gold: &Gold) -> String {
    let mut text = format!("\nkeeps gold/{}/{}, from {}\n", manifest.owner, gold.name, gold.from);
    text.push_str(&about(&gold.description));
    let Window::Tumbling { width_ms } = gold.window;
    let lateness = match gold.lateness_ms {
        0 => "no row is taken late".to_owned(),
        lateness_ms => format!("rows are taken up to {} late", duration(lateness_ms)),
    };
    text.push_str(&format!("  windows of {} by {}; {lateness}\n", duration(width_ms), gold.time));
    let source = manifest.products.iter().find(|product| product.name == gold.from);
    let columns = source.map(|product| product.columns.as_slice()).unwrap_or_default();
    let mut table = Table::new(2);
    for key in &gold.keys {
        let column = columns.iter().find(|column| column.name == key.column);
        let from = if key.column == key.name { "key".to_owned() } else { format!("key: {}", key.column) };
        table.row([key.name.as_str(), &column.map(type_of).unwrap_or_default(), &join(&[&from, &key.description])]);
    }
    for measure in &gold.measures {
        let what = function(measure.function, measure.column.as_deref());
        table.row([measure.name.as_str(), &measure.data_type.to_string(), &join(&[&what, &measure.description])]);
    }
    text + &table.to_string() + &format!("  partitioned by {} of window_start\n", granularity(gold.partition_by))
}

fn about(description: &str) -> String {
    let lines = description.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("  {line}\n")).collect()
}

fn join(notes: &[&str]) -> String {
    let notes: Vec<&str> = notes.iter().copied().filter(|note| !note.is_empty()).collect();
    notes.join("; ")
}

fn type_of(column: &Column) -> String {
    format!("{}{}", column.data_type, if column.nullable { "?" } else { "" })
}

fn mask(mask: Mask) -> String {
    match mask {
        Mask::Redact => "masked: redacted".to_owned(),
        Mask::Hash => "masked: keyed hash".to_owned(),
        Mask::Truncate { keep } => format!("masked: first {keep} characters"),
    }
}

fn partition(part: &PartitionBy) -> String {
    match part.by {
        Granularity::Value => part.column.clone(),
        by => format!("{} of {}", granularity(by), part.column),
    }
}

fn granularity(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Value => "value",
        Granularity::Day => "day",
        Granularity::Month => "month",
        Granularity::Year => "year",
    }
}

fn expectation_text(expectation: &Expectation) -> String {
    match &expectation.column {
        Some(column) => format!("{}, of {column}", expectation.expression),
        None => expectation.expression.clone(),
    }
}

fn on_violation(on_violation: OnViolation) -> &'static str {
    match on_violation {
        OnViolation::Warn => "else warns",
        OnViolation::Drop => "else drops the row",
        OnViolation::DeadLetter => "else a dead letter",
        OnViolation::Stop => "else parks the module",
    }
}

fn function(function: Function, column: Option<&str>) -> String {
    let of = |name: &str| format!("{name}({})", column.unwrap_or("*"));
    match function {
        Function::Count => "rows".to_owned(),
        Function::Sum => of("sum"),
        Function::Min => of("min"),
        Function::Max => of("max"),
        Function::Average => of("average"),
        Function::Distinct => of("distinct"),
        Function::DistinctSketch => of("distinct_sketch"),
    }
}

fn duration(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}

#[cfg(test)]
mod tests;
