//! What running costs over time: commits that do not grow slower, a start after a SIGKILL, partitions that change hands.
//!
//! A real Kafka, the real binary in processes of its own, and a steady flow of events.

use crate::{float, stages};
use anyhow::{Context, Result, ensure};
use lakeward_tests::config::Config;
use lakeward_tests::instance::Instance;
use lakeward_tests::kafka::Kafka;
use lakeward_tests::produce::{Message, Producer};
use lakeward_tests::{broker, retail, wait};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// The name under which this program is the product itself.
pub(crate) const PRODUCT: &str = "lakeward";

const PARTITIONS: i32 = 8;
const LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Events are sent so often, a share of a second's at a time.
const SEND_EVERY: Duration = Duration::from_millis(50);

/// Runs `commits` micro-batches of 100 ms, and shows how long their commits take and how much memory the process has; then how long a
/// start takes over that lake.
pub(crate) fn commits(commits: u64, rate: u32) -> Result<()> {
    let mut world = World::start(rate, "100ms")?;
    let mut instance = world.instance()?;
    println!("{:>8} {:>12} {:>12} {:>10}", "commit", "median ms", "largest ms", "MiB");
    let mut marks: Vec<u64> = [100, 500, 1_000, 2_000, 5_000, 10_000].into_iter().filter(|at| *at <= commits).collect();
    let mut recent = Vec::new();
    let mut last = 0;
    while let Some(mark) = marks.first().copied() {
        wait::moment(LOOK_EVERY);
        let Some(status) = status(&instance) else { continue };
        let number = status["commits"]["micro_batch"].as_u64().unwrap_or(0);
        if number == last {
            continue;
        }
        last = number;
        recent.push(status["commits"]["seconds"].as_f64().unwrap_or(0.0) * 1000.0);
        if number >= mark {
            let from = recent.len().saturating_sub(50);
            let (median, largest) = median_and_largest(&mut recent[from..]);
            println!("{number:>8} {median:>12.1} {largest:>12.1} {:>10.0}", resident_mib(&instance)?);
            recent.clear();
            marks.remove(0);
        }
    }
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    let started = wait::now();
    instance = world.instance()?;
    println!("ready again after {last} commits: {:.2} s", started.elapsed().as_secs_f64());
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    world.end()
}

/// Kills the pipeline under load, `rounds` times, and shows how long it takes from the next start to the first new commit.
pub(crate) fn recovery(rounds: u32, rate: u32) -> Result<()> {
    let mut world = World::start(rate, "1s")?;
    let mut seconds = Vec::new();
    for _ in 0..rounds.max(1) {
        let mut instance = world.instance()?;
        let before = wait_for_commits(&mut instance, 3)?;
        wait::moment(Duration::from_millis(700));
        instance.kill()?;
        let started = wait::now();
        let mut instance = world.instance()?;
        wait_for_commits(&mut instance, 1)?;
        seconds.push(started.elapsed().as_secs_f64());
        ensure!(micro_batch(&instance)? > before, "the new commit is none");
        instance.kill()?;
    }
    let (median, largest) = median_and_largest(&mut seconds);
    println!(
        "from a start after SIGKILL at {rate} events/s to the first new commit: median {median:.2} s, largest {largest:.2} s"
    );
    world.end()
}

/// Lets a second instance join and leave under load, and shows how long each partition stood still.
pub(crate) fn hand_over(rate: u32) -> Result<()> {
    let mut world = World::start(rate, "1s")?;
    let mut first = world.instance()?;
    wait_for_commits(&mut first, 2)?;
    let second = world.spawn()?;
    let stalls = stalls(&[&first, &second], Duration::from_secs(15))?;
    show_stalls("a second instance joins", &stalls);
    let leaving = std::thread::spawn(move || second.terminate());
    let stalls = self::stalls(&[&first], Duration::from_secs(15))?;
    show_stalls("it leaves by SIGTERM", &stalls);
    let status = leaving.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
    ensure!(status.success(), "the second instance did not end well");
    ensure!(first.terminate()?.success(), "the first instance did not end well");
    world.end()
}

