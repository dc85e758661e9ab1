//! Opens the tables, and finds where each partition stands and what is to be read from where.

use super::Error;
use super::begin::begin;
use super::bronze;
use super::commit::commit_one;
use super::floors::{Floors, at_fault, floors, own_floors, own_only};
use super::lane::Lane;
use super::others::Others;
use super::plan::{COMMITS, DEAD_LETTERS, Plan, TableKind};
use super::redrives::Redrives;
use super::releases::Release;
use super::topics::Topics;
use super::torn::{self, Begun};
use crate::checkpoint::SourcePartition;
use crate::config::Config;
use crate::sink::{Commit, OffsetMove, Table, Warehouse};
use crate::source::{self, Assigned, Backed, Files, Kafka, Lease, LogRange, Past, Reader, Settings};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the broker may take to say which topics it has.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// A source with the partitions that it reads.
pub(super) struct Source {
    pub(super) reader: Box<dyn Reader>,
    pub(super) assigned: Vec<Assigned>,
    /// The pipeline's slot of each assigned partition.
    pub(super) slots: Vec<usize>,
}

/// A partition with what its log holds.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) topic: usize,
    pub(super) partition: SourcePartition,
    pub(super) log: LogRange,
    /// Whether the topic gained it while this process ran.
    pub(super) is_gained: bool,
}

/// By topic, how many partitions it had when the process first saw it.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<Arc<str>, usize>>);

impl Seen {
    /// The number of partitions when the topic was first seen, which is `now` if it was not.
    fn at_first(&self, topic: &Arc<str>, now: usize) -> usize {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(Arc::clone(topic)).or_insert(now)
    }
}

/// Topic, partition and offset that a log did not hold when it was read: see `source::Error::OutOfRange`.
pub(super) type Gone = (String, i32, i64);

/// A partition that cannot be read, and why.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) slot: Slot,
    pub(super) error: Error,
    /// The modules that it is for, where others could go on.
    pub(super) at_fault: Vec<String>,
}

impl Stuck {
    /// Topic, partition and offset, where the log does not reach that.
    pub(super) fn outside(&self) -> Option<(String, i32, i64)> {
        match &self.error {
            Error::OutOfLog { topic, partition, stored, start, end, .. } if !(start..=end).contains(&stored) => {
                Some((topic.clone(), *partition, *stored))
            }
            _ => None,
        }
    }
}

/// Where everything stands before the aggregate state is restored.
pub(super) struct Opened {
    pub(super) tables: Vec<Table>,
    pub(super) found: Found,
    pub(super) topics: Topics,
    /// Partitions that cannot be read from where the tables stand.
    pub(super) stuck: Vec<Stuck>,
    /// By slot of `found`.
    pub(super) lanes: Vec<Lane>,
    /// What is not wholly committed, whatever digest has begun it.
    pub(super) begun: Vec<Begun>,
    /// The partitions that belong to other instances.
    pub(super) others: Others,
    pub(super) redrives: Redrives,
}

/// Opens the tables, which says whether the products still fit them before anybody else is asked anything.
pub(super) async fn open_tables(config: &Config, plan: &Plan, lake: &Warehouse) -> Result<Vec<Table>, Error> {
    let opening = plan.tables.iter().map(|table| Table::open(lake, &config.pipeline, table.spec.clone()));
    // All are waited for, also when one fails: what is still reading a log must not be cut off by the end of the process.
    let opened = futures::future::join_all(opening).await;
    let tables: Vec<Table> = opened.into_iter().collect::<Result<_, _>>()?;
    for (table, of) in tables.iter().zip(&plan.tables) {
        // Pipelines with other modules may share a lake, and tell of themselves in the same tables.
        if !matches!(of.kind, TableKind::DeadLetters | TableKind::Commits) {
            table.check_alone()?;
        }
    }
    Ok(tables)
}

