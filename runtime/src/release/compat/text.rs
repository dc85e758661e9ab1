//! The words of a verdict, for a person at a terminal.

use super::{Breaking, Change, Compatibility};
use crate::transform::FIRST_VERSION;
use lakeward_manifest::{Expectation, Function, Granularity, Measure, OnViolation, PartitionBy};
use std::fmt;

impl fmt::Display for Compatibility {
    /// The verdict in a line, then what is new, different and breaking, one a line, then the ways on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.breaking.len() {
            0 if self.is_same() => {
                return writeln!(f, "compatible: nothing differs that a table or its readers could see");
            }
            0 => writeln!(f, "compatible")?,
            1 => writeln!(f, "not compatible: 1 breaking change")?,
            count => writeln!(f, "not compatible: {count} breaking changes")?,
        }
        section(
            f,
            "breaking",
            self.breaking.iter().map(|Breaking { product, column, what, .. }| (product, column, what)),
        )?;
        section(f, "added", self.additions.iter().map(line))?;
        section(f, "changed", self.changes.iter().map(line))?;
        let mut ways = self.ways().peekable();
        if ways.peek().is_some() {
            writeln!(f, "\nways on")?;
        }
        ways.try_for_each(|way| writeln!(f, "  lakeward {}", way.command(FIRST_VERSION)))
    }
}

type Line<'a> = (&'a Option<String>, &'a Option<String>, &'a String);

fn line(change: &Change) -> Line<'_> {
    (&change.product, &change.column, &change.what)
}

fn section<'a>(f: &mut fmt::Formatter<'_>, title: &str, lines: impl Iterator<Item = Line<'a>>) -> fmt::Result {
    let mut title = Some(title);
    for (product, column, what) in lines {
        if let Some(title) = title.take() {
            writeln!(f, "\n{title}")?;
        }
        // The module's own words reach a terminal: nothing in them may steer it.
        let what = what.replace(char::is_control, "\u{FFFD}");
        let place = match (product, column) {
            (Some(product), Some(column)) => format!("{product}, {column}: "),
            (Some(product), None) => format!("{product}: "),
            (None, Some(column)) => format!("{column}: "),
            (None, None) => String::new(),
        };
        writeln!(f, "  {place}{what}")?;
    }
    Ok(())
}

pub(super) fn partitioning(by: &[PartitionBy]) -> String {
    if by.is_empty() {
        return "nothing".to_owned();
    }
    let part = |by: &PartitionBy| match by.by {
        Granularity::Value => by.column.clone(),
        part => format!("{} of {}", granularity(part), by.column),
    };
    by.iter().map(part).collect::<Vec<_>>().join(", ")
}

pub(super) fn granularity(by: Granularity) -> &'static str {
    match by {
        Granularity::Value => "value",
        Granularity::Day => "day",
        Granularity::Month => "month",
        Granularity::Year => "year",
    }
}

pub(super) fn expectation(rule: &Expectation) -> String {
    let action = match rule.on_violation {
        OnViolation::Warn => "else it warns",
        OnViolation::Drop => "else the row is dropped",
        OnViolation::DeadLetter => "else a dead letter",
        OnViolation::Stop => "else the product stops",
    };
    format!("`{}` ({action})", rule.expression)
}

pub(super) fn measure(measure: &Measure) -> String {
    let name = match measure.function {
        Function::Count => "count",
        Function::Sum => "sum",
        Function::Min => "min",
        Function::Max => "max",
        Function::Average => "average",
        Function::Distinct => "distinct",
        Function::DistinctSketch => "distinct_sketch",
    };
    format!("{name}({})", measure.column.as_deref().unwrap_or("*"))
}

pub(super) fn duration(ms: u64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms)).to_string()
}
