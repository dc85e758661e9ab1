//! Measures events per CPU-second and peak memory, from a real Kafka to the table, stage by stage.
//!
//! Each stage runs in a process of its own, so that its CPU time and peak memory are its own.

mod alone;
mod native;
mod operation;
mod origins;
mod stages;

use anyhow::{Context, Result};
use clap::Parser;
use lakeward_tests::kafka::Kafka;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::retail;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the pipeline over the online-retail events, beside a plain native program.
#[derive(Debug, Parser)]
struct Arguments {
    /// A Kafka with the events in the topic `orders`; without it, one is started and filled
    #[arg(long)]
    brokers: Option<String>,
    /// How often the 541,909 events are published
    #[arg(long, default_value_t = 5)]
    repeat: u32,
    /// Partitions of the topic
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Rounds over all stages; the best of each is shown
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Run this one stage and print its figures as JSON
    #[arg(long)]
    stage: Option<String>,
    /// Measure the module alone, over decoded chunks of this many events in memory, without a broker
    #[arg(long, value_name = "EVENTS", num_args = 0..=1, default_missing_value = "8192")]
    module: Option<usize>,
    /// Measure what the origin columns of a row cost, in memory, without a broker
    #[arg(long)]
    origins: bool,
    /// Run so many micro-batches and show how their commits and the memory grow
    #[arg(long, value_name = "N")]
    commits: Option<u64>,
    /// Kill the pipeline under load, as often as there are rounds, and show how soon it commits again
    #[arg(long)]
    recovery: bool,
    /// Let a second instance join and leave under load, and show how long partitions stand still
    #[arg(long)]
    hand_over: bool,
    /// Make a lake with so many open groups and show how long a start over it takes
    #[arg(long, value_name = "N")]
    groups: Option<u64>,
    /// Events a second of the three before that
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
}

/// What a stage took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Figures {
    events: u64,
    rows: u64,
    cpu_seconds: f64,
    seconds: f64,
    peak_mib: f64,
    /// Nanoseconds an event in the module, where the stage has one.
    module_ns: Option<f64>,
}

/// The stages by name, and what each does.
const STAGES: [(&str, &str); 6] = [
    ("native", "(n) native: sonic-rs, the silver rule, Arrow builders, Parquet; no sandbox, no contract, no commit"),
    ("decode", "(a) consume and decode to columns"),
    ("wasm", "(b) + the module in its sandbox"),
    ("silver", "(c) + contract, Parquet and exactly-once commit"),
    ("silver-by-day", "(c) the same, partitioned by day"),
    ("gold", "(d) + gold aggregates, state and gold tables"),
];

fn main() -> ExitCode {
    lakeward::memory::use_small_pages();
    let name = std::env::args_os().next();
    if name.as_deref().and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == operation::PRODUCT) {
        return lakeward::cli::main();
    }
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(events) = arguments.module {
        return alone::run(events, arguments.rounds);
    }
    if arguments.origins {
        return origins::run(arguments.rounds);
    }
    if let Some(commits) = arguments.commits {
        return operation::commits(commits, arguments.rate);
    }
    if let Some(count) = arguments.groups {
        return operation::groups(count);
    }
    if arguments.recovery {
        return operation::recovery(arguments.rounds, arguments.rate);
    }
    if arguments.hand_over {
        return operation::hand_over(arguments.rate);
    }
    if let (Some(stage), Some(brokers)) = (&arguments.stage, &arguments.brokers) {
        println!("{}", serde_json::to_string(&measure(stage, brokers)?)?);
        return Ok(());
    }
    let kafka = match &arguments.brokers {
        Some(_) => None,
        None => Some(filled(arguments)?),
    };
    let brokers = arguments.brokers.clone().or_else(|| kafka.as_ref().map(Kafka::bootstrap)).context("no broker")?;
    let mut best: Vec<Option<Figures>> = vec![None; STAGES.len()];
    // Round by round rather than stage by stage: a busy minute then hits all stages alike.
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for ((stage, _), best) in STAGES.iter().zip(&mut best) {
            let figures = in_a_process(stage, &brokers)?;
            if best.is_none_or(|best| figures.cpu_seconds < best.cpu_seconds) {
                *best = Some(figures);
            }
        }
    }
    show(&best);
    Ok(())
}

