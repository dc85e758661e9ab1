//! Whether somebody else writes for the partitions that this instance reads: an owner who woke up late finds out here, or at its next commit.

use super::Error;
use super::committer::Committer;
use super::plan::TableKind;
use super::session::Slot;
use crate::checkpoint::SourcePartition;
use crate::sink::{self, Table};

impl Committer {
    /// Where the state tables stand in the partitions that this instance reads, and in the redrives of these.
    pub(super) fn own_states(&self) -> Vec<(usize, SourcePartition, Option<i64>)> {
        let mut states = Vec::new();
        for gold in &self.plan.golds {
            let table = &self.tables.tables[gold.state_table];
            for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.topic == gold.topic) {
                let own = [&slot.partition, self.redrives.partition(index)];
                states.extend(own.map(|of| (gold.state_table, of.clone(), table.offsets().get(of))));
            }
        }
        states
    }

    /// Whether nobody else has moved them since. Whoever has believes to own them too, and is ahead: what is in our memory of these
    /// partitions is older than the table, and no gold may be made of both.
    pub(super) fn same_states(&self, stood: &[(usize, SourcePartition, Option<i64>)]) -> Result<(), Error> {
        for (table, partition, stood) in stood {
            let table = &self.tables.tables[*table];
            if table.offsets().get(partition) != *stood {
                return Err(moved(table, partition, *stood));
            }
        }
        Ok(())
    }

    /// Looks whether somebody moved a product's offsets, or the topic to a new incarnation, while there was nothing to commit: a commit would
    /// find out by itself. Of a partition that cannot be read nothing is ever committed; to move it is the way out.
    pub(super) async fn look_for_moves(&mut self) -> Result<(), Error> {
        for (index, table) in self.plan.tables.iter().enumerate().filter(|(_, table)| table.kind == TableKind::Silver) {
            let of_topic = |slot: &&Slot| table.topic.is_none_or(|topic| topic == slot.topic);
            let slots = self.slots.iter().enumerate().filter(|(_, slot)| of_topic(slot));
            let own = slots.flat_map(|(index, slot)| [&slot.partition, self.redrives.partition(index)]);
            let stopped = self.stopped.iter().map(|(partition, _)| partition);
            let is_fed_by =
                |of: &&SourcePartition| table.topic.is_none_or(|topic| self.plan.topics[topic].name == of.topic);
            let own: Vec<&SourcePartition> = own.chain(stopped.filter(is_fed_by)).collect();
            let table = &mut self.tables.tables[index];
            let before: Vec<Option<i64>> = own.iter().map(|of| table.offsets().get(of)).collect();
            table.catch_up(None).await?;
            for (partition, before) in own.into_iter().zip(before) {
                if table.offsets().get(partition) != before {
                    return Err(moved(table, partition, before));
                }
                let of_topic = table.offsets().iter().filter(|(of, _)| of.topic == partition.topic);
                let newest = of_topic.map(|(of, _)| of.incarnation).max().unwrap_or(0);
                if newest > partition.incarnation {
                    let (table, partition) = (table.path().to_owned(), partition.clone());
                    return Err(Error::Sink(sink::Error::Incarnation { table, partition, newest }));
                }
            }
        }
        Ok(())
    }
}

/// Somebody else has moved a table on in a partition.
pub(super) fn moved(table: &Table, partition: &SourcePartition, stood: Option<i64>) -> Error {
    Error::Sink(sink::Error::Moved {
        table: table.path().to_owned(),
        partition: partition.clone(),
        expected: stood,
        found: table.offsets().get(partition),
    })
}
