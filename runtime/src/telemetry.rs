//! What the process says about itself: log lines, and the counters behind `/metrics`.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line, for a log store.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `RUST_LOG` cannot be read.
    #[error("the environment variable RUST_LOG is not a filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging has been set up before.
    #[error("logging is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends log lines to standard error; standard output belongs to results. `RUST_LOG` filters, `level` without it.
///
/// # Errors
/// When `RUST_LOG` is not a filter, or on a second call.
pub fn init(format: Format, level: tracing::Level) -> Result<(), Error> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(text)?,
        // The Delta Lake library tells of every log that it reads.
        _ => EnvFilter::new(format!("{level},buoyant_kernel=error,deltalake_core=warn")),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A reader of the log who has gone away is nobody to be told of it, least of all on standard error.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Text => lines.finish().try_init()?,
        Format::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// Every counter, gauge and histogram. Those with labels give out handles (`with_label_values`): take each once and keep
/// it, because looking one up hashes its labels.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Records read, by topic.
    pub records: IntCounterVec,
    /// Rows written, by product.
    pub rows: IntCounterVec,
    /// Records from which a transform made nothing, by module.
    pub skips: IntCounterVec,
    /// Records that could not become rows, by stage and module.
    pub dead_letters: IntCounterVec,
    /// Rows that came after their window had closed, by gold product.
    pub late: IntCounterVec,
    /// Rows that broke an expectation, by product and expectation.
    pub violations: IntCounterVec,
    /// Micro-batches committed.
    pub commits: IntCounter,
    /// Seconds that the commit of a micro-batch took.
    pub commit_seconds: Histogram,
    /// The number of the last micro-batch.
    pub micro_batch: IntGauge,
    /// Records between the next offset and the end of the log, by topic and partition.
    pub lag_records: IntGaugeVec,
    /// Records between modules that catch up and the others; 0 while all are together.
    pub catch_up_records: IntGauge,
    /// The watermark in seconds since 1970-01-01T00:00:00Z, by topic and partition.
    pub watermark_seconds: GaugeVec,
    /// The age of the newest record in the live answers, in seconds.
    pub freshness_seconds: Gauge,
    /// Seconds spent in a module, by module.
    pub transform_seconds: prometheus::CounterVec,
    /// Calls that trapped, by module.
    pub traps: IntCounterVec,
    /// Records that a module failed on, by module.
    pub failures: IntCounterVec,
    /// Calls, by module.
    pub transform_calls: IntCounterVec,
    /// Fuel of the calls that succeeded, by module.
    pub transform_fuel: IntCounterVec,
    /// Rows that a module gave back, by module.
    pub transform_rows: IntCounterVec,
    /// Bytes that a module gave back, by module.
    pub transform_output_bytes: IntCounterVec,
    /// The largest memory that a call had, by module.
    pub transform_memory_bytes: IntGaugeVec,
    /// 1 where a module is parked, 0 where not, by module.
    pub module_parked: IntGaugeVec,
    /// Partitions that are not read on for a module, by module.
    pub stopped_partitions: IntGaugeVec,
    /// Chunks between the source and the workers.
    pub queue_chunks: IntGauge,
    /// Groups held in memory, by gold product.
    pub state_groups: IntGaugeVec,
}

impl Metrics {
    /// Every metric, at nothing.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        Self {
            records: counters(r, "records_total", "Records read.", &["topic"]),
            rows: counters(r, "rows_total", "Rows written.", &["product"]),
            skips: counters(r, "skips_total", "Records from which a transform made nothing.", &["module"]),
            dead_letters: counters(
                r,
                "dead_letters_total",
                "Records that could not become rows.",
                &["stage", "module"],
            ),
            late: counters(r, "late_total", "Rows that came too late, or are too far ahead.", &["product"]),
            violations: counters(r, "violations_total", "Rows that broke an expectation.", &["product", "expectation"]),
            commits: keep(r, IntCounter::with_opts(opts("commits_total", "Micro-batches committed."))),
            commit_seconds: keep(r, Histogram::with_opts(commit_seconds())),
            micro_batch: keep(r, IntGauge::with_opts(opts("micro_batch", "The number of the last micro-batch."))),
            catch_up_records: keep(
                r,
                IntGauge::with_opts(opts("catch_up_records", "Records between modules that catch up and the others.")),
            ),
            lag_records: gauges(
                r,
                "lag_records",
                "Records between the next offset and the end of the log.",
                &["topic", "partition"],
            ),
            watermark_seconds: keep(
                r,
                GaugeVec::new(
                    opts("watermark_seconds", "The watermark, in seconds since 1970."),
                    &["topic", "partition"],
                ),
            ),
            freshness_seconds: keep(
                r,
                Gauge::with_opts(opts("freshness_seconds", "The age of the newest record in the live answers.")),
            ),
            transform_seconds: keep(
                r,
                prometheus::CounterVec::new(opts("transform_seconds_total", "Time in a module."), &["module"]),
            ),
            traps: counters(r, "traps_total", "Calls that trapped.", &["module"]),
            failures: counters(r, "failures_total", "Records that a module failed on.", &["module"]),
            transform_calls: counters(r, "transform_calls_total", "Calls of a module.", &["module"]),
            transform_fuel: counters(r, "transform_fuel_total", "Fuel that a module used.", &["module"]),
            transform_rows: counters(r, "transform_rows_total", "Rows that a module gave back.", &["module"]),
            transform_output_bytes: counters(
                r,
                "transform_output_bytes_total",
                "Bytes that a module gave back.",
                &["module"],
            ),
            transform_memory_bytes: gauges(
                r,
                "transform_memory_bytes",
                "The largest memory that a call of a module had.",
                &["module"],
            ),
            stopped_partitions: gauges(r, "stopped_partitions", "Partitions not read on for it.", &["module"]),
            module_parked: gauges(r, "module_parked", "1 where a module is parked, 0 where not.", &["module"]),
            queue_chunks: keep(
                r,
                IntGauge::with_opts(opts("queue_chunks", "Chunks between the source and the workers.")),
            ),
            state_groups: gauges(r, "state_groups", "Groups held in memory.", &["product"]),
            registry,
        }
    }

    /// Everything in the text format of Prometheus.
    ///
    /// # Panics
    /// Never: every metric is registered with a name and a help text.
    #[must_use]
    pub fn encode(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("every metric has a name")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("lakeward")
}

/// From a commit to the local disk (a millisecond) to one that an object store throttles.
fn commit_seconds() -> HistogramOpts {
    HistogramOpts::from(opts("commit_seconds", "How long the commit of a micro-batch took."))
        .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    keep(registry, IntCounterVec::new(opts(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    keep(registry, IntGaugeVec::new(opts(name, help), labels))
}

fn keep<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels are constants that Prometheus accepts");
    registry.register(Box::new(metric.clone())).expect("every name is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_with_their_prefix_and_labels() {
        let metrics = Metrics::new();
        metrics.records.with_label_values(&["orders"]).inc_by(3);
        metrics.lag_records.with_label_values(&["orders", "0"]).set(7);
        metrics.commit_seconds.observe(0.02);
        let text = metrics.encode();
        for line in [
            "# TYPE lakeward_records_total counter",
            "lakeward_records_total{topic=\"orders\"} 3",
            "lakeward_lag_records{partition=\"0\",topic=\"orders\"} 7",
            "lakeward_commit_seconds_bucket{le=\"0.025\"} 1",
            "lakeward_commits_total 0",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is not in:\n{text}");
        }
    }
}
