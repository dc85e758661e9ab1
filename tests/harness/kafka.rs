//! A real Apache Kafka, fetched from Maven Central and started by the harness.

use crate::broker::{Broker, answers, free_port};
use crate::process::Leashed;
use crate::{cache, command, wait};
use anyhow::{Context, Result, bail};
use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

const VERSION: &str = "4.4.0";
/// Any 16 bytes in URL-safe base64 will do: the cluster is alone.
const CLUSTER_ID: &str = "bGFrZXdhcmQtdGVzdHMtMQ";
/// A busy machine with two cores needs 5 s.
const START_LIMIT: Duration = Duration::from_secs(90);
const ADMIN_LIMIT: Duration = Duration::from_secs(30);

/// One broker, its own controller (`KRaft`), on ports and in a folder of its own.
pub struct Kafka {
    home: PathBuf,
    folder: TempDir,
    port: u16,
    process: Mutex<Option<Leashed>>,
    /// Topics that a case works with right now.
    taken: Mutex<BTreeSet<String>>,
    released: Condvar,
}

impl Kafka {
    /// Prepares a broker that is not started yet; fetches Kafka first where the cache has none.
    ///
    /// # Errors
    /// When Kafka cannot be fetched or the folder not written.
    pub fn prepare() -> Result<Self> {
        let home = cache::folder(&format!("kafka-{VERSION}"), fetch)?;
        let folder = tempfile::Builder::new().prefix("lakeward-kafka-").tempdir()?;
        copy_folder(&home.join("formatted"), &folder.path().join("data"))?;
        let port = free_port()?;
        fs::write(
            folder.path().join("server.properties"),
            properties(port, free_port()?, &folder.path().join("data")),
        )?;
        Ok(Self { home, folder, port, process: Mutex::new(None), taken: Mutex::default(), released: Condvar::new() })
    }

    /// Starts the broker and waits until it answers. It can be stopped and started again; its topics stay.
    ///
    /// # Errors
    /// When it does not come up; with the end of its log.
    pub fn start(&self) -> Result<()> {
        let log = self.folder.path().join("kafka.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut java = java(&self.home);
        java.arg(format!("-Dkafka.logs.dir={}", self.folder.path().join("logs").display()))
            .arg("kafka.Kafka")
            .arg(self.folder.path().join("server.properties"))
            .stdin(std::process::Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut process = Leashed::spawn(&mut java)?;
        wait::until_true(START_LIMIT, "Kafka to answer", || {
            if let Some(status) = process.ended()? {
                bail!("Kafka ended ({status}): {}", command::tail(&fs::read_to_string(&log)?, 30));
            }
            Ok(answers(&self.bootstrap()))
        })?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    /// Stops the broker at once.
    pub fn stop(&self) {
        // Dropping the process kills it.
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The broker's address, also while it is not running.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn create(&self, topic: &str, partitions: i32) -> Result<()> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        // A topic that was just deleted may still be known for a moment.
        wait::until_true(ADMIN_LIMIT, "a topic to be created", || {
            let results = block_on(self.admin()?.create_topics([&new], &options()))?;
            match results.into_iter().next().context("an answer without a result")? {
                Ok(_) => Ok(true),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
                Err((topic, code)) => bail!("creating topic {topic}: {code}"),
            }
        })
    }

    /// Deletes a topic with its records.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete(&self, topic: &str) -> Result<()> {
        let results = block_on(self.admin()?.delete_topics(&[topic], &options()))?;
        match results.into_iter().next().context("an answer without a result")? {
            Ok(_) => Ok(()),
            Err((topic, code)) => bail!("deleting topic {topic}: {code}"),
        }
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let deleted = block_on(self.admin()?.delete_records(&list, &options()))?;
        for of in deleted.elements() {
            of.error().with_context(|| format!("deleting records of {topic}/{partition}"))?;
        }
        Ok(())
    }

    /// Raises the number of a topic's partitions to `total`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn add_partitions(&self, topic: &str, total: usize) -> Result<()> {
        let results = block_on(self.admin()?.create_partitions([&NewPartitions::new(topic, total)], &options()))?;
        match results.into_iter().next().context("an answer without a result")? {
            Ok(_) => Ok(()),
            Err((topic, code)) => bail!("adding partitions to {topic}: {code}"),
        }
    }

    /// The client ids of a group's members, dead ones that nobody has missed yet among them.
    ///
    /// # Errors
    /// When the broker does not say.
    pub fn members(&self, group: &str) -> Result<Vec<String>> {
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", self.bootstrap()).create()?;
        let groups = client.fetch_group_list(Some(group), ADMIN_LIMIT)?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        Ok(members.map(|member| member.client_id().to_owned()).collect())
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", self.bootstrap()).create()?)
    }
}

/// The shared broker as one case sees it. A module's topic has a fixed name, so cases that use one name take turns;
/// each finds it empty.
pub struct Turn {
    kafka: Arc<Kafka>,
    topics: Mutex<Vec<String>>,
}

impl Turn {
    /// A case's view of `kafka`.
    #[must_use]
    pub fn new(kafka: Arc<Kafka>) -> Self {
        Self { kafka, topics: Mutex::default() }
    }
}

impl Broker for Turn {
    fn bootstrap(&self) -> String {
        self.kafka.bootstrap()
    }

    fn create_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let taken = self.kafka.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self
            .kafka
            .released
            .wait_while(taken, |taken| taken.contains(topic))
            .unwrap_or_else(PoisonError::into_inner);
        taken.insert(topic.to_owned());
        drop(taken);
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push(topic.to_owned());
        self.kafka.create(topic, partitions)
    }

    fn partition_bytes(&self) -> u64 {
        u64::MAX
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut *self.topics.lock().unwrap_or_else(PoisonError::into_inner));
        for topic in topics {
            // The next case says so if the topic is still there.
            let _ = self.kafka.delete(&topic);
            self.kafka.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&topic);
        }
        self.kafka.released.notify_all();
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ADMIN_LIMIT)).request_timeout(Some(ADMIN_LIMIT))
}

/// Puts the jars in `libs` and a formatted, empty data folder in `formatted`: copying it saves two seconds a broker.
fn fetch(home: &Path) -> Result<()> {
    fs::write(home.join("pom.xml"), include_str!("kafka/pom.xml"))?;
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libs"]);
    command::output(maven.current_dir(home))?;
    let settings = home.join("format.properties");
    fs::write(&settings, properties(1, 2, &home.join("formatted")))?;
    let mut format = java(home);
    format.arg("kafka.tools.StorageTool").args(["format", "--cluster-id", CLUSTER_ID, "-c"]).arg(&settings);
    command::output(&mut format)?;
    Ok(())
}

/// Java with Kafka's classes; small and quick to start rather than fast in the long run.
fn java(home: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(home.join("libs").join("*"));
    java
}

/// Records of long ago stay: only what a case deletes is gone.
fn properties(port: u16, controller_port: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n\
         log.retention.ms=-1\n\
         auto.create.topics.enable=false\n\
         message.max.bytes=16777216\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=500\n\
         group.consumer.heartbeat.interval.ms=1000\n\
         group.consumer.min.heartbeat.interval.ms=500\n",
        data.display()
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