/// Finds where everything stands; an error's remedy says whether trying again may help. Of what was `found`, the partitions that `lease`
/// holds are read; all where there is none.
pub(super) async fn open(
    config: &Config,
    release: &Release,
    lake: &Warehouse,
    mut tables: Vec<Table>,
    mut found: Found,
    lease: Option<&Lease>,
    gone: &[Gone],
) -> Result<Opened, Error> {
    let plan = &*release.plan;
    // What others committed while the partitions were waited for: whoever had them may have written until then.
    for table in &mut tables {
        table.catch_up(None).await?;
    }
    found.set_incarnations(&tables);
    found.look_again(config, &tables)?;
    let mut partitions: Vec<SourcePartition> = found.slots.iter().map(|slot| slot.partition.clone()).collect();
    let readers: Vec<SourcePartition> = found.slots.iter().flat_map(|slot| release.progress_of(slot)).collect();
    partitions.extend(readers);
    let of_others = found.split(lease);
    let others = Others::new(plan, &found.slots, of_others, config.gold.idle_after);
    let mut redrives = Redrives::open(config, lake, plan.catches_up).await?;
    for (table, of) in tables.iter_mut().zip(&plan.tables) {
        let asked = redrives.known(of.topic.map(|topic| &*plan.topics[topic].name));
        let known = match of.kind {
            TableKind::Bronze => bronze::named(&found.slots),
            _ => [&partitions[..], &asked].concat(),
        };
        table.find_offsets(lake, &known).await?;
    }
    let whole = bronze::whole(config, lake, plan, &tables, &found.slots).await?;
    let topics = std::mem::take(&mut found.topics);
    let (mut stuck, found_floors) = found.take_stuck(|slot| {
        topics.check(&tables, slot)?;
        floors(config, release, &tables, &whole, slot, gone)
    });
    for of in stuck.iter_mut().filter(|of| matches!(of.error, Error::OutOfLog { .. })) {
        of.at_fault = at_fault(release, &tables, &whole, &of.slot);
    }
    let mut lanes = Vec::with_capacity(found.slots.len());
    for ((index, slot), Floors { floors, from_beginning }) in found.slots.iter().enumerate().zip(found_floors) {
        let own = own_floors(plan, &tables, slot.topic, &slot.partition, &floors);
        let floors = if plan.catches_up { own_only(floors, &own) } else { floors };
        let mut lane = Lane::new(plan, index, slot.topic, slot.partition.clone(), floors, own);
        lane.from_beginning = from_beginning;
        lane.redrive = redrives.add(slot, &tables);
        lanes.push(lane);
    }
    note_progress(plan, &mut tables, &mut lanes, &topics).await?;
    bronze::note_starts(plan, &mut tables, &lanes, &topics).await?;
    torn::recall(plan, &mut tables, &lanes).await?;
    let begun = torn::find(plan, &tables, &lanes);
    Ok(Opened { tables, found, topics, stuck, lanes, begun, others, redrives })
}

/// The topics' partitions, and what will read them. Kafka is read by a client of its own: on the connections of one that reads, a question
/// waits until the broker has records, or thinks that it has waited long enough for some.
pub(super) struct Found {
    pub(super) slots: Vec<Slot>,
    topics: Topics,
    files: Vec<(usize, Files)>,
}

/// Asks the brokers, and looks for the files.
pub(super) fn discover(config: &Config, plan: &Plan, seen: &Seen) -> Result<Found, Error> {
    let mut found = Found { slots: Vec::new(), topics: Topics::default(), files: Vec::new() };
    let (mut client, mut of_kafka) = (None, Vec::new());
    for (index, topic) in plan.topics.iter().enumerate() {
        let settings = config.topics.get(&*topic.name);
        let incarnation = settings.map_or(0, |topic| topic.incarnation);
        let slot = |partition: i32, log: LogRange, is_gained: bool| Slot {
            topic: index,
            partition: SourcePartition::new(Arc::clone(&topic.name), incarnation, partition),
            log,
            is_gained,
        };
        if let Some(path) = settings.and_then(|topic| topic.path.as_ref()) {
            let files = Files::new(path)?;
            found.slots.push(slot(0, files.log_range()?, false));
            found.files.push((found.slots.len() - 1, files));
            continue;
        }
        let kafka = match &client {
            Some(kafka) => kafka,
            None => client.insert(connect(config, &topic.name)?),
        };
        let partitions = kafka.partitions(&topic.name)?;
        let at_first = seen.at_first(&topic.name, partitions.len());
        for (nth, partition) in partitions.into_iter().enumerate() {
            let log = kafka.log_range(&topic.name, partition)?;
            found.slots.push(slot(partition, log, nth >= at_first));
        }
        of_kafka.push(&*topic.name);
    }
    if let Some(kafka) = &client {
        let broker = kafka.topic_ids();
        found.topics = Topics::new(broker.ask(&of_kafka, ANSWER)?, Some(broker));
    }
    Ok(found)
}