/// Makes a lake with `count` open groups, and shows how long a start over it takes, until it is ready and until it has answered.
pub(crate) fn groups(count: u64) -> Result<()> {
    let mut world = World::start(0, "1s")?;
    let mut instance = world.instance()?;
    world.send_products(count)?;
    instance.wait_for(LIMIT * 5, "all groups to be committed", |instance| {
        let status = instance.get("/v1/status")?.json()?;
        Ok((status["commits"]["total"]["records"].as_u64() == Some(count)).then_some(()))
    })?;
    println!("{count} groups: {:.0} MiB", resident_mib(&instance)?);
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    let started = wait::now();
    let instance = world.instance()?;
    let ready = started.elapsed().as_secs_f64();
    let answer = instance.get("/v1/products/retail/top_products/rows?order=-lines&limit=3")?.json()?;
    ensure!(answer["total"].as_u64() == Some(count), "an answer about {} groups", answer["total"]);
    let answered = started.elapsed().as_secs_f64();
    println!("started again: ready in {ready:.2} s, answered in {answered:.2} s, {:.0} MiB", resident_mib(&instance)?);
    ensure!(instance.terminate()?.success(), "the pipeline did not end well");
    world.end()
}

/// The longest time for which each partition was not read on, in seconds, looked at for `length`.
fn stalls(instances: &[&Instance], length: Duration) -> Result<BTreeMap<i64, f64>> {
    let begun = wait::now();
    let mut seen: BTreeMap<i64, (i64, f64, f64)> = BTreeMap::new();
    while begun.elapsed() < length {
        wait::moment(LOOK_EVERY);
        let now = begun.elapsed().as_secs_f64();
        for instance in instances {
            let Some(status) = status(instance) else { continue };
            for partition in status["topics"][0]["partitions"].as_array().into_iter().flatten() {
                let number = |name: &str| partition[name].as_i64().unwrap_or(-1);
                let (next, since, longest) = seen.entry(number("partition")).or_insert((-1, now, 0.0));
                if number("next_offset") > *next {
                    *longest = longest.max(now - *since);
                    (*next, *since) = (number("next_offset"), now);
                }
            }
        }
    }
    let end = begun.elapsed().as_secs_f64();
    Ok(seen.into_iter().map(|(partition, (_, since, longest))| (partition, longest.max(end - since))).collect())
}

fn show_stalls(what: &str, stalls: &BTreeMap<i64, f64>) {
    let longest = stalls.values().copied().fold(0.0, f64::max);
    let each: Vec<String> = stalls.values().map(|seconds| format!("{seconds:.1}")).collect();
    println!("{what}: no partition stood still for longer than {longest:.1} s (by partition: {})", each.join(" "));
}

/// Waits for so many commits from now on; gives the number of the last.
fn wait_for_commits(instance: &mut Instance, count: i64) -> Result<i64> {
    let mut last = (-1, -1);
    instance.wait_for(LIMIT, "a commit", |instance| {
        // On a busy machine an answer may fail to come.
        let Some(status) = instance.get("/v1/status").ok().and_then(|answer| answer.json().ok()) else {
            return Ok(None);
        };
        let records = status["commits"]["total"]["records"].as_i64().unwrap_or(0);
        if records > last.1 {
            last = (last.0 + 1, records);
        }
        let micro_batch = status["commits"]["micro_batch"].as_i64().unwrap_or(0);
        Ok((last.0 >= count).then_some(micro_batch))
    })
}

/// What the instance says of itself; one that starts, ends, or has too much to do may not answer.
fn status(instance: &Instance) -> Option<Value> {
    instance.get("/v1/status").ok()?.json().ok()
}

fn micro_batch(instance: &Instance) -> Result<i64> {
    let status: Value = instance.get("/v1/status")?.json()?;
    status["commits"]["micro_batch"].as_i64().context("no micro-batch")
}

