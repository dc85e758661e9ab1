//! Conditions on a report, `changed <= 0.1%`: what has to hold before a shadow is promoted.
//!
//! | figure | is | a percentage is of |
//! |---|---|---|
//! | `records` | records compared | |
//! | `same` | rows that are the same | all rows |
//! | `changed` | rows that differ in some column | all rows |
//! | `only_old`, `only_new` | rows that one module alone makes | all rows |
//! | `new_rejects` | records that only the new module makes dead letters of | records |
//! | `lost_rejects` | records that only the old module makes dead letters of | records |
//! | `groups` | gold groups that rows which differ fall into | |
//! | `stops` | chunks in which the new module would have stopped the pipeline | |
//! | `slower` | nanoseconds an event, more than before | the old module's, and always a percentage |
//! | `more_fuel` | fuel an event, more than before | the old module's, and always a percentage |
//!
//! The relations are `<=`, `<`, `=`, `>=` and `>`. All rows are those of the products that both modules write, of either module. Nothing holds
//! before anything was compared. `groups` counts a gold product whose definition changed as one group at the least.

use super::report::Report;
use super::text::grouped;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A condition on a [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    figure: Figure,
    relation: Relation,
    bound: f64,
    is_percent: bool,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Records,
    Same,
    Changed,
    OnlyOld,
    OnlyNew,
    NewRejects,
    LostRejects,
    Groups,
    Stops,
    Slower,
    MoreFuel,
}

const FIGURES: [(&str, Figure); 11] = [
    ("records", Figure::Records),
    ("same", Figure::Same),
    ("changed", Figure::Changed),
    ("only_old", Figure::OnlyOld),
    ("only_new", Figure::OnlyNew),
    ("new_rejects", Figure::NewRejects),
    ("lost_rejects", Figure::LostRejects),
    ("groups", Figure::Groups),
    ("stops", Figure::Stops),
    ("slower", Figure::Slower),
    ("more_fuel", Figure::MoreFuel),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    AtMost,
    Below,
    Equal,
    AtLeast,
    Above,
}

/// The longer ones first, since one begins another.
const RELATIONS: [(&str, Relation); 5] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("<", Relation::Below),
    (">", Relation::Above),
    ("=", Relation::Equal),
];

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no condition: {reason}; write it like `changed <= 0.1%` or `new_rejects = 0`")]
pub struct ParseError {
    text: String,
    reason: String,
}

/// Why a condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{condition}` does not hold: {found}")]
pub struct Unmet {
    /// The condition.
    pub condition: String,
    /// What was found instead.
    pub found: String,
}

impl Condition {
    /// Whether the report meets the condition.
    ///
    /// # Errors
    /// When it does not, with what was found; and always where nothing was compared.
    pub fn holds(&self, report: &Report) -> Result<(), Unmet> {
        let unmet = |found: String| Err(Unmet { condition: self.text.clone(), found });
        if report.records == 0 {
            return unmet("nothing was compared yet".to_owned());
        }
        let (value, of) = self.figure.measure(report);
        #[expect(clippy::cast_precision_loss, reason = "counts of records and rows are far below 2^53")]
        let (found, shown) = match (value, of, self.is_percent) {
            (Measured::Growth(None), _, _) => return unmet("no event was compared, so there is no cost".to_owned()),
            (Measured::Growth(Some(percent)), _, _) => (percent, format!("{percent:+.1} %")),
            (Measured::Count(count), Some(of), true) => {
                let percent = if of == 0 { 0.0 } else { count as f64 * 100.0 / of as f64 };
                (percent, format!("{percent:.4} %, {} of {}", grouped(count), grouped(of)))
            }
            (Measured::Count(count), _, _) => (count as f64, grouped(count)),
        };
        let holds = match self.relation {
            Relation::AtMost => found <= self.bound,
            Relation::Below => found < self.bound,
            Relation::Equal => (found - self.bound).abs() < f64::EPSILON,
            Relation::AtLeast => found >= self.bound,
            Relation::Above => found > self.bound,
        };
        if holds { Ok(()) } else { unmet(format!("it is {shown}")) }
    }
}

enum Measured {
    Count(u64),
    /// Per cent more than before; none where nothing was measured.
    Growth(Option<f64>),
}

impl Figure {
    fn is_growth(self) -> bool {
        matches!(self, Self::Slower | Self::MoreFuel)
    }

    fn may_be_percent(self) -> bool {
        !matches!(self, Self::Records | Self::Groups | Self::Stops)
    }

    /// The figure, and what a percentage of it is of.
    fn measure(self, report: &Report) -> (Measured, Option<u64>) {
        let (rows, rejects) = (report.rows, &report.rejects);
        let growth = |before: f64, after: f64| Measured::Growth((before > 0.0).then(|| (after / before - 1.0) * 100.0));
        let (old, new) = (report.cost.old, report.cost.new);
        match self {
            Self::Records => (Measured::Count(report.records), None),
            Self::Same => (Measured::Count(rows.same), Some(rows.total())),
            Self::Changed => (Measured::Count(rows.changed), Some(rows.total())),
            Self::OnlyOld => (Measured::Count(rows.only_old), Some(rows.total())),
            Self::OnlyNew => (Measured::Count(rows.only_new), Some(rows.total())),
            Self::NewRejects => (Measured::Count(rejects.gained), Some(report.records)),
            Self::LostRejects => (Measured::Count(rejects.lost), Some(report.records)),
            Self::Groups => {
                let groups = report.gold.iter().map(|gold| gold.groups.max(u64::from(gold.is_redefined))).sum();
                (Measured::Count(groups), None)
            }
            Self::Stops => (Measured::Count(report.stops.new), None),
            Self::Slower => (growth(old.ns_per_event, new.ns_per_event), None),
            Self::MoreFuel => (growth(old.fuel_per_event, new.fuel_per_event), None),
        }
    }
}

impl FromStr for Condition {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |reason: String| ParseError { text: text.to_owned(), reason };
        let at =
            text.find(['<', '>', '=']).ok_or_else(|| refuse("it has no `<=`, `<`, `=`, `>=` or `>`".to_owned()))?;
        let name = text[..at].trim();
        let figure = FIGURES.iter().find(|(known, _)| *known == name).map(|(_, figure)| *figure).ok_or_else(|| {
            let known: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
            refuse(format!("there is no figure `{name}`, but {}", known.join(", ")))
        })?;
        let relation = RELATIONS.iter().find_map(|(sign, relation)| Some((*relation, text[at..].strip_prefix(sign)?)));
        let (relation, bound) = relation.ok_or_else(|| refuse("its relation is unknown".to_owned()))?;
        let bound = bound.trim();
        let (number, is_percent) = bound.strip_suffix('%').map_or((bound, false), |number| (number.trim_end(), true));
        let number: f64 = number.parse().map_err(|_| refuse(format!("`{bound}` is not a number")))?;
        if !number.is_finite() || (number < 0.0 && !figure.is_growth()) {
            return Err(refuse(format!("`{bound}` is not a number that a count can have")));
        }
        if is_percent && !figure.may_be_percent() {
            return Err(refuse(format!("`{name}` is a number, not a percentage")));
        }
        if !is_percent && figure.is_growth() {
            return Err(refuse(format!("`{name}` is a percentage: `{bound}%`")));
        }
        Ok(Self { figure, relation, bound: number, is_percent, text: text.trim().to_owned() })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Condition {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.text
    }
}
