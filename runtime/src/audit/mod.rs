//! An audit: whether the tables of a pipeline hold every record once, and gold and live answers are what silver adds up to.
//!
//! ```text
//! gold tables        ─┐ opened in this order, each at its newest version: so what a table says is in those opened after it,
//! commits table       │ whatever a running pipeline commits meanwhile. The cut goes through the offsets: up to the end of the
//! state, dead letters │ commits table's ranges everything must be accounted for, up to a gold table's own offsets its groups must
//! silver, bronze      ─┘ be those of silver; what lies beyond is open.
//! ```
//!
//! Nothing is written, and of the stages only what reads tables and topics is used: the verdict does not stand on the code that it judges.

mod answers;
mod bronze;
mod cell;
mod chain;
mod counts;
mod error;
mod gold;
mod ledger;
mod letters;
mod live;
mod offsets;
mod origins;
mod progress;
mod recount;
mod regroup;
mod report;
mod rows;
mod silver;
mod subject;
mod topics;
mod total;

pub use error::Error;
pub use report::{Check, Outcome, Report};
pub use rows::first_at_or_behind;
pub use subject::{Gold, Silver, Subjects};
pub use topics::{Log, Logs, Recreated, Topics, ask, client};

use crate::checkpoint::{Checkpoint, SourcePartition};
use crate::config::Config;
use crate::sink::redrives::REDRIVES;
use crate::sink::{self, Snapshot, Warehouse, system};
use ledger::Ledger;
use letters::Letters;
use live::Live;
use offsets::{Feeder, Standing};
use progress::Progress;
use regroup::Regrouped;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an audit looks at.
pub struct Audit<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The lake.
    pub lake: &'a Warehouse,
    /// What the modules write.
    pub subjects: &'a Subjects,
    /// The address of a running server; without one the configured address is tried.
    pub server: Option<&'a str>,
}

/// A table with its own offsets.
struct Opened {
    table: Snapshot,
    offsets: Checkpoint,
}

/// All tables, each opened after those that may not be ahead of it.
struct Tables {
    golds: Vec<Option<Opened>>,
    commits: Opened,
    states: Vec<Option<Opened>>,
    letters: Option<Opened>,
    silver: Vec<Option<Opened>>,
    /// By topic whose records are kept.
    bronze: Vec<(Arc<str>, Option<Opened>)>,
    /// What somebody asked of dead letters.
    requests: Option<Snapshot>,
    ledger: Ledger,
}

