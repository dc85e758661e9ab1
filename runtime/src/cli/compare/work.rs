//! The threads of a comparison: one reads, the others decode, run both modules and compare; chunks do not depend on each other.

use super::error::Error;
use super::progress::Progress;
use super::source::Source;
use super::tryout::Tryout;
use crate::record::Chunk;
use crate::release::Trial;
use crate::release::compare::Comparison;
use crossbeam_channel::{Receiver, bounded};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Chunks that wait, for each thread: a chunk takes longer to compare than to read.
const WAITING: usize = 2;

/// Two modules and who runs them.
pub(super) struct Team {
    pub(super) old: Arc<Trial>,
    pub(super) new: Arc<Trial>,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) threads: usize,
}

/// The topics that either module reads, or the one that is asked for.
pub(super) fn topics(old: &Trial, new: &Trial, only: Option<&str>) -> Result<Vec<Arc<str>>, Error> {
    let inputs = old.manifest().inputs.iter().chain(&new.manifest().inputs);
    let topics: BTreeSet<&str> = inputs.map(|input| input.topic.as_str()).collect();
    match only {
        None => Ok(topics.into_iter().map(Into::into).collect()),
        Some(topic) if topics.contains(topic) => Ok(vec![topic.into()]),
        Some(topic) => {
            let known = topics.into_iter().collect::<Vec<_>>().join(", ");
            Err(Error::Topic { topic: topic.to_owned(), known })
        }
    }
}

impl Team {
    /// Compares all records of these sources.
    pub(super) fn compare(&self, mut sources: Vec<Source>, like: &Comparison) -> Result<Comparison, Error> {
        let (chunks_in, chunks) = bounded::<Chunk>(self.threads * WAITING);
        let compared = AtomicU64::new(0);
        let workers: Vec<Worker<'_>> =
            (0..self.threads).map(|_| Worker::new(self, like, &compared)).collect::<Result<_, _>>()?;
        std::thread::scope(|scope| {
            let mut running = Vec::with_capacity(workers.len());
            for (index, worker) in workers.into_iter().enumerate() {
                let (name, chunks) = (format!("compare-{index}"), chunks.clone());
                let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, || worker.run(chunks));
                running.push(thread.map_err(Error::Thread)?);
            }
            drop(chunks);
            let mut progress = Progress::new(&compared, sources.iter().map(Source::total).sum());
            let read = sources.iter_mut().try_for_each(|source| source.read(&chunks_in, &mut progress));
            drop(chunks_in);
            let mut whole = like.fresh();
            for thread in running {
                whole.merge(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            read.map(|()| whole)
        })
    }
}

/// One thread's part.
struct Worker<'a> {
    tryout: Tryout<'a>,
    comparison: Comparison,
    compared: &'a AtomicU64,
}

impl<'a> Worker<'a> {
    fn new(team: &'a Team, like: &Comparison, compared: &'a AtomicU64) -> Result<Self, Error> {
        let tryout = Tryout::new(Some(&team.old), &team.new, &team.topics)?;
        Ok(Self { tryout, comparison: like.fresh(), compared })
    }

    fn run(mut self, chunks: Receiver<Chunk>) -> Comparison {
        for chunk in chunks {
            if let Some(tried) = self.tryout.chunk(&chunk) {
                self.comparison.chunk(&chunk, &tried.of_old(), &tried.of_new());
            }
            self.compared.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        self.comparison
    }
}
