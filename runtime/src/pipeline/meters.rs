//! What modules used and what they failed on, over all sessions of the process: metrics, the status, and who is parked or called slow.

use super::ledger::{Counts, Messages, ModuleCounts};
use super::minute::Minute;
use super::parking::{Failing, Span};
use super::plan::Plan;
use crate::config::Config;
use crate::record::Stage;
use crate::release::compare::grouped;
use crate::serve::status::{Bounded, CallUse, Metered};
use crate::telemetry::Metrics;
use crate::transform::{Usage, fails_too_often};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Failing modules that wait to be parked; one that finds no room is judged again with the next micro-batch.
const QUEUE: usize = 16;

/// The share of the workers' time, over the last minute, from which on a module is called slow: it takes more than all else together.
const SLOW: f64 = 0.5;

/// Time that must have been looked at before a module is called slow.
const LOOKED: Duration = Duration::from_secs(10);

/// How a micro-batch was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// When it was committed.
    pub(super) at_ms: i64,
    /// How long it had been open.
    pub(super) open: Duration,
    /// Worker threads that have partitions.
    pub(super) threads: usize,
}

/// Everything that is metered.
pub(super) struct Meters {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    /// By module.
    found: Mutex<BTreeMap<String, Meter>>,
    failing_in: mpsc::Sender<Failing>,
    /// Taken by whoever parks.
    failing: Mutex<Option<mpsc::Receiver<Failing>>>,
}

/// What is known of a module. Another digest begins anew.
#[derive(Default)]
struct Meter {
    digest: Option<Arc<str>>,
    /// Since this process runs the digest.
    total: ModuleCounts,
    minute: Minute,
    /// What it said first when it failed, within the last minute.
    messages: Messages,
    threads: usize,
    is_slow: bool,
}

impl Meters {
    pub(super) fn new(config: &Arc<Config>, metrics: &Arc<Metrics>) -> Self {
        let (failing_in, failing) = mpsc::channel(QUEUE);
        Self {
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            found: Mutex::default(),
            failing_in,
            failing: Mutex::new(Some(failing)),
        }
    }

    /// The modules that are to be parked, as they are found; once.
    pub(super) fn failing(&self) -> Option<mpsc::Receiver<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<String, Meter>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a micro-batch that is committed.
    pub(super) fn committed(&self, plan: &Plan, counts: &Counts, made: Made) {
        let mut found = self.found();
        for ((module, of), messages) in plan.modules.iter().zip(&counts.modules).zip(&counts.messages) {
            let name = module.manifest().name.as_str();
            let meter = found.entry(name.to_owned()).or_default();
            if meter.digest.as_ref() != Some(module.digest()) {
                *meter = Meter { digest: Some(Arc::clone(module.digest())), ..Meter::default() };
            }
            meter.add(of, messages, made);
            self.count(name, of, meter.total.usage.most.memory);
            meter.tell_slow(name, made.at_ms);
            if let Some(failing) = self.judge(name, meter, made.at_ms)
                && self.failing_in.try_send(failing).is_ok()
            {
                // Whoever resumes it begins with a clean sheet.
                (meter.minute, meter.messages) = Default::default();
            }
        }
    }

    /// The module, where it has failed too often within the last minute.
    fn judge(&self, name: &str, meter: &mut Meter, now_ms: i64) -> Option<Failing> {
        let (minute, _) = meter.minute.sum(now_ms);
        let limit = self.config.park_after(name)?;
        fails_too_often(minute.failures, minute.records, limit).then(|| Failing {
            module: name.to_owned(),
            digest: meter.digest.clone().unwrap_or_default(),
            failed: minute.failures,
            records: minute.records,
            span: Span::Minute,
            messages: meter.messages.iter().map(str::to_owned).collect(),
        })
    }

    /// A module gets no records: what it did until then is not held against it later.
    pub(super) fn stopped(&self, module: &str) {
        if let Some(meter) = self.found().get_mut(module) {
            (meter.minute, meter.messages, meter.is_slow) = Default::default();
        }
    }

    /// What is known of a module's digest, beside what a call may use.
    pub(super) fn metered(&self, module: &str, digest: &str, now_ms: i64) -> Metered {
        let mut found = self.found();
        let known = found.get_mut(module).filter(|meter| meter.digest.as_deref() == Some(digest));
        let (total, worker_share, slow) = match known {
            Some(meter) => (meter.total, meter.worker_share(now_ms).map(|(share, _)| share), meter.slow(now_ms)),
            None => (ModuleCounts::default(), None, None),
        };
        let Usage { calls, traps, nanoseconds, fuel, rows, output, most } = total.usage;
        let per_record = |sum: u64| (total.records > 0).then(|| as_f64(sum) / as_f64(total.records));
        let limits = &self.config.transform;
        Metered {
            records: total.records,
            rejects: total.rejects,
            failures: total.failures,
            rows,
            calls,
            traps,
            seconds: seconds(nanoseconds),
            fuel,
            output_bytes: output,
            nanoseconds_per_event: per_record(nanoseconds),
            fuel_per_event: per_record(fuel),
            worker_share,
            slow,
            call: CallUse {
                fuel: Bounded { most: most.fuel, limit: limits.fuel.get() },
                memory_bytes: Bounded { most: most.memory, limit: limits.memory },
                output_bytes: Bounded { most: most.output, limit: limits.output },
                seconds: Bounded { most: seconds(most.nanoseconds), limit: limits.timeout.as_secs_f64() },
            },
        }
    }

