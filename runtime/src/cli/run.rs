//! `lakeward run` and `lakeward check`: a configuration becomes a pipeline, with its HTTP side, until it ends or is told to.

use super::{CheckArgs, Error, RunArgs, build, output};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::pipeline::{self, Options, Pipeline, Summary};
use crate::sink::Warehouse;
use crate::{serve, telemetry};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the pipeline of a configuration file.
///
/// # Errors
/// When the configuration is wrong, or the pipeline has to stop.
pub fn run(args: &RunArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    init_log(&config)?;
    let listen = config.serve.listen;
    let runtime = runtime()?;
    let (stop_in, stop) = watch::channel(false);
    // Before the modules are compiled: a signal in the first moments is obeyed too.
    runtime.spawn(stop_on_signal(stop_in));
    let pipeline = Arc::new(Pipeline::load(config, Clock::system(), &build_crate)?);
    let options = Options { until_current: args.until_current };
    let summary = runtime.block_on(async {
        let running = Arc::clone(&pipeline);
        with_http(&pipeline, listen, async move { running.run(options, stop).await }).await
    })?;
    report(&summary, args.json)
}

/// Checks a configuration and everything that it names; contacts nothing and leaves nothing behind.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(args: &CheckArgs) -> Result<(), Error> {
    let config = Config::load(&args.config)?;
    let location = config.lake.location.clone();
    let options = config.lake.options.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let pipeline = Pipeline::load(config, Clock::system(), &build_crate)?;
    Warehouse::check(&location, &options).map_err(pipeline::Error::from)?;
    let lines: String = pipeline.describe().iter().map(|line| format!("{line}\n")).collect();
    let contacted = if location.contains("://") && !location.starts_with("file://") { ", not contacted" } else { "" };
    output::print(format_args!("{lines}lake {location}{contacted}\nthe configuration is good\n"))
}

/// Starts the log as the configuration says.
fn init_log(config: &Config) -> Result<(), Error> {
    let format = match config.log.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    Ok(telemetry::init(format, tracing::Level::INFO)?)
}

/// Builds a module crate that a configuration names instead of a component.
pub(super) fn build_crate(folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> {
    Ok(build::build(folder, None)?.path)
}

/// The threads on which Kafka, the object store and HTTP are waited for; the work itself has threads of its own.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })
}

/// Turns `stop` true on the first Ctrl-C or SIGTERM; the second ends the process at once.
pub(super) async fn stop_on_signal(stop: watch::Sender<bool>) {
    signal().await;
    tracing::info!("stopping: what was read is committed first; once more ends at once");
    // Nobody listens once the pipeline has ended.
    let _ = stop.send(true);
    signal().await;
    std::process::exit(130);
}

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn signal() {
    let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Answers HTTP while `pipeline` runs.
pub(super) async fn with_http(
    pipeline: &Pipeline,
    listen: Option<std::net::SocketAddr>,
    running: impl Future<Output = Result<Summary, pipeline::Error>>,
) -> Result<Summary, Error> {
    let Some(address) = listen else { return Ok(running.await?) };
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| pipeline::Error::Listen { address: address.to_string(), source })?;
    let (end_in, end) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve::serve(listener, Arc::clone(pipeline.site()), async {
        // The sender is dropped when the pipeline has ended, which is as good as a message.
        let _ = end.await;
    }));
    let summary = running.await;
    drop(end_in);
    if let Ok(Err(error)) = serving.await {
        tracing::warn!(%error, "the HTTP side ended badly");
    }
    Ok(summary?)
}

fn report(summary: &Summary, json: bool) -> Result<(), Error> {
    if json {
        return output::print(serde_json::to_string(summary).unwrap_or_default() + "\n");
    }
    output::say(format_args!(
        "{} records, {} rows, {} skips, {} dead letters, {} late rows in {} micro-batches and {:.1} s\n",
        summary.records,
        summary.rows.values().sum::<u64>(),
        summary.skips,
        summary.dead_letters,
        summary.late,
        summary.micro_batches,
        summary.seconds
    ));
    Ok(())
}
