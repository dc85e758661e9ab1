//! Tells the site and the metrics what the pipeline is doing; nothing here is on the hot path.

use super::committer::Committer;
use super::horizon::Horizon;
use super::ledger::Counts;
use super::meters::{Made, Meters};
use super::plan::Plan;
use super::progress::Progress;
use super::session::Slot;
use super::target::reads;
use crate::checkpoint::SourcePartition;
use crate::serve::status::{self, Commits, Partition, State, Status, Topic};
use crate::serve::{Readiness, Site, Time};
use crate::sink::Table;
use crate::sink::redrives;
use crate::sink::system::CommitRow;
use lakeward_manifest::Layer;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Looks over which the rate of records is averaged.
const LOOKS: usize = 5;

/// Keeps the status up to date.
pub(super) struct Report {
    site: Arc<Site>,
    meters: Arc<Meters>,
    total: Counts,
    commits: Commits,
    micro_batches: u64,
    /// `(time in milliseconds, records read)` of the last looks.
    looks: VecDeque<(i64, u64)>,
    counted: Vec<u64>,
}

/// What a look takes in.
struct Look<'a> {
    now_ms: i64,
    plan: &'a Plan,
    slots: &'a [Slot],
    /// Partitions of other instances.
    elsewhere: &'a [Slot],
    /// Partitions that cannot be read on.
    stopped: &'a [(SourcePartition, String)],
    progress: &'a Progress,
    tables: &'a [Table],
    horizon: &'a Horizon,
}

impl Committer {
    /// Shows how far everything is.
    pub(super) fn look(&mut self) {
        self.report.look(&Look {
            now_ms: self.clock.now_ms(),
            plan: &self.plan,
            slots: &self.slots,
            elsewhere: &self.others.slots,
            stopped: &self.stopped,
            progress: &self.progress,
            tables: &self.tables.tables,
            horizon: &self.horizon,
        });
    }
}

impl Report {
    pub(super) fn new(site: Arc<Site>, meters: Arc<Meters>, plan: &Plan, last_micro_batch: i64) -> Self {
        let last = (last_micro_batch > 0).then_some(last_micro_batch);
        if !plan.catches_up {
            site.update_status(|status| status.modules.clear());
        }
        Self {
            site,
            meters,
            total: Counts::new(plan),
            commits: Commits { micro_batch: last, ..Commits::default() },
            micro_batches: 0,
            looks: VecDeque::new(),
            counted: Vec::new(),
        }
    }

    /// What was committed in this session.
    pub(super) fn total(&self) -> &Counts {
        &self.total
    }

    /// Micro-batches committed in this session.
    pub(super) fn micro_batches(&self) -> u64 {
        self.micro_batches
    }

    /// Takes in a committed micro-batch.
    pub(super) fn committed(&mut self, plan: &Plan, row: &CommitRow, counts: &Counts, made: Made) {
        self.total += counts;
        self.micro_batches += 1;
        self.commits.micro_batch = Some(row.micro_batch);
        self.commits.committed_at = Some(Time(row.committed_at_ms));
        self.commits.seconds = row.seconds;
        self.commits.last = summary(counts);
        self.site.update_status(|status| status.commits.total += summary(counts));
        let metrics = self.site.metrics();
        metrics.commits.inc();
        metrics.commit_seconds.observe(row.seconds);
        metrics.micro_batch.set(row.micro_batch);
        self.meters.committed(plan, counts, made);
        for (product, (rows, violations)) in plan.products.iter().zip(counts.rows.iter().zip(&counts.violations)) {
            metrics.rows.with_label_values(&[product.path.as_str()]).inc_by(*rows);
            for (expectation, count) in product.contract.product().expectations.iter().zip(violations) {
                let labels = [product.path.as_str(), expectation.name.as_str()];
                metrics.violations.with_label_values(&labels).inc_by(*count);
            }
        }
        for (gold, late) in plan.golds.iter().zip(&counts.late) {
            metrics.late.with_label_values(&[gold.plan.path()]).inc_by(*late);
        }
    }