/// A broker with the events in its topic.
fn filled(arguments: &Arguments) -> Result<Kafka> {
    eprintln!("starting Kafka");
    let kafka = Kafka::prepare()?;
    kafka.start()?;
    kafka.create(retail::TOPIC, arguments.partitions)?;
    let events = retail::events(usize::MAX)?;
    eprintln!("publishing {} events", events.len() * arguments.repeat as usize);
    let producer = Producer::new(&kafka.bootstrap())?;
    for round in 0..arguments.repeat {
        let messages: Vec<Message> = events.iter().map(|event| later(event.message(), round)).collect();
        producer.send(retail::TOPIC, messages)?;
    }
    Ok(kafka)
}

/// The event, two years later for each round: time goes on, and nothing is late.
fn later(mut message: Message, round: u32) -> Message {
    const DATE: &[u8] = b"\"InvoiceDate\":\"";
    if let Some(value) = &mut message.value
        && let Some(at) = value.windows(DATE.len()).position(|window| window == DATE).map(|at| at + DATE.len())
        && let Some(year) = value.get(at..at + 4).and_then(|year| std::str::from_utf8(year).ok()?.parse::<u32>().ok())
    {
        value[at..at + 4].copy_from_slice((year + 2 * round).to_string().as_bytes());
    }
    message
}

fn in_a_process(stage: &str, brokers: &str) -> Result<Figures> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--stage", stage, "--brokers", brokers])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "stage {stage} failed");
    serde_json::from_slice(&output.stdout).with_context(|| format!("stage {stage} printed no figures"))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn measure(stage: &str, brokers: &str) -> Result<Figures> {
    let module = stages::module()?;
    let (started, before) = (Instant::now(), cpu_seconds());
    let done = match stage {
        "native" => native::run(brokers)?,
        "decode" => stages::decode(brokers, None)?,
        "wasm" => stages::decode(brokers, Some(&module))?,
        "silver" => stages::pipeline(brokers, module, stages::Shape::Silver)?,
        "silver-by-day" => stages::pipeline(brokers, module, stages::Shape::SilverByDay)?,
        "gold" => stages::pipeline(brokers, module, stages::Shape::Gold)?,
        other => anyhow::bail!("there is no stage {other}"),
    };
    Ok(Figures {
        events: done.events,
        rows: done.rows,
        cpu_seconds: cpu_seconds() - before,
        seconds: started.elapsed().as_secs_f64(),
        peak_mib: peak_mib()?,
        module_ns: done.module_ns,
    })
}

/// What a stage did.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    events: u64,
    rows: u64,
    module_ns: Option<f64>,
}

/// CPU time of this process, all threads, kernel included.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    float(u64::try_from(time.tv_sec).unwrap_or(0)) + float(u64::try_from(time.tv_nsec).unwrap_or(0)) / 1e9
}

/// The largest resident set so far, as the kernel counts it.
fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 53 bits are enough")]
fn float(count: u64) -> f64 {
    count as f64
}

fn show(best: &[Option<Figures>]) {
    let per_cpu_second = |figures: &Figures| float(figures.events) / figures.cpu_seconds;
    let native = best.first().copied().flatten().map_or(f64::NAN, |figures| per_cpu_second(&figures));
    println!(
        "{:>14} {:>8} {:>10} {:>9} {:>9} {:>10}  stage",
        "events/CPU-s", "of (n)", "ns/event", "events/s", "peak MiB", "module ns"
    );
    for ((_, what), figures) in STAGES.iter().zip(best) {
        let Some(figures) = figures else { continue };
        let rate = per_cpu_second(figures);
        println!(
            "{rate:>14.0} {:>8.2} {:>10.0} {:>9.0} {:>9.0} {:>10}  {what}",
            rate / native,
            1e9 / rate,
            float(figures.events) / figures.seconds,
            figures.peak_mib,
            figures.module_ns.map_or_else(String::new, |ns| format!("{ns:.0}")),
        );
    }
}
