//! To which versions the tables of a module go back. A row of the commits table names what the instance that wrote it knew of: of the
//! partitions of another instance, a table may have lacked then what that one had already committed everywhere. A table goes back to the
//! first version from there on that has all of it. Where one is ahead, that one was in the midst of a micro-batch, and there is no version.

use super::rewind::marker;
use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::sink::{Error, Past, Snapshot, Warehouse, system};
use lakeward_manifest::Manifest;
use std::collections::BTreeMap;

/// The versions of these `tables` with everything before the `offsets`; `None` where silver or state has more than that. Letters of late rows are there before the state says that their
/// records are done, so the dead letters reach as far as any state.
pub(super) async fn versions(
    config: &Config,
    lake: &Warehouse,
    manifest: &Manifest,
    mut tables: BTreeMap<String, u64>,
    offsets: &BTreeMap<String, i64>,
) -> Result<Option<BTreeMap<String, u64>>, Error> {
    let search = Search { config, lake, marker: marker(&manifest.name) };
    let parsed = offsets.iter().filter_map(|(of, next)| Some((SourcePartition::parse(of)?, *next)));
    let target: Checkpoint = parsed.collect();
    let mut letters = target.clone();
    let is_committed = |path: &str| path.starts_with("silver/") || path.starts_with("_lakeward/state/");
    for (path, version) in tables.iter_mut().filter(|(path, _)| is_committed(path)) {
        let past = search.first(path, *version, &target).await?;
        if target.iter().any(|(of, next)| past.offsets.get(of).is_some_and(|stood| stood > next)) {
            return Ok(None);
        }
        *version = past.version;
        if path.starts_with("_lakeward/state/") {
            for (of, next) in target.iter() {
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
        let known = floor.iter().map(|(of, _)| of.clone()).chain([self.marker.clone()]);
        Past::of(self.lake, &self.config.pipeline, path, version, &known.collect::<Vec<_>>()).await
    }
}

fn reaches(past: &Past, floor: &Checkpoint) -> bool {
    floor.iter().all(|(of, next)| past.offsets.get(of).is_some_and(|stood| stood >= next))
}
