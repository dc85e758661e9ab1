//! How far a table has got: the next offset of every partition, advanced only by checked steps.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A topic-partition of one incarnation of a topic; or, in tables that several modules feed, the progress of one module in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourcePartition {
    /// The topic.
    pub topic: Arc<str>,
    /// How often the topic was recreated under its name; 0 for the first.
    pub incarnation: u32,
    /// The partition.
    pub partition: i32,
    /// The module whose progress it is, where that differs, or once did, from the progress of the others that read the topic.
    pub reader: Option<Arc<str>>,
}

impl SourcePartition {
    /// A partition, whoever reads it.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, incarnation: u32, partition: i32) -> Self {
        Self { topic: topic.into(), incarnation, partition, reader: None }
    }

    /// The progress of one module in the partition.
    #[must_use]
    pub fn of_reader(&self, module: &str) -> Self {
        Self { reader: Some(module.into()), ..self.clone() }
    }

    /// The partition itself.
    #[must_use]
    pub fn of_all(&self) -> Self {
        Self { reader: None, ..self.clone() }
    }

    /// The Delta `txn` application id under which a table of `pipeline` stores this partition's next offset.
    #[must_use]
    pub fn app_id(&self, pipeline: &str) -> String {
        format!("lakeward/{pipeline}/{self}")
    }

    /// The topic with its incarnation, `orders#0`.
    #[must_use]
    pub fn of_topic(&self) -> String {
        format!("{}#{}", self.topic, self.incarnation)
    }

    /// Reads an id that [`Self::app_id`] wrote for `pipeline`; `None` for any other.
    #[must_use]
    pub fn from_app_id(pipeline: &str, app_id: &str) -> Option<Self> {
        Self::parse(app_id.strip_prefix("lakeward/")?.strip_prefix(pipeline)?.strip_prefix('/')?)
    }

    /// Reads what [`fmt::Display`] writes, `orders#0/3` or `orders#0/3@retail`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic_incarnation, partition) = text.rsplit_once('/')?;
        let (topic, incarnation) = topic_incarnation.rsplit_once('#')?;
        let (partition, reader) = match partition.split_once('@') {
            Some((partition, reader)) => (partition, Some(reader.into())),
            None => (partition, None),
        };
        let (incarnation, partition) = (incarnation.parse().ok()?, partition.parse().ok()?);
        Some(Self { topic: topic.into(), incarnation, partition, reader })
    }
}

impl fmt::Display for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}/{}", self.topic, self.incarnation, self.partition)?;
        self.reader.as_ref().map_or(Ok(()), |reader| write!(f, "@{reader}"))
    }
}

/// The next offset to read, per partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint(BTreeMap<SourcePartition, i64>);

impl Checkpoint {
    /// The next offset of `partition`; `None` if it has none yet.
    #[must_use]
    pub fn get(&self, partition: &SourcePartition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Sets the next offset of `partition` to what a table says.
    pub fn set(&mut self, partition: SourcePartition, next: i64) {
        self.0.insert(partition, next);
    }

    /// The partitions with their next offsets, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&SourcePartition, i64)> {
        self.0.iter().map(|(partition, next)| (partition, *next))
    }

    /// Whether no partition is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the smaller offset of each partition; a partition that only one side knows keeps its offset.
    pub fn lower_to(&mut self, other: &Self) {
        for (partition, next) in other.iter() {
            self.0.entry(partition.clone()).and_modify(|own| *own = (*own).min(next)).or_insert(next);
        }
    }
}

impl FromIterator<(SourcePartition, i64)> for Checkpoint {
    fn from_iter<I: IntoIterator<Item = (SourcePartition, i64)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(partition: i32) -> SourcePartition {
        SourcePartition::new("orders", 0, partition)
    }

    #[test]
    fn an_app_id_reads_back() {
        let partition = SourcePartition::new("a/b#c", 3, 7);
        let id = partition.app_id("shop");
        assert_eq!(id, "lakeward/shop/a/b#c#3/7");
        assert_eq!(partition.of_topic(), "a/b#c#3");
        assert_eq!(SourcePartition::from_app_id("shop", &id), Some(partition.clone()));
        let own = partition.of_reader("retail");
        assert_eq!(own.to_string(), "a/b#c#3/7@retail");
        assert_eq!(SourcePartition::parse(&own.to_string()), Some(own.clone()));
        assert_eq!(own.of_all(), partition);
        assert_eq!(SourcePartition::from_app_id("shop2", &id), None);
        assert_eq!(SourcePartition::from_app_id("shop", "lakeward/shop/orders"), None);
    }

    #[test]
    fn the_lower_of_two_checkpoints_is_where_reading_starts() {
        let mut lower: Checkpoint = [(orders(0), 5), (orders(1), 9)].into_iter().collect();
        lower.lower_to(&[(orders(0), 7), (orders(1), 2), (orders(2), 4)].into_iter().collect());
        assert_eq!(lower, [(orders(0), 5), (orders(1), 2), (orders(2), 4)].into_iter().collect());
    }
}
