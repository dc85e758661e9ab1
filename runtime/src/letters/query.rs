//! Which dead letters somebody means, as names and values: a command line and an HTTP query say it alike.

use super::Error;
use super::filter::{Filter, Grouping};
use super::letter::Origin;
use crate::record::Stage;
use crate::sink::system::LetterStatus;
use chrono::DateTime;

/// Letters that a list shows where nobody says how many, and the most that it does.
const LIMIT: usize = 20;
const LARGEST: usize = 100_000;

/// What is asked, of which letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The conditions. What became of the letters is one of them only in lists.
    pub filter: Filter,
    /// These records' letters; of all records where there are none.
    pub records: Vec<Origin>,
    /// Count them by this instead of listing them.
    pub by: Option<Grouping>,
    /// Letters, or groups, that are listed.
    pub limit: usize,
    /// All open letters are meant.
    pub all: bool,
    /// Only say which letters that would be.
    pub dry_run: bool,
}

impl Default for Query {
    fn default() -> Self {
        let filter = Filter { status: Some(LetterStatus::Open), ..Filter::default() };
        Self { filter, records: Vec::new(), by: None, limit: LIMIT, all: false, dry_run: false }
    }
}

impl Query {
    /// Reads names and values.
    ///
    /// | name | value |
    /// |---|---|
    /// | `product` | `retail/sales` |
    /// | `module`, `topic`, `partition` | where the record came from, and who could not make rows of it |
    /// | `reason` | words that the reason has |
    /// | `stage` | `decode`, `transform`, `product` or `aggregate` |
    /// | `from`, `to` | RFC 3339 times of the record's timestamp |
    /// | `status` | `open`, which is the default, `redriven`, `discarded` or `all` |
    /// | `record` | `orders#0/3:4711`; may be given several times |
    /// | `by` | `reason`, `module` or `product` |
    /// | `limit` | up to 100,000 letters or groups; 20 without |
    /// | `all`, `dry_run` | `true` or `false` |
    ///
    /// # Errors
    /// What is wrong, for a person.
    pub fn parse<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in given {
            let filter = &mut query.filter;
            let text = || Some(value.to_owned());
            match name {
                "product" => filter.product = text(),
                "reason" => filter.reason = text(),
                "module" => filter.module = text(),
                "topic" => filter.topic = text(),
                "partition" => filter.partition = Some(number(name, value)?),
                "stage" => filter.stage = Some(stage(value)?.name().to_owned()),
                "from" => filter.from_ms = Some(time(name, value)?),
                "to" => filter.to_ms = Some(time(name, value)?),
                "status" => filter.status = status(value)?,
                "record" => query.records.push(record(value)?),
                "by" => query.by = Some(grouping(value)?),
                "limit" => query.limit = number::<usize>(name, value)?.min(LARGEST),
                "all" => query.all = choice(name, value)?,
                "dry_run" => query.dry_run = choice(name, value)?,
                _ => return Err(format!("there is nothing called {name:?} to ask of dead letters")),
            }
        }
        Ok(query)
    }

    /// Nobody asks for anything to be done with all letters without saying so.
    ///
    /// # Errors
    /// [`Error::Argument`] when it says nothing of which letters it means.
    pub fn chooses(&self) -> Result<(), Error> {
        if self.all || !self.records.is_empty() || self.filter != Self::default().filter {
            return Ok(());
        }
        Err(Error::argument("say which letters: name records, give conditions, or say that all are meant"))
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value} is not such a number"))
}

fn choice(name: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("{name} is true or false, not {value:?}"))
}

fn time(name: &str, value: &str) -> Result<i64, String> {
    let time = DateTime::parse_from_rfc3339(value);
    Ok(time
        .map_err(|_| format!("{name} {value} is no RFC 3339 time, such as 2024-05-01T00:00:00Z"))?
        .timestamp_millis())
}

fn record(value: &str) -> Result<Origin, String> {
    Origin::parse(value).ok_or_else(|| format!("{value:?} names no record: write orders#0/3:4711, as the list does"))
}

fn stage(value: &str) -> Result<Stage, String> {
    let stages = [Stage::Decode, Stage::Transform, Stage::Product, Stage::Aggregate];
    let found = stages.into_iter().find(|stage| stage.name() == value);
    found.ok_or_else(|| format!("there is no stage {value:?}: it is decode, transform, product or aggregate"))
}

fn status(value: &str) -> Result<Option<LetterStatus>, String> {
    let all = [LetterStatus::Open, LetterStatus::Redriven, LetterStatus::Discarded];
    match all.into_iter().find(|status| status.name() == value) {
        None if value != "all" => {
            Err(format!("a letter is open, redriven or discarded, or of all is asked; not {value:?}"))
        }
        found => Ok(found),
    }
}

fn grouping(value: &str) -> Result<Grouping, String> {
    let all = [Grouping::Reason, Grouping::Module, Grouping::Product];
    let found = all.into_iter().find(|by| by.name() == value);
    found.ok_or_else(|| format!("letters are counted by reason, module or product, not by {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read_as_they_are_meant() {
        let given = [
            ("product", "retail/sales"),
            ("stage", "decode"),
            ("from", "1970-01-01T00:00:01Z"),
            ("status", "all"),
            ("record", "orders#0/3:4711"),
            ("record", "orders/1:7"),
            ("limit", "999999999"),
            ("dry_run", "true"),
        ];
        let query = Query::parse(given).unwrap();
        let Filter { product, stage, from_ms, status, .. } = &query.filter;
        assert_eq!((product.as_deref(), stage.as_deref()), (Some("retail/sales"), Some("decode")));
        assert_eq!((*from_ms, *status, query.limit), (Some(1_000), None, LARGEST));
        assert_eq!(
            query.records.iter().map(Origin::to_string).collect::<Vec<_>>(),
            ["orders#0/3:4711", "orders#0/1:7"]
        );
        assert!(query.dry_run && !query.all);
    }

    #[test]
    fn what_is_meant_by_nothing_is_refused() {
        for (name, value) in [
            ("prodct", "retail/sales"),
            ("partition", "x"),
            ("stage", "bronze"),
            ("from", "yesterday"),
            ("status", "closed"),
            ("record", "nonsense"),
            ("by", "topic"),
            ("limit", "-1"),
            ("all", "yes"),
        ] {
            assert!(Query::parse([(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn a_request_says_which_letters() {
        let chooses = |given: &[(&str, &str)]| Query::parse(given.iter().copied()).unwrap().chooses().is_ok();
        assert!(!chooses(&[]) && !chooses(&[("dry_run", "true")]));
        assert!(chooses(&[("all", "true")]) && chooses(&[("reason", "x")]) && chooses(&[("record", "orders/1:7")]));
    }
}
