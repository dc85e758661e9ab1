//! Gold products, before and after: what their groups are and what is measured must stay, since old and new partials are merged.

use super::{Compatibility, Way, text};
use crate::aggregate::Plan;
use arrow_schema::{FieldRef, SchemaRef};
use lakeward_manifest::{Gold, Manifest};

pub(super) fn compare(found: &mut Compatibility, old: &Manifest, new: &Manifest) {
    for gold in &new.gold {
        let path = format!("{}/{}", new.owner, gold.name);
        match old.gold.iter().find(|before| before.name == gold.name) {
            Some(before) => {
                let at = found.breaking.len();
                compare_gold(found, &path, before, gold);
                if found.breaking.len() == at && !same_tables(old, before, new, gold) {
                    let what = "its keys or measures are of other types now, as those of the columns that they come from, \
                                or never null, which groups so far may be";
                    found.breaks(Some(&path), None, what, &Way::ALL);
                }
            }
            None => found.add(Some(&path), None, "a new gold product"),
        }
    }
    for before in &old.gold {
        if !new.gold.iter().any(|gold| gold.name == before.name) {
            let path = format!("{}/{}", old.owner, before.name);
            found.change(Some(&path), None, "no longer kept: its table stays as it is, and it is not served any more");
        }
    }
}

fn compare_gold(found: &mut Compatibility, path: &str, old: &Gold, new: &Gold) {
    let mut breaks = |column: Option<&str>, what: String| found.breaks(Some(path), column, what, &Way::ALL);
    if old.from != new.from {
        breaks(None, format!("it aggregated {} and aggregates {}", old.from, new.from));
    }
    if old.time != new.time {
        breaks(
            None,
            format!("its windows followed {} and follow {}: groups so far hold other rows", old.time, new.time),
        );
    }
    if old.window != new.window {
        breaks(
            None,
            format!(
                "its windows were {} wide and are {}: old and new ones overlap",
                text::duration(old.window.width_ms()),
                text::duration(new.window.width_ms())
            ),
        );
    }
    if old.partition_by != new.partition_by {
        breaks(
            None,
            format!(
                "its table is laid out by {}, the new module lays it out by {}",
                text::granularity(old.partition_by),
                text::granularity(new.partition_by)
            ),
        );
    }
    let key = |gold: &Gold| gold.keys.iter().map(|key| (key.name.clone(), key.column.clone())).collect::<Vec<_>>();
    let (was, is) = (key(old), key(new));
    if was != is {
        let list = |keys: &[(String, String)]| {
            let keys: Vec<String> = keys
                .iter()
                .map(|(name, of)| if name == of { name.clone() } else { format!("{name} ({of})") })
                .collect();
            if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
        };
        breaks(None, format!("it was grouped by {} and is by {}: groups so far are others", list(&was), list(&is)));
    }
    for measure in &new.measures {
        match old.measures.iter().find(|before| before.name == measure.name) {
            None => breaks(Some(&measure.name), "a new measure, which the groups so far do not have".to_owned()),
            Some(before) if (before.function, &before.column) != (measure.function, &measure.column) => breaks(
                Some(&measure.name),
                format!("it was {} and is {}: both cannot be merged", text::measure(before), text::measure(measure)),
            ),
            Some(before) if before.data_type != measure.data_type => {
                breaks(Some(&measure.name), format!("it was {} and is {}", before.data_type, measure.data_type))
            }
            Some(_) => {}
        }
    }
    for before in old.measures.iter().filter(|before| !new.measures.iter().any(|measure| measure.name == before.name)) {
        breaks(Some(&before.name), "the measure is gone, but the table promises it".to_owned());
    }
    if old.lateness_ms != new.lateness_ms {
        let longer =
            if new.lateness_ms > old.lateness_ms { "; windows that were final may take rows again" } else { "" };
        let what = format!(
            "rows are taken up to {} late instead of {}, from here on{longer}",
            text::duration(new.lateness_ms),
            text::duration(old.lateness_ms)
        );
        found.change(Some(path), None, what);
    }
}

/// Whether the tables of the new one take the rows of the old one: columns of the same names and types. A gold product that no plan can be made of is refused elsewhere.
fn same_tables(old: &Manifest, before: &Gold, new: &Manifest, gold: &Gold) -> bool {
    let plan = |manifest: &Manifest, gold: &Gold| {
        let product = manifest.products.iter().find(|product| product.name == gold.from)?;
        Plan::new(&manifest.owner, gold, product).ok()
    };
    let (Some(was), Some(is)) = (plan(old, before), plan(new, gold)) else { return true };
    // Groups so far are taken up as they are, so what may be null in them may be from here on.
    let takes = |(was, is): (&FieldRef, &FieldRef)| {
        was.name() == is.name() && was.data_type() == is.data_type() && (is.is_nullable() || !was.is_nullable())
    };
    let same = |was: SchemaRef, is: SchemaRef| {
        was.fields().len() == is.fields().len() && was.fields().iter().zip(is.fields()).all(takes)
    };
    same(was.gold_schema(), is.gold_schema()) && same(was.state_schema(), is.state_schema())
}
