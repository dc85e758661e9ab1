//! What a rebuild of a module's products does: they are emptied, get the columns of the new module, and are made again of everything that can
//! be read. It is carried out like a rewind to before the first micro-batch: see `rewind.rs`.

use super::Error;
use super::commit::chain;
use super::history::{first_read, rows, since_rebuilt};
use super::incarnations::Incarnations;
use super::target::{gone, own_tables, reach, reads, starts, with_bronze};
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::release::Target;
use crate::serve::orders::Refusal;
use crate::sink::{Snapshot, Warehouse};
use lakeward_manifest::Manifest;

/// What a rebuild of `old` by `new` leads to, and what it does, a line each for a person. Refused where records that `old` has read cannot be
/// read again, unless `yes` says that what is left will do.
pub(super) async fn find(
    config: &Config,
    lake: &Warehouse,
    old: &Manifest,
    new: &Manifest,
    yes: bool,
) -> Result<(Target, Vec<String>), Refusal> {
    let failed = |error: crate::sink::Error| Refusal::Unavailable(chain(&Error::from(error)));
    let rows = rows(config, lake).await.map_err(failed)?;
    let mut first = first_read(since_rebuilt(&rows, &old.name), &old.name);
    // Where it was rebuilt and has read nothing since, the rebuild did not do what it was to.
    let ever = first_read(&rows, &old.name);
    let unavailable = |error: Error| Refusal::Unavailable(chain(&error));
    let incarnations = Incarnations::find(config, lake, &rows, new, &own_tables(old)).await.map_err(unavailable)?;
    for (of, from) in ever.iter().filter(|(of, _)| reads(new, of) && !incarnations.is_gone(of)) {
        first.entry(of.clone()).or_insert(*from);
    }
    let logs = tokio::task::block_in_place(|| starts(config, new)).map_err(unavailable)?;
    let there: Vec<SourcePartition> = first.keys().filter(|of| !incarnations.is_gone(of)).cloned().collect();
    let starts = with_bronze(config, lake, &there, &logs).await.map_err(failed)?;
    let mut lines = tables(config, lake, old, new).await.map_err(failed)?;
    let mut target = Target { rebuild: true, takes_what_is_left: yes, ..Target::default() };
    for (of, first_read) in &first {
        let is_gone = incarnations.is_gone(of);
        let start = starts.get(&(of.topic.to_string(), of.partition)).copied().filter(|_| !is_gone);
        let cut = gone(&starts, of, *first_read);
        target.offsets.insert(of.to_string(), start.unwrap_or(*first_read));
        let what = match (is_gone, cut) {
            _ if !reads(new, of) => {
                lines.push(format!("{of} is read no more"));
                continue;
            }
            (true, _) => "its topic was made anew since".to_owned(),
            (false, Some(start)) => reach(&logs, of, start),
            (false, None) => {
                lines.push(format!("{of} is read again from offset {}", start.unwrap_or(*first_read)));
                continue;
            }
        };
        if !yes {
            return Err(Refusal::Conflict(format!(
                "{of} was read from offset {first_read} on, but {what}: the records between are gone, and their rows would be too; \
                 `--yes` (in HTTP `yes=true`) makes the products anew of what is left"
            )));
        }
        if !is_gone {
            target.lost.insert(of.to_string(), *first_read);
        }
        lines.push(format!(
            "{of} was read from offset {first_read} on, but {what}: the rows of the records between go for good"
        ));
    }
    Ok((target, lines))
}

/// What becomes of the tables.
async fn tables(
    config: &Config,
    lake: &Warehouse,
    old: &Manifest,
    new: &Manifest,
) -> Result<Vec<String>, crate::sink::Error> {
    let (was, is) = (own_tables(old), own_tables(new));
    let mut lines = Vec::new();
    for path in &is {
        let rows = Snapshot::open(lake, &config.pipeline, path, None).await?;
        let rows = rows.map(|table| table.parts().iter().map(|part| part.rows).sum::<u64>());
        lines.push(match rows {
            Some(rows) => format!("{path} is emptied of its {rows} rows, and made anew"),
            None => format!("{path} is new"),
        });
    }
    let stays = was.iter().filter(|path| !is.contains(path));
    lines.extend(stays.map(|path| format!("{path} stays as it is, without new rows")));
    Ok(lines)
}