    /// Looks at everything and shows it.
    fn look(&mut self, look: &Look<'_>) {
        let (modules, products) = (self.modules(look), self.products(look));
        let show_own = |status: &mut Status| {
            renew(&mut status.modules, &modules, |module| module.name.clone());
            renew_products(status, &products);
        };
        if look.plan.catches_up {
            return self.site.update_status(show_own);
        }
        let records = look.progress.read();
        self.looks.push_back((look.now_ms, records));
        if self.looks.len() > LOOKS + 1 {
            self.looks.pop_front();
        }
        let newest = look.progress.lanes.iter().map(|lane| lane.newest_ms.load(Ordering::Relaxed)).max();
        // At the end of the logs the answers are as fresh as can be, however old the newest record is.
        let lag = look.progress.lag();
        let freshness = newest
            .filter(|newest| *newest >= 0)
            .map(|newest| if lag == 0 { 0.0 } else { milliseconds(look.now_ms - newest).max(0.0) / 1000.0 });
        self.count(look, freshness);
        let topics = self.topics(look);
        let (commits, rate) = (self.commits.clone(), self.rate());
        let (state, _) = standing(look.slots, look.stopped);
        // All at once: whoever sees how far the products are sees which micro-batch that was.
        self.site.update_status(|status: &mut Status| {
            show_own(status);
            if !matches!(status.state, State::Draining) {
                status.state.clone_from(&state);
            }
            status.topics.clone_from(&topics);
            // What other sessions of this process have committed counts as well.
            status.commits = Commits { total: status.commits.total, ..commits.clone() };
            status.throughput.records_per_second = rate;
            status.freshness_seconds = freshness;
        });
    }

    fn rate(&self) -> f64 {
        match (self.looks.front(), self.looks.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                as_f64(after - before) / (milliseconds(to - from) / 1000.0)
            }
            _ => 0.0,
        }
    }

    fn count(&mut self, look: &Look<'_>, freshness: Option<f64>) {
        let metrics = self.site.metrics();
        self.counted.resize(look.slots.len(), 0);
        for ((slot, lane), counted) in look.slots.iter().zip(&look.progress.lanes).zip(&mut self.counted) {
            let topic = &*slot.partition.topic;
            let records = lane.records();
            metrics.records.with_label_values(&[topic]).inc_by(records - *counted);
            *counted = records;
            let partition = slot.partition.partition.to_string();
            metrics.lag_records.with_label_values(&[topic, &partition]).set(lane.lag().unwrap_or(0));
        }
        if let Some(freshness) = freshness {
            metrics.freshness_seconds.set(freshness);
        }
    }

    fn topics(&self, look: &Look<'_>) -> Vec<Topic> {
        let mut topics: Vec<Topic> = Vec::new();
        for (index, (slot, lane)) in look.slots.iter().zip(&look.progress.lanes).enumerate() {
            let partition = Partition {
                partition: slot.partition.partition,
                next_offset: lane.next.load(Ordering::Relaxed),
                log_end_offset: lane.log_end(),
                lag: lane.lag(),
                watermark: Time::from_watermark_ms(look.horizon.watermark_ms(index)),
                idle: look.horizon.is_idle(index, look.progress, look.now_ms),
            };
            topic_of(&mut topics, &slot.partition).partitions.push(partition);
        }
        for slot in look.elsewhere {
            topic_of(&mut topics, &slot.partition).elsewhere.push(slot.partition.partition);
        }
        for (partition, why) in look.stopped {
            topic_of(&mut topics, partition).stopped.insert(partition.partition, why.clone());
        }
        topics
    }

    /// Those that run, and behind them those that get no records.
    fn modules(&self, look: &Look<'_>) -> Vec<status::Module> {
        let mut modules = Vec::new();
        for module in &look.plan.modules {
            let (manifest, digest) = (module.manifest(), module.digest());
            let stopped = look.stopped.iter().filter(|(of, _)| reads(manifest, of));
            modules.push(status::Module {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                owner: manifest.owner.clone(),
                digest: digest.to_string(),
                paused: None,
                parked: None,
                stopped: stopped.map(|(of, why)| (of.to_string(), why.clone())).collect(),
                metered: self.meters.metered(&manifest.name, digest, look.now_ms),
            });
        }
        let released = self.site.released();
        let runs = |name: &str| look.plan.modules.iter().any(|module| module.manifest().name == name);
        for of in released.iter().filter(|of| of.paused.is_some() && !runs(&of.module)) {
            modules.push(status::Module {
                name: of.module.clone(),
                version: of.version.clone(),
                owner: of.owner.clone(),
                digest: of.digest.clone(),
                paused: of.paused.clone().filter(|_| !of.parked),
                parked: of.paused.clone().filter(|_| of.parked),
                stopped: BTreeMap::new(),
                metered: self.meters.metered(&of.module, &of.digest, look.now_ms),
            });
        }
        for module in &modules {
            let stopped = i64::try_from(module.stopped.len()).unwrap_or(i64::MAX);
            self.site.metrics().stopped_partitions.with_label_values(&[&module.name]).set(stopped);
        }
        modules
    }

    fn products(&self, look: &Look<'_>) -> Vec<status::Product> {
        let committed_at = self.commits.committed_at;
        let product = |path: &str, layer: Layer, table: &Table, rows_total: u64| status::Product {
            committed_at,
            rows_total,
            ..product(path, layer, table)
        };
        let written = |path: &str| self.site.metrics().rows.with_label_values(&[path]).get();
        let silver = look.plan.products.iter();
        let silver = silver.map(|of| product(&of.path, Layer::Silver, &look.tables[of.table], written(&of.path)));
        let gold =
            look.plan.golds.iter().map(|gold| product(gold.plan.path(), Layer::Gold, &look.tables[gold.gold_table], 0));
        silver.chain(gold).collect()
    }
}