/// A client for the configured brokers.
pub(super) fn connect(config: &Config, topic: &str) -> Result<Kafka, Error> {
    let settings = settings(config).ok_or_else(|| Error::NoBrokers { topic: topic.to_owned() })?;
    Kafka::new(&settings).map_err(|source| match &source {
        source::Error::Property { property, .. } => match config.kafka.properties.line(property) {
            Some(line) => Error::Property { line, source },
            None => source.into(),
        },
        _ => source.into(),
    })
}

/// What a partition's log holds now.
pub(super) fn log_range(config: &Config, topic: &str, partition: i32) -> Result<LogRange, Error> {
    match config.topics.get(topic).and_then(|topic| topic.path.as_ref()) {
        Some(path) => Ok(Files::new(path)?.log_range()?),
        None => Ok(connect(config, topic)?.log_range(topic, partition)?),
    }
}

/// How a client is set up; `None` without brokers.
pub(super) fn settings(config: &Config) -> Option<Settings> {
    let kafka = &config.kafka;
    let properties = kafka.properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Some(Settings { brokers: kafka.brokers.clone()?, group: kafka.group.clone(), properties })
}

impl Found {
    /// Takes the newest incarnation that the configuration or a table names: `lakeward offsets move --new-incarnation` raises it in the
    /// tables.
    fn set_incarnations(&mut self, tables: &[Table]) {
        for slot in &mut self.slots {
            let stored = tables.iter().flat_map(|table| table.offsets().iter()).map(|(partition, _)| partition);
            let of_topic = stored.filter(|partition| partition.topic == slot.partition.topic);
            let newest = of_topic.map(|partition| partition.incarnation).max().unwrap_or(0);
            slot.partition.incarnation = slot.partition.incarnation.max(newest);
        }
    }

    /// Asks again where a log ends, if tables are ahead of that: while the partitions were waited for, others have read on.
    fn look_again(&mut self, config: &Config, tables: &[Table]) -> Result<(), Error> {
        let mut newest: BTreeMap<SourcePartition, i64> = BTreeMap::new();
        for (of, next) in tables.iter().flat_map(|table| table.offsets().iter()) {
            newest.entry(of.of_all()).and_modify(|newest| *newest = next.max(*newest)).or_insert(next);
        }
        let is_ahead = |slot: &&mut Slot| newest.get(&slot.partition).is_some_and(|next| *next > slot.log.end);
        for slot in self.slots.iter_mut().filter(is_ahead) {
            let (topic, partition) = (slot.partition.topic.to_string(), slot.partition.partition);
            slot.log = tokio::task::block_in_place(|| log_range(config, &topic, partition))?;
        }
        Ok(())
    }

    /// All partitions, of the incarnation that these tables know.
    pub(super) fn into_slots(mut self, tables: &[Table]) -> Vec<Slot> {
        self.set_incarnations(tables);
        self.slots
    }

    /// Takes out the partitions that the lease does not hold. Files have one reader, which holds them without a lease.
    fn split(&mut self, lease: Option<&Lease>) -> Vec<Slot> {
        let Some(lease) = lease else { return Vec::new() };
        let mut files: Vec<SourcePartition> =
            self.files.iter().map(|(slot, _)| self.slots[*slot].partition.clone()).collect();
        let is_own = |slot: &Slot| {
            files.contains(&slot.partition) || lease.holds(&slot.partition.topic, slot.partition.partition)
        };
        let (own, others): (Vec<Slot>, Vec<Slot>) = self.slots.drain(..).partition(is_own);
        self.slots = own;
        for (slot, _) in &mut self.files {
            let of = files.remove(0);
            *slot = self.slots.iter().position(|slot| slot.partition == of).unwrap_or(0);
        }
        others
    }

