//! The pipeline's stages, as far as each measurement takes them.

use crate::{Done, float};
use anyhow::{Context, Result};
use lakeward::clock::Clock;
use lakeward::config::Config;
use lakeward::decode::Decoder;
use lakeward::pipeline::{Options, Pipeline};
use lakeward::source::{Assigned, Chunker, Kafka, Reader, Settings};
use lakeward::transform::{Host, Limits, Module, ModuleFile};
use lakeward_manifest::{Granularity, PartitionBy};
use lakeward_tests::retail;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the pipeline is cut down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Silver,
    SilverByDay,
    Gold,
}

/// Where the retail module is built.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../transforms/retail")
}

/// Where the built retail module is.
pub(crate) fn component() -> PathBuf {
    folder().join("retail.wasm")
}

/// The retail module, built if need be.
pub(crate) fn module() -> Result<ModuleFile> {
    if !component().is_file() {
        lakeward::cli::build::build(&folder(), None)?;
    }
    Ok(ModuleFile::read(&component())?)
}

/// Reads the topic from its start to its end, on this thread.
pub(crate) fn consume(brokers: &str, mut take: impl FnMut(&lakeward::record::Chunk) -> Result<()>) -> Result<u64> {
    let settings =
        Settings { brokers: brokers.to_owned(), group: "lakeward-bench".to_owned(), properties: BTreeMap::new() };
    let mut kafka = Kafka::new(&settings)?;
    let (mut assigned, mut ends) = (Vec::new(), Vec::new());
    for partition in kafka.partitions(retail::TOPIC)? {
        let log = kafka.log_range(retail::TOPIC, partition)?;
        let (topic, start) = (retail::TOPIC.into(), log.start);
        assigned.push(Assigned { topic, partition, start, with_headers: false, from_beginning: false });
        ends.push(log.end);
    }
    kafka.assign(&assigned)?;
    let mut chunker = Chunker::new(&assigned);
    let mut events = 0;
    while ends.iter().enumerate().any(|(slot, end)| chunker.next(slot) < *end) {
        kafka.read(&mut chunker)?;
        while let Some((_, chunk)) = chunker.take(lakeward::clock::instant()) {
            events += chunk.len() as u64;
            take(&chunk)?;
        }
    }
    chunker.close_all();
    while let Some((_, chunk)) = chunker.take(lakeward::clock::instant()) {
        events += chunk.len() as u64;
        take(&chunk)?;
    }
    Ok(events)
}

/// Decodes every chunk, and gives it to the module where there is one.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn decode(brokers: &str, module: Option<&ModuleFile>) -> Result<Done> {
    let file = self::module()?;
    let mut decoder = Decoder::new(&[&file.manifest.inputs[0].columns])?;
    let module = module.map(|file| Module::load(&Host::new(Limits::default(), 1)?, file)).transpose()?;
    let (mut rows, mut nanoseconds) = (0, 0_u64);
    let events = consume(brokers, |chunk| {
        for events in decoder.decode(chunk, 0) {
            let Some(module) = &module else {
                rows += events.rows.len() as u64;
                continue;
            };
            let started = Instant::now();
            let processed = module.process(0, &events.columns, events.rows.len());
            nanoseconds += u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            rows += processed.outputs.iter().map(|output| output.origins.len() as u64).sum::<u64>();
        }
        Ok(())
    })?;
    Ok(Done { events, rows, module_ns: module.is_some().then(|| float(nanoseconds) / float(events)) })
}

/// Runs the whole pipeline over the topic into a fresh lake.
pub(crate) fn pipeline(brokers: &str, mut module: ModuleFile, shape: Shape) -> Result<Done> {
    let sales = module.manifest.products.first_mut().context("the module has no product")?;
    sales.partition_by = match shape {
        Shape::SilverByDay => vec![PartitionBy { column: "sold_at".to_owned(), by: Granularity::Day }],
        Shape::Silver | Shape::Gold => Vec::new(),
    };
    if shape != Shape::Gold {
        module.manifest.gold.clear();
    }
    let lake = tempfile::tempdir()?;
    let text = format!(
        "pipeline = 'bench'\n[lake]\nlocation = '{}'\n[kafka]\nbrokers = '{brokers}'\n[modules.retail]\npath = 'retail.wasm'\n\
         [serve]\nlisten = 'off'\n",
        lake.path().display()
    );
    let config = Config::parse(&text, Path::new("."), &|_| None)?;
    let pipeline = Pipeline::of_modules(config, Clock::system(), &[module])?;
    let (_stop_in, stop) = tokio::sync::watch::channel(false);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let summary = runtime.block_on(pipeline.run(Options { until_current: true }, stop))?;
    let module_ns = pipeline.site().status().modules.first().and_then(|module| module.metered.nanoseconds_per_event);
    Ok(Done { events: summary.records, rows: summary.rows.values().sum(), module_ns })
}
