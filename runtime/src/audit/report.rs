//! What an audit found: a verdict a check, for people and for machines.

use serde::Serialize;
use std::fmt;

/// Offenders that are named; the others are counted.
const NAMED: usize = 5;

/// What an audit found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// Whether everything that was checked holds.
    pub holds: bool,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// One check of one thing.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was checked: `offsets`, `origins`, `counts`, `gold`, `live`.
    pub check: &'static str,
    /// Of what: a table, a topic or a product.
    pub subject: String,
    /// Whether it holds.
    pub outcome: Outcome,
    /// The figures behind it, or why it was not checked.
    pub detail: String,
    /// The first offenders, where it does not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offenders: Vec<String>,
}

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It does.
    Ok,
    /// It does not.
    Failed,
    /// Nobody can say; the detail tells why.
    NotChecked,
}

/// Those for whom a check fails: all counted, the first few named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offenders {
    count: u64,
    named: Vec<String>,
}

impl Offenders {
    /// Adds one; it is named if it is among the first.
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name());
        }
    }

    /// Takes those of another.
    pub(super) fn extend(&mut self, other: Self) {
        self.count += other.count;
        let room = NAMED - self.named.len();
        self.named.extend(other.named.into_iter().take(room));
    }

    /// The same, with words behind each name.
    #[must_use]
    pub(super) fn with(mut self, words: &str) -> Self {
        self.named.iter_mut().for_each(|name| name.push_str(words));
        self
    }

    /// How many there are.
    #[must_use]
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Check {
    /// A check that holds unless there are offenders.
    pub(super) fn of(
        check: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
        bad: Offenders,
    ) -> Self {
        let outcome = if bad.is_empty() { Outcome::Ok } else { Outcome::Failed };
        let more = bad.count - bad.named.len() as u64;
        let mut offenders = bad.named;
        if more > 0 {
            offenders.push(format!("and {more} more"));
        }
        Self { check, subject: subject.into(), outcome, detail: detail.into(), offenders }
    }

    /// A check that could not be made.
    pub(super) fn not_checked(check: &'static str, subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), outcome: Outcome::NotChecked, detail: why.into(), offenders: Vec::new() }
    }
}

impl Report {
    /// The report of these checks.
    #[must_use]
    pub(super) fn new(pipeline: &str, checks: Vec<Check>) -> Self {
        let holds = checks.iter().all(|check| check.outcome != Outcome::Failed);
        Self { pipeline: pipeline.to_owned(), holds, checks }
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.subject.chars().count()).max().unwrap_or(0);
        for check in &self.checks {
            let outcome = match check.outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::NotChecked => "not checked",
            };
            writeln!(f, "{outcome:<11}  {:<7}  {:<width$}  {}", check.check, check.subject, check.detail)?;
            for offender in &check.offenders {
                writeln!(f, "               {offender}")?;
            }
        }
        let (failed, open) = (self.count(Outcome::Failed), self.count(Outcome::NotChecked));
        let not_checked = if open > 0 { format!("; {open} not checked") } else { String::new() };
        match failed {
            0 => writeln!(f, "{}: all that was checked holds{not_checked}", self.pipeline),
            1 => writeln!(f, "{}: 1 check FAILED{not_checked}", self.pipeline),
            _ => writeln!(f, "{}: {failed} checks FAILED{not_checked}", self.pipeline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_one_line_a_check_and_the_first_offenders() {
        let mut bad = Offenders::default();
        (0..7).for_each(|offset| bad.add(|| format!("orders#0/3 offset {offset} stands twice")));
        let report = Report::new(
            "shop",
            vec![
                Check::of("offsets", "silver/retail/sales", "4 partitions", Offenders::default()),
                Check::of("origins", "silver/retail/sales", "9 rows", bad),
                Check::not_checked("live", "retail/top", "no server"),
            ],
        );
        insta::assert_snapshot!(report, @r"
        ok           offsets  silver/retail/sales  4 partitions
        FAILED       origins  silver/retail/sales  9 rows
                       orders#0/3 offset 0 stands twice
                       orders#0/3 offset 1 stands twice
                       orders#0/3 offset 2 stands twice
                       orders#0/3 offset 3 stands twice
                       orders#0/3 offset 4 stands twice
                       and 2 more
        not checked  live     retail/top           no server
        shop: 1 check FAILED; 1 not checked
        ");
    }
}