/// Where a product's table stands.
pub(super) fn product(path: &str, layer: Layer, table: &Table) -> status::Product {
    let is_shown = |of: &SourcePartition| of.reader.is_none() && redrives::topic_of(of).is_none();
    let offsets = table.offsets().iter().filter(|(of, _)| is_shown(of));
    status::Product {
        path: path.to_owned(),
        layer,
        table_version: i64::try_from(table.version()).ok(),
        micro_batch: Some(table.micro_batch()),
        committed_at: None,
        rows_total: 0,
        next_offsets: offsets.map(|(of, next)| (of.to_string(), next)).collect(),
    }
}

/// What a pipeline with these partitions is doing, and whether requests should be sent to it: with nothing but stopped partitions it waits
/// for somebody who says where to go on.
pub(super) fn standing(slots: &[Slot], stopped: &[(SourcePartition, String)]) -> (State, Readiness) {
    match stopped.first() {
        Some((_, why)) if slots.is_empty() => {
            let why = format!("every partition is stopped: {why}");
            (State::Waiting(why.clone()), Readiness::NotReady(why))
        }
        _ => (State::Running, Readiness::Ready),
    }
}

/// Replaces what goes by the same name: modules that catch up are reported by their own committer.
fn renew<T: Clone, N: Ord>(all: &mut Vec<T>, own: &[T], name: impl Fn(&T) -> N) {
    all.retain(|known| own.iter().all(|own| name(own) != name(known)));
    all.extend(own.iter().cloned());
    all.sort_by_cached_key(name);
}

/// Shows these products in the place of the ones that were known of these names.
pub(super) fn renew_products(status: &mut Status, products: &[status::Product]) {
    renew(&mut status.products, products, |product| (product.layer == Layer::Gold, product.path.clone()));
}

fn topic_of<'a>(topics: &'a mut Vec<Topic>, partition: &SourcePartition) -> &'a mut Topic {
    let known = topics.iter().position(|topic| *topic.topic == *partition.topic);
    let index = known.unwrap_or_else(|| {
        let topic = partition.topic.to_string();
        topics.push(Topic { topic, partitions: Vec::new(), elsewhere: Vec::new(), stopped: BTreeMap::new() });
        topics.len() - 1
    });
    &mut topics[index]
}

fn summary(counts: &Counts) -> status::Counts {
    let total = counts.total();
    status::Counts {
        records: total.records,
        rows: counts.rows_written(),
        skips: total.skips,
        dead_letters: total.dead_letters,
        late: counts.late_rows(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people: 53 bits are enough")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people: 53 bits are enough")]
fn milliseconds(ms: i64) -> f64 {
    ms as f64
}
