//! Publishes gold tables from committed state: the calendar parts that changed are overwritten, at a pace of their own.

use super::Error;
use super::commit::{Tables, chain, commit_one};
use super::others::Others;
use super::plan::Plan;
use super::redrives::sequences_of;
use crate::aggregate::View;
use crate::checkpoint::SourcePartition;
use crate::sink::{Commit, FileWriter, OffsetMove, date_text};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The gold products of a pipeline on their way to their tables.
#[derive(Debug)]
pub(super) struct Publisher {
    /// By gold product: parts whose committed rows are newer than the table.
    pending: Vec<BTreeSet<i32>>,
}

/// What the tables are brought to.
pub(super) struct Target<'a> {
    pub(super) plan: &'a Plan,
    pub(super) views: &'a [Arc<View>],
    pub(super) micro_batch: i64,
    pub(super) at_ms: i64,
    /// Every owned partition, the index of its topic, and its committed next offset.
    pub(super) positions: &'a [(SourcePartition, usize, i64)],
    /// The partitions of other instances, which the views have as far as the state tables say.
    pub(super) others: &'a Others,
    /// By topic: whether its gold tables are this instance's to publish.
    pub(super) leads: &'a [bool],
}

impl Publisher {
    /// After a start: a table that stands where its state stands has everything, another is written anew.
    pub(super) fn new(plan: &Plan, views: &[Arc<View>], tables: &Tables) -> Self {
        let pending = plan.golds.iter().zip(views).map(|(gold, view)| {
            let parts: BTreeSet<i32> = view.take_touched().into_iter().collect();
            let (state, table) = (&tables.tables[gold.state_table], &tables.tables[gold.gold_table]);
            let is_current =
                state.offsets().iter().all(|(partition, next)| table.offsets().get(partition) == Some(next));
            if is_current {
                let version = i64::try_from(table.version()).unwrap_or(i64::MAX);
                view.set_table(version, table.micro_batch());
                return BTreeSet::new();
            }
            parts
        });
        Self { pending: pending.collect() }
    }

    /// Brings every gold table to the committed state.
    pub(super) async fn publish(&mut self, tables: &mut Tables, target: &Target<'_>) -> Result<(), Error> {
        for (index, gold) in target.plan.golds.iter().enumerate() {
            self.pending[index].extend(target.views[index].take_touched());
            if self.pending[index].is_empty() || !target.leads[gold.topic] {
                continue;
            }
            crate::fault::point("gold.before");
            let commit = self.prepare(index, tables, target)?;
            let table = &mut tables.tables[gold.gold_table];
            for file in &commit.add {
                super::commit::persist("writing a gold file", || table.write_file(file)).await?;
            }
            commit_one(table, commit).await.inspect_err(|error| {
                tracing::warn!(table = table_path(target.plan, index), error = %chain(error), "gold was not published");
            })?;
            crate::fault::point("gold.after");
            self.pending[index].clear();
            let version = i64::try_from(table.version()).unwrap_or(i64::MAX);
            target.views[index].set_table(version, table.micro_batch());
        }
        Ok(())
    }

    fn prepare(&self, index: usize, tables: &Tables, target: &Target<'_>) -> Result<Commit, Error> {
        let gold = &target.plan.golds[index];
        let (table, state) = (&tables.tables[gold.gold_table], tables.tables[gold.state_table].offsets());
        let mut writer = FileWriter::new(Arc::clone(&target.plan.tables[gold.gold_table].layout));
        let mut replaced = BTreeSet::new();
        // A table without partitions is written whole.
        let parts: Vec<i32> = match gold.part_column {
            Some(_) => self.pending[index].iter().copied().collect(),
            None => target.views[index].all_parts(),
        };
        for part in parts {
            writer.write(target.views[index].gold_rows(part).columns().to_vec())?;
            replaced.insert(date_text(part));
        }
        let is_replaced = |values: &std::collections::HashMap<String, Option<String>>| match &gold.part_column {
            Some(column) => values.get(column).and_then(Option::as_ref).is_some_and(|value| replaced.contains(value)),
            None => true,
        };
        let remove = table.files().iter().filter(|(_, file)| is_replaced(&file.partition_values));
        let remove = remove.map(|(path, _)| path.clone()).collect();
        let fed_by = |(_, topic, _): &&(SourcePartition, usize, i64)| *topic == gold.topic;
        let own = target.positions.iter().filter(fed_by).map(|(partition, _, next)| (partition, *next));
        let of_others = target.others.slots.iter().filter(|slot| slot.topic == gold.topic).map(|slot| &slot.partition);
        let asked = sequences_of(target.plan, gold.topic, &tables.tables[gold.state_table]);
        // What is written is the state, and after a crash between the two that is ahead of the micro-batch.
        let step = |(partition, next): (&SourcePartition, i64)| OffsetMove {
            partition: partition.clone(),
            from: table.offsets().get(partition),
            next: state.get(partition).unwrap_or(next),
        };
        let of_others = of_others.filter_map(|of| Some((of, state.get(of)?)));
        let offsets: Vec<_> = own.chain(of_others).chain(asked).map(step).collect();
        Ok(Commit {
            add: writer.finish()?,
            remove,
            topic_ids: tables.topics.of(&offsets),
            offsets,
            unmoved: tables.not_rewound(gold.gold_table),
            micro_batch: target.micro_batch,
            at_ms: target.at_ms,
            // What is closed by now is in the table for good: see `Committer::forget`.
            closed: tables.tables[gold.state_table].closed(),
            ..Commit::default()
        })
    }
}

fn table_path(plan: &Plan, gold: usize) -> &str {
    plan.golds[gold].plan.path()
}
