//! To which versions the tables of a module go back. A row of the commits table names what the instance that wrote it knew of: of the
//! partitions of another instance, a table may have lacked then what that one had already committed everywhere. A table goes back to the
//! first version from there on that has all of it. Where one is ahead, that one was in the midst of a micro-batch, and there is no version.

use super::rewind::marker;
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::sink::{Error, Past, Snapshot, Warehouse, system};
use lakeward_manifest::Manifest;
use std::collections::BTreeMap;

/// The versions of these `tables` with everything before the `offsets`; `None` where silver or state has more than that. Letters of late
/// rows are there before the state says that their records are done, so the dead letters reach as far as any state.
pub(super) async fn versions(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    mut tables: BTreeMap<String, u64>,
    offsets: &BTreeMap<String, i64>,
    had_read: &BTreeMap<SourcePartition, i64>,
) -> Result<Option<BTreeMap<String, u64>>, Error> {
    let parsed = offsets.iter().filter_map(|(of, next)| Some((SourcePartition::parse(of)?, *next)));
    let target: Checkpoint = parsed.collect();
    let search = Search { config, lake, marker: marker(&manifest.name), target: &target };
    // No table needs to have anything of a partition of which the module had read nothing then.
    let floor: Checkpoint =
        target.iter().filter(|(of, _)| had_read.contains_key(of)).map(|(of, next)| (of.clone(), next)).collect();
    let mut letters = floor.clone();
    let is_committed = |path: &str| path.starts_with("silver/") || path.starts_with("_lakeward/state/");
    for (path, version) in tables.iter_mut().filter(|(path, _)| is_committed(path)) {
        let past = search.first(path, *version, &floor).await?;
        if target.iter().any(|(of, next)| past.offsets.get(of).is_some_and(|stood| stood > next)) {
            return Ok(None);
        }
        *version = past.version;
        if path.starts_with("_lakeward/state/") {
            for (of, next) in floor.iter() {
                let stood = past.offsets.get(of).max(letters.get(of)).unwrap_or(next);
                letters.set(of.clone(), stood);
            }
        }
    }
    let letters: Checkpoint = letters.iter().map(|(of, next)| (of.of_reader(&manifest.name), next)).collect();
    if let Some(version) = tables.get_mut(system::DEAD_LETTERS) {
        *version = search.first(system::DEAD_LETTERS, *version, &letters).await?.version;
    }
    Ok(Some(tables))
}

struct Search<'a> {
    config: &'a Config,
    lake: &'a Warehouse,
    /// Where this moves, the table was taken back: what comes then is not of the same past.
    marker: SourcePartition,
    /// What is to be known of every version.
    target: &'a Checkpoint,
}

impl Search<'_> {
    /// The first version of a table from `named` on that stands at `floor` or behind it in every partition; `named` itself where none does, as
    /// with a product that came later than the module.
    async fn first(&self, path: &str, named: u64, floor: &Checkpoint) -> Result<Past, Error> {
        let start = self.past(path, named, floor).await?;
        if reaches(&start, floor) {
            return Ok(start);
        }
        let newest = Snapshot::open(self.lake, &self.config.pipeline, path, None).await?;
        let newest = newest.map_or(named, |table| table.version());
        let was = start.offsets.get(&self.marker);
        // Offsets only grow, so `low` does not reach the floor and `high` does, or is past the end.
        let (mut low, mut step, mut high) = (named, 1, None);
        while high.is_none() && low < newest {
            let next = (low + step).min(newest);
            let past = self.past(path, next, floor).await?;
            match reaches(&past, floor) || past.offsets.get(&self.marker) != was {
                true => high = Some(past),
                false => (low, step) = (next, step * 2),
            }
        }
        let Some(mut high) = high else { return Ok(start) };
        while high.version > low + 1 {
            let middle = low + (high.version - low) / 2;
            let past = self.past(path, middle, floor).await?;
            match reaches(&past, floor) || past.offsets.get(&self.marker) != was {
                true => high = past,
                false => low = middle,
            }
        }
        Ok(if high.offsets.get(&self.marker) == was { high } else { start })
    }

    async fn past(&self, path: &str, version: u64, floor: &Checkpoint) -> Result<Past, Error> {
        let known = floor.iter().chain(self.target.iter()).map(|(of, _)| of.clone()).chain([self.marker.clone()]);
        Past::of(self.lake, &self.config.pipeline, path, version, &known.collect::<Vec<_>>()).await
    }
}

fn reaches(past: &Past, floor: &Checkpoint) -> bool {
    floor.iter().all(|(of, next)| past.offsets.get(of).is_some_and(|stood| stood >= next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Commit, Layout, OffsetMove, Table, TableSpec};
    use crate::transform::sample;
    use arrow_schema::{DataType, Field, Schema};

    const SILVER: &str = "silver/retail/sales";

    fn of(partition: i32) -> SourcePartition {
        SourcePartition::new("orders", 0, partition)
    }

    async fn table(lake: &Warehouse) -> Table {
        let layout = Layout::new(SILVER, &Schema::new(vec![Field::new("id", DataType::Int64, true)]), &[], &[]);
        let spec = TableSpec { schema: layout.table_schema(), ..TableSpec::unknown(SILVER) };
        Table::open(lake, "shop", spec).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_table_goes_back_to_where_it_had_all_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Warehouse::open(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let mut silver = table(&lake).await;
        let mut versions_at = Vec::new();
        for (partition, next) in [(0, 10), (1, 20), (0, 15), (1, 25)] {
            let from = silver.offsets().get(&of(partition));
            let offsets = vec![OffsetMove { partition: of(partition), from, next }];
            let commit = Commit { offsets, ..Commit::default() };
            versions_at.push(silver.commit(&commit, &uuid::Uuid::new_v4().to_string()).await.unwrap());
        }
        let text = "pipeline = 'shop'\n[lake]\nlocation = 'lake'\n[modules.retail]\npath = 'retail.wasm'\n";
        let config = Config::parse(text, folder.path(), &|_| None).unwrap();
        let manifest = sample::manifest();
        let check = async |named: u64, offsets: [i64; 2], read: &[i32], expected: Option<u64>| {
            let offsets = (0..).zip(offsets).map(|(partition, next)| (of(partition).to_string(), next)).collect();
            let tables = [(SILVER.to_owned(), named)].into();
            let had_read = read.iter().map(|partition| (of(*partition), 0)).collect();
            let found = versions(&config, &lake, &manifest, tables, &offsets, &had_read).await.unwrap();
            assert_eq!(found.map(|tables| tables[SILVER]), expected, "{named} {offsets:?}");
        };
        check(versions_at[1], [10, 20], &[0, 1], Some(versions_at[1])).await;
        // A partition that the module came to later is in no table.
        check(versions_at[0], [10, 0], &[0], Some(versions_at[0])).await;
        // What another instance had committed everywhere was not known to the one that wrote the row.
        check(versions_at[2], [15, 25], &[0, 1], Some(versions_at[3])).await;
        // Another instance had its rows in silver, and not yet in the commits table.
        check(versions_at[3], [15, 20], &[0, 1], None).await;
    }
}
