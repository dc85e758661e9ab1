//! `lakeward demo`: an embedded broker, a shop that never closes, and the whole pipeline over it.

mod broker;
mod catalogue;
mod dirt;
mod generator;
mod pace;
mod publisher;
mod random;
mod show;

pub use broker::{Broker, Error};
pub use generator::{Counts, Event, Generator};
pub use publisher::{Lag, MAX_LAG_PER_PARTITION, PublishError, Published, Publisher};

use super::{DemoArgs, build, output, run};
use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::{Options, Pipeline, Summary};
use crate::telemetry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The topic of the orders, and its partitions.
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;

/// Runs the demo.
///
/// # Errors
/// When the modules do not build, the address is taken, or the pipeline has to stop.
pub fn demo(args: &DemoArgs) -> Result<(), super::Error> {
    telemetry::init(telemetry::Format::Text, tracing::Level::WARN)?;
    let modules = build_modules()?;
    let clock = Clock::system();
    let broker = Broker::start(&[(TOPIC, PARTITIONS)])?;
    // The embedded broker forgets everything when it ends: each start is a new incarnation of the topic.
    let incarnation = u32::try_from(clock.now_ms() / 1000).unwrap_or(u32::MAX);
    // For who tries deployments here; it ends with the process.
    let token = uuid::Uuid::new_v4().simple().to_string();
    let text = config(args, broker.bootstrap_servers(), incarnation, &modules, &token);
    let config = Config::parse(&text, Path::new("."), &|_| None)?;
    let pipeline = Arc::new(Pipeline::load(config, clock.clone(), &run::build_crate)?);
    show::welcome(args, &token, &written(args, &text)?)?;
    let publisher = Publisher {
        bootstrap_servers: broker.bootstrap_servers().to_owned(),
        topic: TOPIC.to_owned(),
        rate: args.rate,
        max_lag: MAX_LAG_PER_PARTITION * i64::from(PARTITIONS),
        clock,
    };
    let (summary, published) = run::runtime()?.block_on(play(args, &pipeline, publisher, incarnation))?;
    show::farewell(&summary, published.as_ref(), args)
}

/// Publishes and runs until the time is over or somebody stops it; then what was published is still read and committed.
async fn play(
    args: &DemoArgs,
    pipeline: &Arc<Pipeline>,
    publisher: Publisher,
    seed: u32,
) -> Result<(Summary, Option<Published>), super::Error> {
    let (asked_in, mut asked) = watch::channel(false);
    let (stop_in, stop) = watch::channel(false);
    tokio::spawn(run::stop_on_signal(asked_in));
    let quiet = Arc::new(AtomicBool::new(false));
    let quiet_too = Arc::clone(&quiet);
    let publishing = {
        let (quiet, lag) = (Arc::clone(&quiet), pipeline.lag());
        let mut generator = Generator::new(u64::from(seed), u64::from(seed) * 1_000_000);
        let lag: Lag = Box::new(move || Some(lag.load(Ordering::Relaxed)).filter(|lag| *lag >= 0));
        tokio::task::spawn_blocking(move || publisher.run(&mut generator, &lag, &quiet))
    };
    let showing = tokio::spawn(show::progress(Arc::clone(pipeline.site())));
    let director = {
        let (seconds, lag) = (args.seconds, pipeline.lag());
        tokio::spawn(async move {
            let over = async {
                match seconds {
                    Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                _ = asked.wait_for(|asked| *asked) => {}
            }
            quiet.store(true, Ordering::Relaxed);
            let published = match publishing.await {
                Ok(Ok(published)) => Some(published),
                Ok(Err(error)) => {
                    output::say(super::chain(&error));
                    None
                }
                Err(_) => None,
            };
            read_all(&lag).await;
            // The pipeline listens for as long as it runs.
            let _ = stop_in.send(true);
            published
        })
    };
    let running = Arc::clone(pipeline);
    let ended = run::with_http(pipeline, Some(args.listen), async move { running.run(Options::default(), stop).await });
    let ended = ended.await;
    showing.abort();
    quiet_too.store(true, Ordering::Relaxed);
    // An error is told at once; the publisher's thread ends by itself.
    let summary = ended?;
    let published = director.await.ok().flatten();
    Ok((summary, published))
}

/// Waits until nothing is unread, but not for ever.
async fn read_all(lag: &std::sync::atomic::AtomicI64) {
    for _ in 0..100 {
        // Twice the time in which the broker tells of its newest record.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if lag.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

/// Builds every module of the checkout that this binary was built from.
fn build_modules() -> Result<Vec<(String, PathBuf)>, super::Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transforms");
    let missing = |source| super::Error::Modules { folder: folder.clone(), source };
    let mut crates: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(missing)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    crates.sort();
    let mut modules = Vec::new();
    for path in crates {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        output::say(format_args!("building module {name}\n"));
        let built = build::build(&path, None)?;
        // The shop sells; nobody delivers in the demo.
        if built.manifest.inputs.iter().all(|input| input.topic == TOPIC) {
            modules.push((built.manifest.name, built.path));
        }
    }
    Ok(modules)
}

/// Writes the configuration beside the tables, for the commands that take one.
fn written(args: &DemoArgs, config: &str) -> Result<PathBuf, super::Error> {
    let path = args.lake.join("lakeward.toml");
    let written = std::fs::create_dir_all(&args.lake).and_then(|()| std::fs::write(&path, config));
    written.map_err(|source| super::Error::WriteConfig { path: path.clone(), source })?;
    Ok(path)
}

fn config(args: &DemoArgs, brokers: &str, incarnation: u32, modules: &[(String, PathBuf)], token: &str) -> String {
    use std::fmt::Write as _;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let quoted = |path: &Path| toml::Value::String(absolute(path).display().to_string()).to_string();
    let mut text = format!(
        "pipeline = 'demo'\n\
         [lake]\nlocation = {}\n\
         [kafka]\nbrokers = '{brokers}'\nmembership = 'alone'\n[kafka.properties]\n'fetch.wait.max.ms' = 10\n\
         [topics.{TOPIC}]\nincarnation = {incarnation}\n\
         [micro_batch]\nevery = '2s'\n[gold]\nevery = '2s'\n[serve]\nlisten = '{}'\n\
         [operators.demo]\ntoken = '{token}'\n",
        quoted(&args.lake),
        args.listen
    );
    for (name, path) in modules {
        writeln!(text, "[modules.{name}]\npath = {}", quoted(path)).expect("writing to a string cannot fail");
    }
    text
}
