//! What a comparison found, for programs as JSON and for people (in `text.rs`).

use super::examples::Origin;
use crate::transform::Usage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// What two modules made of the same records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Records compared.
    pub records: u64,
    /// Rows of all products that both modules write.
    pub rows: RowsReport,
    /// Records that became dead letters.
    pub rejects: RejectReport,
    /// Chunks in which a row broke an expectation of the kind `stop`: there the pipeline would have stopped.
    pub stops: Stops,
    /// By product.
    pub products: Vec<ProductReport>,
    /// By gold product.
    pub gold: Vec<GoldReport>,
    /// What each module cost.
    pub cost: CostReport,
}

impl Report {
    /// The same without the reasons that not everybody may read.
    #[must_use]
    pub fn for_everybody(&self) -> Self {
        let mut report = self.clone();
        let RejectReport { is_masked, gained_reasons, lost_reasons, .. } = &mut report.rejects;
        if *is_masked {
            for reason in gained_reasons.iter_mut().chain(lost_reasons) {
                "for operators only, since it may quote a masked value".clone_into(&mut reason.reason);
            }
        }
        report
    }
}

/// Which of the modules has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Both.
    Both,
    /// The old one.
    Old,
    /// The new one.
    New,
}

/// How many rows are alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsReport {
    /// Rows that are the same in all columns that both modules write.
    pub same: u64,
    /// Rows of one record that differ in some column.
    pub changed: u64,
    /// Rows that only the old module makes.
    pub only_old: u64,
    /// Rows that only the new module makes.
    pub only_new: u64,
}

impl RowsReport {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.same + self.changed + self.only_old + self.only_new
    }
}

impl AddAssign for RowsReport {
    fn add_assign(&mut self, other: Self) {
        self.same += other.same;
        self.changed += other.changed;
        self.only_old += other.only_old;
        self.only_new += other.only_new;
    }
}

/// How the rows of one product differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductReport {
    /// The product's path, `retail/sales`.
    pub product: String,
    /// Which modules write it.
    pub presence: Presence,
    /// How many rows are alike.
    pub rows: RowsReport,
    /// By column, those that only one module has at the end.
    pub columns: Vec<ColumnReport>,
    /// Rows that only the old module makes: the first few.
    pub only_old: Vec<RowExample>,
    /// Rows that only the new module makes: the first few.
    pub only_new: Vec<RowExample>,
}

/// A row that only one module makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowExample {
    /// The record that it came from.
    pub origin: Origin,
    /// Its first columns, `name=value`.
    pub row: String,
}

/// How the values of one column differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnReport {
    /// The column.
    pub column: String,
    /// Which modules have it.
    pub presence: Presence,
    /// Its types in the old and the new module, where the table would tell them apart; values are then compared as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<[String; 2]>,
    /// How many values differ.
    pub differs: u64,
    /// The first few that do.
    pub examples: Vec<Differing>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// The record that both rows came from.
    pub origin: Origin,
    /// The old module's value, as the table would hold it; none is null.
    pub before: Option<String>,
    /// The new module's value.
    pub after: Option<String>,
}

/// The groups of one gold product that rows which differ fall into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldReport {
    /// The product's path, `retail/sales_by_country`.
    pub product: String,
    /// Which modules keep it.
    pub presence: Presence,
    /// Whether the modules mean different things by a group or a measure, so that groups cannot be compared.
    pub is_redefined: bool,
    /// Groups with a row that differs in a key, the time or something measured, or that only one module makes. Differences that cancel each
    /// other out, and rows that come too late for their window, are among them.
    pub groups: u64,
    /// Whether there are more groups than were told apart.
    pub at_least: bool,
    /// The first few, by window.
    pub examples: Vec<Group>,
}

/// A group of a gold product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The keys by name.
    pub keys: BTreeMap<String, Option<String>>,
    /// The start of its window, RFC 3339.
    pub window_start: String,
}

/// Records that became dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectReport {
    /// Whether one of the modules masks columns: its reasons may quote what is masked.
    #[serde(default)]
    pub is_masked: bool,
    /// Of both modules.
    pub both: u64,
    /// Of the new module only.
    pub gained: u64,
    /// Of the old module only.
    pub lost: u64,
    /// The commonest reasons of the new module for those gained.
    pub gained_reasons: Vec<Reason>,
    /// The commonest reasons that the old module had for those lost.
    pub lost_reasons: Vec<Reason>,
}

/// Why records became dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Where: `decode`, `transform` or `product`.
    pub stage: String,
    /// The reason.
    pub reason: String,
    /// How many records.
    pub records: u64,
    /// The first of them.
    pub first: Origin,
}

/// A number for each module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stops {
    /// Of the old module.
    pub old: u64,
    /// Of the new module.
    pub new: u64,
}

impl From<(u64, u64)> for Stops {
    fn from((old, new): (u64, u64)) -> Self {
        Self { old, new }
    }
}

/// What each module cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CostReport {
    /// The old module.
    pub old: SideCost,
    /// The new module.
    pub new: SideCost,
}

/// What a module cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SideCost {
    /// Events given to it, over all of its inputs.
    pub events: u64,
    /// Nanoseconds an event, in its calls.
    pub ns_per_event: f64,
    /// Fuel an event, which is the same on every machine.
    pub fuel_per_event: f64,
    /// Calls that failed.
    pub traps: u64,
}

impl SideCost {
    pub(super) fn new(events: u64, cost: Usage) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a cost is shown with three digits")]
        let per_event = |sum: u64| if events == 0 { 0.0 } else { sum as f64 / events as f64 };
        Self {
            events,
            ns_per_event: per_event(cost.nanoseconds),
            fuel_per_event: per_event(cost.fuel),
            traps: cost.traps,
        }
    }
}