    fn count(&self, name: &str, counts: &ModuleCounts, memory: u64) {
        let (metrics, module) = (&self.metrics, &[name]);
        metrics.skips.with_label_values(module).inc_by(counts.skips);
        metrics.failures.with_label_values(module).inc_by(counts.failures);
        let others = counts.dead_letters.saturating_sub(counts.rejects + counts.undecoded);
        let stages = [(Stage::Decode, counts.undecoded), (Stage::Transform, counts.rejects), (Stage::Product, others)];
        for (stage, count) in stages {
            metrics.dead_letters.with_label_values(&[stage.name(), name]).inc_by(count);
        }
        let usage = &counts.usage;
        metrics.traps.with_label_values(module).inc_by(usage.traps);
        metrics.transform_seconds.with_label_values(module).inc_by(seconds(usage.nanoseconds));
        metrics.transform_calls.with_label_values(module).inc_by(usage.calls);
        metrics.transform_fuel.with_label_values(module).inc_by(usage.fuel);
        metrics.transform_rows.with_label_values(module).inc_by(usage.rows);
        metrics.transform_output_bytes.with_label_values(module).inc_by(usage.output);
        metrics.transform_memory_bytes.with_label_values(module).set(i64::try_from(memory).unwrap_or(i64::MAX));
    }
}

impl Meter {
    fn add(&mut self, counts: &ModuleCounts, messages: &Messages, made: Made) {
        if self.minute.sum(made.at_ms).0.failures == 0 {
            self.messages = Messages::default();
        }
        self.messages.add_all(messages);
        self.total += *counts;
        self.minute.add(made.at_ms, made.open, *counts);
        self.threads = made.threads.max(1);
    }

    /// The share of the workers' time that the module took within the last minute, and the time that was looked at.
    fn worker_share(&mut self, now_ms: i64) -> Option<(f64, Duration)> {
        let (minute, open) = self.minute.sum(now_ms);
        let threads = u32::try_from(self.threads).unwrap_or(u32::MAX);
        let had = (open * threads).as_secs_f64();
        (had > 0.0).then(|| ((seconds(minute.usage.nanoseconds) / had).min(1.0), open))
    }

    /// Why the module is called slow.
    fn slow(&mut self, now_ms: i64) -> Option<String> {
        let (share, _) = self.worker_share(now_ms).filter(|(share, open)| *share > SLOW && *open >= LOOKED)?;
        let (minute, _) = self.minute.sum(now_ms);
        let an_event = minute.usage.nanoseconds / minute.records.max(1);
        let threads = if self.threads == 1 { "1 worker".to_owned() } else { format!("{} workers", self.threads) };
        Some(format!(
            "it took {:.0} % of the time of {threads} within the last minute, {} ns an event",
            share * 100.0,
            grouped(an_event)
        ))
    }

    /// Says so once when the module becomes slow, and once when it is no longer.
    fn tell_slow(&mut self, name: &str, now_ms: i64) {
        let slow = self.slow(now_ms);
        if slow.is_some() != self.is_slow {
            match &slow {
                Some(why) => tracing::warn!(module = name, why, "a module is slow"),
                None => tracing::info!(module = name, "a module is slow no more"),
            }
        }
        self.is_slow = slow.is_some();
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    as_f64(nanoseconds) / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people: 53 bits are enough")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A meter after micro-batches of 5 s on two threads: by each the records, and the seconds that the module took over them.
    fn meter(batches: &[(u64, f64)]) -> Meter {
        let mut meter = Meter::default();
        for (index, (records, took)) in (1..).zip(batches) {
            let nanoseconds = u64::try_from(Duration::from_secs_f64(*took).as_nanos()).unwrap();
            let usage = Usage { nanoseconds, ..Usage::default() };
            let counts = ModuleCounts { records: *records, usage, ..ModuleCounts::default() };
            let made = Made { at_ms: index * 5_000, open: Duration::from_secs(5), threads: 2 };
            meter.add(&counts, &Messages::default(), made);
        }
        meter
    }

    #[test]
    fn a_module_is_slow_that_takes_most_of_the_workers_time() {
        let slow = |batches: &[(u64, f64)], now_ms| meter(batches).slow(now_ms);
        let why = "it took 60 % of the time of 2 workers within the last minute, 12,000 ns an event";
        assert_eq!(slow(&[(500_000, 6.0), (500_000, 6.0)], 10_000).as_deref(), Some(why));
        assert_eq!(slow(&[(500_000, 5.0), (500_000, 5.0)], 10_000), None, "half is not most");
        assert_eq!(slow(&[(500_000, 10.0)], 5_000), None, "not looked at for long enough");
        assert_eq!(slow(&[(500_000, 6.0), (500_000, 6.0)], 70_000), None, "long ago");
        assert_eq!(slow(&[], 5_000), None);
    }

    #[test]
    fn the_first_messages_are_those_of_the_last_minute() {
        let mut meter = Meter::default();
        let mut fail = |at_ms: i64, message: &str| {
            let mut messages = Messages::default();
            messages.add(message);
            let counts = ModuleCounts { records: 1, failures: 1, ..ModuleCounts::default() };
            meter.add(&counts, &messages, Made { at_ms, open: Duration::ZERO, threads: 1 });
            meter.messages.iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(fail(0, "a"), ["a"]);
        assert_eq!(fail(30_000, "b"), ["a", "b"]);
        assert_eq!(fail(59_000, "a"), ["a", "b"]);
        assert_eq!(fail(200_000, "c"), ["c"]);
    }
}
