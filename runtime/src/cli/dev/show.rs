//! A build and what it makes of the events, for its author at a terminal.

use super::super::table::Table;
use super::preview::{Counts, Groups, Preview, Product, Rejects};
use crate::release::Compatibility;
use crate::release::compare::{Presence, Report, grouped};
use lakeward_manifest::{self as manifest, OnViolation};
use std::fmt::Write as _;

/// The most characters of a cell of a table.
const CELL: usize = 28;

/// The most characters of a rejected event.
const EVENT: usize = 80;

/// All of it, from the counts to the rejects.
pub(super) fn preview(preview: &mut Preview<'_>) -> String {
    let Counts { records, with_rows, skips, rejects } = preview.counts;
    let mut text = format!(
        "{} records: {} with rows, {} skips, {} rejects\n",
        grouped(records),
        grouped(with_rows),
        grouped(skips),
        grouped(rejects)
    );
    let manifest = preview.trial.manifest();
    for (declared, product) in manifest.products.iter().zip(&preview.products) {
        text += &product_rows(&manifest.owner, declared, product);
    }
    for groups in preview.groups() {
        text += &gold(&groups);
    }
    if let Some(stopped) = &preview.stopped {
        text += &format!("\na pipeline would stop {stopped}\n");
    }
    text += &reasons(&preview.rejects);
    if !preview.lines.is_empty() {
        text += "\nlog\n";
        preview.lines.iter().for_each(|line| text += &format!("  {line}\n"));
    }
    text
}

fn product_rows(owner: &str, declared: &manifest::Product, product: &Product) -> String {
    let mut text = format!("\n{owner}/{}  {} rows\n", declared.name, grouped(product.rows));
    let names = declared.columns.iter().map(|column| column.name.as_str());
    text += &table(std::iter::once("offset").chain(names), &product.first);
    for (rule, broken) in declared.expectations.iter().zip(&product.broken).filter(|(_, broken)| **broken > 0) {
        let follows = match rule.on_violation {
            OnViolation::Warn => "which is only counted",
            OnViolation::Drop => "which are left out",
            OnViolation::DeadLetter => "which are rejected",
            OnViolation::Stop => "at which the product would stop",
        };
        let (name, rule, broken) = (&rule.name, &rule.expression, grouped(*broken));
        writeln!(text, "  {name}: {rule} is broken by {broken} rows, {follows}").expect("a string takes all");
    }
    text
}

fn gold(Groups { path, names, newest, total, late }: &Groups) -> String {
    let total = grouped(u64::try_from(*total).unwrap_or(u64::MAX));
    let late = if *late == 0 { String::new() } else { format!(", {} rows late for their window", grouped(*late)) };
    format!("\n{path}  {total} groups{late}\n") + &table(names.iter().map(String::as_str), newest)
}

fn reasons(rejects: &Rejects) -> String {
    if rejects.reasons.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2);
    table.row(["first at", "records", "stage", "reason", "event"]);
    for reason in &rejects.reasons {
        let (offset, value) = &reason.first;
        let event =
            value.as_deref().map_or_else(|| "no value".to_owned(), |value| cut(&String::from_utf8_lossy(value), EVENT));
        table.row([&*offset.to_string(), &grouped(reason.records), reason.stage, &cut(&reason.reason, EVENT), &event]);
    }
    let others = match rejects.others {
        0 => String::new(),
        others => format!("  and {} for other reasons\n", grouped(others)),
    };
    format!("\nrejects\n{table}{others}")
}

/// How the build differs from the one before.
pub(super) fn against(contract: &Compatibility, report: &Report) -> String {
    if contract.is_same() && is_same(report) {
        return "the same rows, rejects and contract as the build before\n".to_owned();
    }
    let contract = if contract.is_same() { String::new() } else { format!("{contract}\n") };
    format!("against the build before\n\n{contract}{report}")
}

fn is_same(report: &Report) -> bool {
    let (rows, rejects) = (report.rows, &report.rejects);
    rows.changed + rows.only_old + rows.only_new + rejects.gained + rejects.lost == 0
        && report.products.iter().all(|product| {
            product.presence == Presence::Both
                && product.columns.iter().all(|column| column.presence == Presence::Both && column.types.is_none())
        })
        && report.gold.iter().all(|gold| gold.presence == Presence::Both && !gold.is_redefined)
}

fn table<'a>(names: impl Iterator<Item = &'a str>, rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2);
    table.row(names);
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| cut(cell, CELL)).collect();
        table.row(cells.iter().map(String::as_str));
    }
    table.to_string()
}

/// At most `most` characters of a text, none of which steers a terminal.
fn cut(text: &str, most: usize) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { '\u{FFFD}' } else { character });
    let mut kept: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::sample;

    #[test]
    fn a_cell_is_short_and_harmless() {
        for (text, expected) in
            [("short", "short"), ("12345", "12345"), ("123456", "1234…"), ("a\u{1b}[31", "a\u{FFFD}[31")]
        {
            assert_eq!(cut(text, 5), expected);
        }
    }

    #[test]
    fn rows_are_aligned_under_the_names_of_their_columns() {
        let mut declared = sample::manifest().products[0].clone();
        declared.columns.truncate(2);
        declared.expectations.clear();
        let names: Vec<String> = declared.columns.iter().map(|column| column.name.clone()).collect();
        let first = vec![vec!["0".to_owned(), "a long value".to_owned(), "1".to_owned()]];
        let text = product_rows("retail", &declared, &Product { rows: 1_200, first, broken: Vec::new() });
        let width = names[0].len().max("a long value".len());
        let expected = format!(
            "\nretail/{}  1,200 rows\n  offset  {:width$}  {}\n  0       a long value{}  1\n",
            declared.name,
            names[0],
            names[1],
            " ".repeat(width - "a long value".len())
        );
        assert_eq!(text, expected);
    }
}