impl Audit<'_> {
    /// Checks everything. `tell` hears every few seconds how far it is.
    ///
    /// # Errors
    /// When the lake cannot be read.
    pub async fn run(&self, tell: &mut dyn FnMut(&str)) -> Result<Report, Error> {
        let tables = self.open().await?;
        let mut checks = self.offsets(&tables).await?;
        let all = tables.all();
        let files = all.iter().map(|opened| opened.table.parts().len() as u64).sum();
        let rows = all.iter().flat_map(|opened| opened.table.parts()).map(|part| part.rows).sum();
        let mut progress = Progress::new(files, rows, tell);
        self.records(&tables, &mut progress, &mut checks).await?;
        self.live(&mut checks).await?;
        Ok(Report::new(&self.config.pipeline, checks))
    }

    async fn open(&self) -> Result<Tables, Error> {
        let mut golds = Vec::new();
        for gold in &self.subjects.golds {
            golds.push(self.snapshot(&gold.table()).await?);
        }
        let no_lake = || Error::NoLake { location: self.config.lake.location.clone() };
        let commits = self.snapshot(system::COMMITS).await?.ok_or_else(no_lake)?;
        let mut ledger = Ledger::read(&commits).await?;
        let mut states = Vec::new();
        for gold in &self.subjects.golds {
            states.push(self.snapshot(&gold.state_table()).await?);
        }
        let letters = self.snapshot(system::DEAD_LETTERS).await?;
        let mut silver = Vec::new();
        for product in &self.subjects.silver {
            silver.push(self.snapshot(&product.table()).await?);
        }
        let mut bronze = Vec::new();
        for topic in self.subjects.topics() {
            if self.config.topics.get(&*topic).is_some_and(|settings| settings.bronze) {
                bronze.push((Arc::clone(&topic), self.snapshot(&sink::bronze::path(&topic)).await?));
            }
        }
        let requests = self.snapshot(REDRIVES).await?;
        let mut known: BTreeSet<SourcePartition> = ledger.chains.keys().cloned().collect();
        let modules = || self.subjects.modules.iter().map(|module| &module.name);
        known.extend(ledger.chains.keys().flat_map(|partition| modules().map(|module| partition.of_reader(module))));
        let silver = with_offsets(silver, &known).await?;
        let (kept, bronze): (Vec<_>, Vec<_>) = bronze.into_iter().unzip();
        let starts = ledger.chains.keys().map(sink::bronze::start_of);
        let bronze = with_offsets(bronze, &ledger.chains.keys().cloned().chain(starts).collect()).await?;
        silver.iter().flatten().for_each(|opened| ledger.note_standing(opened.table.path(), &opened.offsets));
        Ok(Tables {
            golds: with_offsets(golds, &known).await?,
            commits: Opened { offsets: commits.offsets(&known).await?, table: commits },
            states: with_offsets(states, &known).await?,
            letters: with_offsets(vec![letters], &known).await?.pop().flatten(),
            silver,
            bronze: kept.into_iter().zip(bronze).collect(),
            requests,
            ledger,
        })
    }

    async fn snapshot(&self, path: &str) -> Result<Option<Snapshot>, Error> {
        Ok(Snapshot::open(self.lake, &self.config.pipeline, path, None).await?)
    }

    /// How far the tables are, among each other and in their topics.
    async fn offsets(&self, tables: &Tables) -> Result<Vec<Check>, Error> {
        let ledger = &tables.ledger;
        let commits = &tables.commits.offsets;
        let gone = self.gone(tables).await?;
        let missing = |path: String| offsets::of_missing(&path, gone.get(&path).copied());
        let table = |path: String, feeder: Feeder<'_>, opened: &Option<Opened>| match opened {
            Some(opened) => offsets::of_table(&path, feeder, ledger, commits, &opened.offsets),
            None => missing(path),
        };
        let mut checks = vec![offsets::of_commits(ledger, commits)];
        for (silver, opened) in self.subjects.silver.iter().zip(&tables.silver) {
            checks.push(table(silver.table(), Feeder::Module(&silver.module, &silver.topic), opened));
        }
        checks.push(table(system::DEAD_LETTERS.to_owned(), Feeder::All, &tables.letters));
        for ((gold, state), opened) in self.subjects.golds.iter().zip(&tables.states).zip(&tables.golds) {
            let feeder = Feeder::Module(&self.subjects.silver[gold.from].module, self.subjects.topic_of(gold));
            checks.push(table(gold.state_table(), feeder, state));
            checks.push(match (opened, state) {
                (Some(opened), Some(state)) => offsets::of_gold(&gold.table(), &opened.offsets, &state.offsets),
                _ => missing(gold.table()),
            });
        }
        for (topic, opened) in &tables.bronze {
            checks.push(table(sink::bronze::path(topic), Feeder::Records(topic), opened));
        }
        let topics = self.subjects.topics();
        let (config, names) = (self.config.clone(), topics.clone());
        // The logs come last, so that they hold at least what the tables have of them.
        let asked = tokio::task::spawn_blocking(move || topics::ask(&config, names.iter().map(|name| &**name)));
        let found = asked.await.unwrap_or_default();
        let stored = tables.topic_ids();
        let kept = |topic: &str| tables.bronze.iter().find(|(of, _)| **of == *topic)?.1.as_ref();
        let kept = |topic: &str| kept(topic).map(|opened| &opened.offsets);
        let topic = |topic: &Arc<str>| {
            let readers = self.subjects.modules.iter().filter(|module| module.topics.contains(topic));
            let readers: Vec<&str> = readers.map(|module| module.name.as_str()).collect();
            let standing = Standing { commits, readers: &readers };
            offsets::of_topic(topic, ledger, standing, &found, &stored, kept(topic))
        };
        checks.extend(topics.iter().map(topic));
        Ok(checks)
    }

    /// Tables that are not there and were in a micro-batch, with its number. Gold tables are opened before the commits table, so one that was
    /// not there may be by now.
    async fn gone(&self, tables: &Tables) -> Result<BTreeMap<String, i64>, Error> {
        let subjects = self.subjects;
        let silver = subjects.silver.iter().map(Silver::table).zip(&tables.silver);
        let states = subjects.golds.iter().map(Gold::state_table).zip(&tables.states);
        let golds = subjects.golds.iter().map(Gold::table).zip(&tables.golds);
        let bronze = tables.bronze.iter().map(|(topic, opened)| (sink::bronze::path(topic), opened));
        let letters = [(system::DEAD_LETTERS.to_owned(), &tables.letters)];
        let all = silver.chain(states).chain(golds).chain(bronze).chain(letters);
        let mut gone = BTreeMap::new();
        for (path, _) in all.filter(|(_, opened)| opened.is_none()) {
            if let Some(micro_batch) = tables.ledger.newest_with(&path)
                && self.snapshot(&path).await?.is_none()
            {
                gone.insert(path, micro_batch);
            }
        }
        Ok(gone)
    }

    /// Every record and every group.
    async fn records(
        &self,
        tables: &Tables,
        progress: &mut Progress<'_>,
        checks: &mut Vec<Check>,
    ) -> Result<(), Error> {
        let mut letters = Letters::default();
        if let Some(opened) = &tables.letters {
            letters = Letters::read(&opened.table, &opened.offsets, self.subjects, progress).await?;
            checks.push(letters.check(&opened.table));
            checks.extend(letters.check_answers(&opened.table));
            if let Some(requests) = &tables.requests {
                letters.answers.read_unsettled(requests, &opened.offsets).await?;
            }
        }
        let (mut found, mut verdicts) = (Vec::new(), Vec::new());
        for (index, (silver, opened)) in self.subjects.silver.iter().zip(&tables.silver).enumerate() {
            let Some(opened) = opened else {
                found.push(silver::Found::default());
                continue;
            };
            let golds: Vec<usize> = self.subjects.golds_of(index).collect();
            let fresh = |gold: &usize| {
                let product = &self.subjects.golds[*gold];
                let late = letters.late.get(&product.path).cloned().unwrap_or_default();
                let ahead = letters.ahead.get(&product.path).cloned().unwrap_or_default();
                let offsets = |opened: &Option<Opened>| opened.as_ref().map(|opened| opened.offsets.clone());
                let own = offsets(&tables.golds[*gold]).unwrap_or_default();
                let cut = regroup::cut(&own, &offsets(&tables.states[*gold]).unwrap_or_default());
                let late = late.without(&letters.answers.restated(&product.path, &cut));
                let hidden = letters.answers.not_in_gold(&silver.module, &silver.topic, &cut);
                Regrouped::new(silver, product, &cut, [late, ahead], hidden)
            };
            let mut fresh: Vec<Regrouped<'_>> = golds.iter().map(fresh).collect();
            let redriven = letters.answers.set_aside(&silver.module, &silver.topic);
            let reading = silver::Reading {
                table: &opened.table,
                silver,
                offsets: &opened.offsets,
                ledger: &tables.ledger,
                redriven: &redriven,
            };
            let held = reading.read(&mut fresh, progress).await?;
            reading.read_again(&mut fresh, progress).await?;
            checks.push(held.check(&opened.table));
            found.push(held);
            for (gold, fresh) in golds.into_iter().zip(fresh) {
                if let Some(opened) = &tables.golds[gold] {
                    verdicts.push(gold::check(&self.subjects.golds[gold], &opened.table, fresh, progress).await?);
                }
            }
        }
        self.bronze(tables, &found, &letters, progress, checks).await?;
        checks.extend(counts::Counting::new(self.subjects, &tables.ledger, &found, &letters).checks());
        checks.extend(verdicts);
        Ok(())
    }

    /// Every record as it was read.
    async fn bronze(
        &self,
        tables: &Tables,
        found: &[silver::Found],
        letters: &Letters,
        progress: &mut Progress<'_>,
        checks: &mut Vec<Check>,
    ) -> Result<(), Error> {
        let mut read = Vec::new();
        for (topic, opened) in &tables.bronze {
            if let Some(opened) = opened {
                read.push(bronze::Bronze::read(topic, opened, &tables.ledger, progress).await?);
            }
        }
        checks.extend(read.iter().map(|bronze| bronze.check(self.subjects, found, letters)));
        if !read.is_empty() {
            checks.push(bronze::counts(&read, self.subjects, &tables.ledger));
        }
        Ok(())
    }

    /// What a server answers, if there is one.
    async fn live(&self, checks: &mut Vec<Check>) -> Result<(), Error> {
        let configured = self.config.serve.listen.map(|address| format!("http://{address}"));
        let Some(server) = self.server.map(str::to_owned).or(configured) else {
            let golds = self.subjects.golds.iter();
            checks.extend(golds.map(|gold| Check::not_checked("live", &gold.path, "no server")));
            return Ok(());
        };
        let server = server.trim_end_matches('/');
        let is_there = live::answers(server).await;
        let live = Live { server, lake: self.lake, pipeline: &self.config.pipeline };
        for gold in &self.subjects.golds {
            checks.push(if is_there {
                live.check(&self.subjects.silver[gold.from], gold).await?
            } else {
                Check::not_checked("live", &gold.path, format!("no server answers at {server}"))
            });
        }
        Ok(())
    }
}

impl Tables {
    fn all(&self) -> Vec<&Opened> {
        let products = self.silver.iter().chain(&self.golds).chain([&self.letters]);
        products.chain(self.bronze.iter().map(|(_, opened)| opened)).flatten().collect()
    }

    /// The ids of the topics that the tables stand in, as far as they say.
    fn topic_ids(&self) -> BTreeMap<String, String> {
        let all = self.all().into_iter().chain([&self.commits]).chain(self.states.iter().flatten());
        all.flat_map(|opened| opened.table.topic_ids().clone()).collect()
    }
}

async fn with_offsets(
    tables: Vec<Option<Snapshot>>,
    known: &BTreeSet<SourcePartition>,
) -> Result<Vec<Option<Opened>>, Error> {
    let mut opened = Vec::with_capacity(tables.len());
    for table in tables {
        opened.push(match table {
            Some(table) => Some(Opened { offsets: table.offsets(known).await?, table }),
            None => None,
        });
    }
    Ok(opened)
}