fn resident_mib(instance: &Instance) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", instance.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(float(kib) / 1024.0)
}

fn median_and_largest(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values.get(values.len() / 2).copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0))
}

/// A broker with a steady flow of events, and a lake.
struct World {
    folder: TempDir,
    config: Config,
    binary: PathBuf,
    starts: u32,
    stop: Arc<AtomicBool>,
    flow: JoinHandle<Result<()>>,
    kafka: Kafka,
}

impl World {
    fn start(rate: u32, every: &str) -> Result<Self> {
        stages::module()?;
        let kafka = Kafka::prepare()?;
        kafka.start()?;
        kafka.create(retail::TOPIC, PARTITIONS)?;
        let folder = tempfile::tempdir()?;
        let binary = folder.path().join(PRODUCT);
        std::os::unix::fs::symlink(std::env::current_exe()?, &binary).context("giving this program its other name")?;
        let mut config = Config::default();
        config.text("", "pipeline", "operation").text("kafka", "brokers", &kafka.bootstrap());
        config.text("lake", "location", &folder.path().join("lake").display().to_string());
        config.text("micro_batch", "every", every).module("retail", &stages::component());
        let stop = Arc::new(AtomicBool::new(false));
        let flow = {
            let (bootstrap, stop) = (kafka.bootstrap(), Arc::clone(&stop));
            std::thread::spawn(move || flow(&bootstrap, rate, &stop))
        };
        Ok(Self { folder, config, binary, starts: 0, stop, flow, kafka })
    }

    /// Starts an instance, and waits until it works.
    fn instance(&mut self) -> Result<Instance> {
        let mut instance = self.spawn()?;
        instance.wait_ready()?;
        Ok(instance)
    }

    /// Sends one sale of each of `count` products, all on one day.
    fn send_products(&self, count: u64) -> Result<()> {
        let producer = Producer::new(&self.kafka.bootstrap())?;
        for from in (0..count).step_by(50_000) {
            let messages = (from..count.min(from + 50_000)).map(|number| {
                let event = format!(
                    r#"{{"seq":{number},"InvoiceNo":"{number}","StockCode":"P{number}","Description":"LANTERN","Quantity":1,"InvoiceDate":"2011-06-01 12:00:00","UnitPrice":1.5,"CustomerID":null,"Country":"France"}}"#
                );
                Message::keyed(&number.to_string(), event)
            });
            producer.send(retail::TOPIC, messages)?;
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<Instance> {
        self.starts += 1;
        let listen = format!("127.0.0.1:{}", broker::free_port()?);
        self.config.text("serve", "listen", &listen);
        let path = self.folder.path().join(format!("lakeward-{}.toml", self.starts));
        std::fs::write(&path, self.config.toml())?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(path);
        Instance::start(&mut command, &listen, &self.folder.path().join(format!("{}.log", self.starts)))
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.flow.join().map_err(|_| anyhow::anyhow!("the flow of events panicked"))?
    }
}

/// Sends `rate` events a second until it is told to stop; the events repeat, two years later each time.
fn flow(bootstrap: &str, rate: u32, stop: &AtomicBool) -> Result<()> {
    let producer = Producer::new(bootstrap)?;
    let events = retail::events(usize::MAX)?;
    let (begun, mut sent) = (wait::now(), 0_usize);
    while !stop.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_millis() * u128::from(rate) / 1000;
        let count = usize::try_from(due)?.saturating_sub(sent).min(rate as usize);
        let messages: Vec<Message> = (sent..sent + count)
            .map(|number| {
                let round = u32::try_from(number / events.len()).unwrap_or(0);
                crate::later(events[number % events.len()].message(), round)
            })
            .collect();
        producer.send(retail::TOPIC, messages)?;
        sent += count;
        wait::moment(SEND_EVERY);
    }
    Ok(())
}
