//! The merged answers over all Kafka partitions, in two views: live, and as of the last micro-batch.

use super::changes::Changes;
use super::column::Value;
use super::partial::Partial;
use super::plan::Plan;
use super::query::{self, Answer, AsOf, Hit, Query};
use super::{QueryError, window};
use arrow_array::RecordBatch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The merged answers of one gold product. Workers apply what changed; anyone asks.
///
/// A lock is held only while maps are changed or hits are picked; sorting and building columns happen outside.
#[derive(Debug)]
pub struct View {
    plan: Arc<Plan>,
    live: RwLock<Side>,
    committed: RwLock<Side>,
    marks: RwLock<Marks>,
}

/// One of the two views.
#[derive(Debug)]
pub(super) struct Side {
    /// Groups by window start and encoded key, so in the order of gold rows.
    pub(super) windows: BTreeMap<i64, BTreeMap<Arc<[u8]>, Group>>,
    offsets: BTreeMap<i32, i64>,
    micro_batch: i64,
    /// How often groups changed while the offset of their partition stayed.
    restated: u64,
}

/// The partials of a group from every Kafka partition that has it.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In partition order: floats are added in it.
    partials: Vec<(i32, Arc<[Partial]>)>,
    /// The measures' results, once somebody asked.
    results: OnceLock<Arc<[Value]>>,
}

/// What is known besides the groups.
#[derive(Debug, Clone)]
struct Marks {
    horizon_ms: i64,
    /// The gold table's newest version and the micro-batch that it holds.
    table: Option<(i64, i64)>,
    touched: BTreeSet<i32>,
    elsewhere: BTreeMap<i32, i64>,
    /// Windows that start before this were let go of.
    kept_from_us: i64,
}

impl View {
    /// A view without rows.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let marks = Marks {
            horizon_ms: i64::MIN,
            table: None,
            touched: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            kept_from_us: i64::MIN,
        };
        Self { plan, live: RwLock::default(), committed: RwLock::default(), marks: RwLock::new(marks) }
    }

    /// The gold product.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes what changed in a partition into the live view.
    pub fn apply_live(&self, changes: &Changes) {
        write(&self.live).apply(changes);
    }

    /// Takes what a micro-batch committed into the committed view.
    pub fn apply_committed(&self, micro_batch: i64, changes: &[Changes]) {
        let by = self.plan.gold().partition_by;
        let mut committed = write(&self.committed);
        changes.iter().for_each(|changes| committed.apply(changes));
        // Several instances number their own micro-batches: the newest number stands for all.
        let newest = committed.micro_batch.max(micro_batch);
        committed.micro_batch = newest;
        drop(committed);
        write(&self.live).micro_batch = newest;
        let starts: BTreeSet<_> =
            changes.iter().flat_map(|changes| &changes.groups).map(|group| group.start_us).collect();
        let mut marks = write(&self.marks);
        // A part that was let go of must never be published again: its table would be overwritten by what little is here.
        let kept = starts.range(marks.kept_from_us..).map(|start_us| window::part(*start_us, by)).collect::<Vec<_>>();
        marks.touched.extend(kept);
    }

    /// Says that everything before this event time is closed; an earlier time than the last changes nothing.
    pub fn set_horizon_ms(&self, horizon_ms: i64) {
        let mut marks = write(&self.marks);
        marks.horizon_ms = marks.horizon_ms.max(horizon_ms);
    }

    /// Says what the gold table holds: its newest version and that version's micro-batch.
    pub fn set_table(&self, version: i64, micro_batch: i64) {
        write(&self.marks).table = Some((version, micro_batch));
    }

    /// Lets go of the windows that start before `start_us`: they are answered no more, the gold table has them.
    pub fn forget(&self, start_us: i64) {
        for side in [&self.live, &self.committed] {
            let mut side = write(side);
            let kept = side.windows.split_off(&start_us);
            let forgotten = std::mem::replace(&mut side.windows, kept);
            drop(side);
            // Many maps take a while to drop, in which nobody needs to wait.
            drop(forgotten);
        }
        let mut marks = write(&self.marks);
        marks.kept_from_us = marks.kept_from_us.max(start_us);
    }

    /// Says which Kafka partitions other instances read, and when their newest offset was learned of, in milliseconds.
    pub fn set_elsewhere(&self, elsewhere: BTreeMap<i32, i64>) {
        write(&self.marks).elsewhere = elsewhere;
    }

    /// The calendar parts (days since 1970-01-01 of the part's first day) whose committed rows changed since the last
    /// call, each once, in order.
    #[must_use]
    pub fn take_touched(&self) -> Vec<i32> {
        std::mem::take(&mut write(&self.marks).touched).into_iter().collect()
    }

    /// The calendar parts that have committed rows, in order.
    #[must_use]
    pub fn all_parts(&self) -> Vec<i32> {
        let by = self.plan.gold().partition_by;
        let mut parts: Vec<_> = read(&self.committed).windows.keys().map(|start| window::part(*start, by)).collect();
        parts.dedup();
        parts
    }

    /// The committed rows of a calendar part in the plan's gold schema, ordered by window and keys.
    #[must_use]
    pub fn gold_rows(&self, part: i32) -> RecordBatch {
        let by = self.plan.gold().partition_by;
        let committed = read(&self.committed);
        let windows = committed.windows.range(window::part_start_us(part)..);
        let hits: Vec<_> = windows
            .take_while(|(start_us, _)| window::part(**start_us, by) == part)
            .flat_map(|(start_us, groups)| groups.iter().map(|(key, group)| self.hit(*start_us, key, group)))
            .collect();
        drop(committed);
        query::batch(&self.plan, &hits)
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When a column is unknown, or a value not of its column's type.
    pub fn query(&self, query: &Query) -> Result<Answer, QueryError> {
        let selection = query::Selection::new(&self.plan, query)?;
        // The marks come first: what is final under an older horizon is final under a newer one.
        let marks = read(&self.marks).clone();
        let side = self.side(query);
        let as_of = side.as_of(&marks);
        let picked = selection.pick(&side, |start_us, key, group| self.hit(start_us, key, group));
        drop(side);
        let (hits, total) = selection.finish(&self.plan, picked);
        let horizon_us = window::us(marks.horizon_ms);
        let is_final = hits.iter().map(|hit| self.plan.windows.closes_at_us(hit.start_us) <= horizon_us).collect();
        Ok(Answer { as_of, rows: query::batch(&self.plan, &hits), is_final, total })
    }

    /// As of what a question would be answered, without looking for any row.
    ///
    /// # Errors
    /// Those of [`Self::query`].
    pub fn as_of(&self, query: &Query) -> Result<AsOf, QueryError> {
        query::Selection::new(&self.plan, query)?;
        let marks = read(&self.marks).clone();
        Ok(self.side(query).as_of(&marks))
    }

    fn side(&self, query: &Query) -> RwLockReadGuard<'_, Side> {
        read(if query.committed { &self.committed } else { &self.live })
    }

    fn hit(&self, start_us: i64, key: &Arc<[u8]>, group: &Group) -> Hit {
        Hit { start_us, key: Arc::clone(key), results: Arc::clone(group.results(&self.plan)) }
    }
}

