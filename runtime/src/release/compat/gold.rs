//! Gold products, before and after: what their groups are and what is measured must stay, since old and new partials are merged.

use super::{Compatibility, NEW, Way, text};
use crate::aggregate::Plan;
use arrow_schema::{DataType, FieldRef};
use lakeward_manifest::{Gold, Manifest};

pub(super) fn compare(found: &mut Compatibility, old: &Manifest, new: &Manifest) {
    for gold in &new.gold {
        let path = format!("{}/{}", new.owner, gold.name);
        match old.gold.iter().find(|before| before.name == gold.name) {
            Some(before) => {
                let at = found.breaking.len();
                compare_gold(found, &path, before, gold);
                if found.breaking.len() == at
                    && let Some(what) = unlike(old, before, new, gold)
                {
                    found.breaks(Some(&path), None, what, &Way::ALL);
                }
            }
            None => found.breaks(Some(&path), None, NEW, &Way::ALL),
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

/// Why the tables of the new one do not take the rows of the old one. A gold product that no plan can be made of is refused elsewhere.
fn unlike(old: &Manifest, before: &Gold, new: &Manifest, gold: &Gold) -> Option<&'static str> {
    let plan = |manifest: &Manifest, gold: &Gold| {
        let product = manifest.products.iter().find(|product| product.name == gold.from)?;
        Plan::new(&manifest.owner, gold, product).ok()
    };
    let (was, is) = (plan(old, before)?, plan(new, gold)?);
    let all = |plan: &Plan| -> Vec<FieldRef> {
        [plan.gold_schema(), plan.state_schema()].iter().flat_map(|schema| schema.fields().iter().cloned()).collect()
    };
    let (was, is) = (all(&was), all(&is));
    let kinds = |fields: &[FieldRef]| -> Vec<(String, DataType)> {
        fields.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    if kinds(&was) != kinds(&is) {
        return Some("its keys or measures are of other types now, as those of the columns that they come from");
    }
    let is_never_null = was.iter().zip(&is).any(|(was, is)| was.is_nullable() && !is.is_nullable());
    is_never_null.then_some("a key or measure is never null from here on, but those of the groups so far may be")
}