    /// Takes out the partitions that cannot be read on; of the others, what `floors` says.
    fn take_stuck(&mut self, floors: impl Fn(&Slot) -> Result<Floors, Error>) -> (Vec<Stuck>, Vec<Floors>) {
        let (mut stuck, mut found, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for (index, slot) in self.slots.drain(..).enumerate() {
            match floors(&slot) {
                Ok(floors) => {
                    self.files.iter_mut().filter(|(of, _)| *of == index).for_each(|(of, _)| *of = slots.len());
                    found.push(floors);
                    slots.push(slot);
                }
                Err(error) => {
                    self.files.retain(|(of, _)| *of != index);
                    stuck.push(Stuck { slot, error, at_fault: Vec::new() });
                }
            }
        }
        self.slots = slots;
        (stuck, found)
    }

    /// Makes the clients that read, and gives each its partitions at the lanes' offsets, but for those that are held; those that have a past,
    /// by slot, are read from that first.
    pub(super) fn assign(
        &mut self,
        config: &Config,
        plan: &Plan,
        lanes: &[Lane],
        mut pasts: Vec<Option<Past>>,
    ) -> Result<Vec<Source>, Error> {
        let assigned = |lane: &Lane| Assigned {
            topic: Arc::clone(&lane.partition.topic),
            partition: lane.partition.partition,
            start: lane.next,
            with_headers: plan.topics[lane.topic].is_kept,
            from_beginning: lane.from_beginning,
        };
        let mut sources = Vec::new();
        let mut of_files = Vec::new();
        for (slot, mut files) in self.files.drain(..) {
            of_files.push(slot);
            if lanes[slot].is_held {
                continue;
            }
            let assigned = assigned(&lanes[slot]);
            files.assign(&assigned);
            sources.push(Source { reader: Box::new(files), assigned: vec![assigned], slots: vec![slot] });
        }
        let is_of_kafka = |slot: &usize| !of_files.contains(slot) && !lanes[*slot].is_held;
        let slots: Vec<usize> = (0..self.slots.len()).filter(is_of_kafka).collect();
        let assigned: Vec<Assigned> = slots.iter().map(|slot| assigned(&lanes[*slot])).collect();
        if let Some(first) = assigned.first() {
            let mut kafka = connect(config, &first.topic)?;
            let pasts: Vec<Option<Past>> = slots.iter().map(|slot| pasts[*slot].take()).collect();
            let reader: Box<dyn Reader> = if pasts.iter().any(Option::is_some) {
                Box::new(Backed::new(kafka, &assigned, pasts)?)
            } else {
                kafka.assign(&assigned)?;
                Box::new(kafka)
            };
            sources.push(Source { reader, assigned, slots });
        }
        Ok(sources)
    }
}

/// Writes down where each module stands in the tables that all modules feed, before it may stand apart from the others there. Every commit
/// names it from then on, so one that knows nothing of a rewind is refused.
async fn note_progress(plan: &Plan, tables: &mut [Table], lanes: &mut [Lane], topics: &Topics) -> Result<(), Error> {
    for table in [DEAD_LETTERS, COMMITS] {
        let mut moves = Vec::new();
        for lane in &*lanes {
            for name in plan.readers(lane.topic) {
                let partition = lane.partition.of_reader(name);
                if tables[table].offsets().get(&partition).is_none() {
                    let begin = begin(plan, tables, name, &lane.partition, &lane.floors);
                    moves.push(OffsetMove { partition, from: None, next: begin.unwrap_or(lane.floors[table]) });
                }
            }
        }
        if !moves.is_empty() {
            let micro_batch = tables[table].micro_batch();
            let commit = Commit { topic_ids: topics.of(&moves), offsets: moves, micro_batch, ..Commit::default() };
            commit_one(&mut tables[table], commit).await?;
        }
    }
    for lane in lanes {
        lane.own_floors = own_floors(plan, tables, lane.topic, &lane.partition, &lane.floors);
    }
    Ok(())
}