impl Default for Side {
    fn default() -> Self {
        Self { windows: BTreeMap::new(), offsets: BTreeMap::new(), micro_batch: -1, restated: 0 }
    }
}

impl Side {
    fn as_of(&self, marks: &Marks) -> AsOf {
        AsOf {
            micro_batch: self.micro_batch,
            offsets: self.offsets.clone(),
            restated: self.restated,
            elsewhere: marks.elsewhere.clone(),
            kept_from_ms: window::floor_ms(marks.kept_from_us),
            watermark_ms: marks.horizon_ms,
            table_version: marks.table.map(|(version, _)| version),
            table_micro_batch: marks.table.map(|(_, micro_batch)| micro_batch),
        }
    }

    fn apply(&mut self, changes: &Changes) {
        let stood = self.offsets.insert(changes.partition, changes.next_offset);
        if stood == Some(changes.next_offset) && !changes.groups.is_empty() {
            self.restated += 1;
        }
        for changed in &changes.groups {
            let groups = self.windows.entry(changed.start_us).or_default();
            let group = groups.entry(Arc::clone(&changed.key)).or_default();
            let partials = Arc::clone(&changed.partials);
            match group.partials.binary_search_by_key(&changes.partition, |(partition, _)| *partition) {
                Ok(at) => group.partials[at].1 = partials,
                Err(at) => {
                    // Most groups are of one partition: a list that grows by doubling would begin with room for four.
                    group.partials.reserve_exact(1);
                    group.partials.insert(at, (changes.partition, partials));
                }
            }
            group.results = OnceLock::new();
        }
    }
}

impl Group {
    /// The results of the measures over all partitions; merged once after every change, by the first who asks.
    fn results(&self, plan: &Plan) -> &Arc<[Value]> {
        self.results.get_or_init(|| {
            let merged = |index: usize| {
                let mut partials = self.partials.iter().map(|(_, partials)| &partials[index]);
                let first = partials.next().cloned();
                first.map(|first| {
                    partials.fold(first, |mut merged, partial| {
                        merged.merge(partial);
                        merged
                    })
                })
            };
            let measures = plan.measures.iter().enumerate();
            measures
                .map(|(index, measure)| merged(index).map_or(Value::Null, |merged| measure.finish(&merged)))
                .collect()
        })
    }
}

/// Every change to what a lock guards leaves it whole, so a panic elsewhere does not spoil it.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
