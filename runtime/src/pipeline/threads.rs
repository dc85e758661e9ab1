//! The source threads of a session, and how threads are started.

use super::committer::Committer;
use super::progress::Progress;
use super::session::Source;
use super::worker::Command;
use super::{Error, reader};
use crate::config::Config;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Chunks that wait for a worker: enough that it never waits, few enough that a micro-batch ends soon after it is told to.
pub(super) const QUEUE: usize = 2;

/// By how much work in the background is nicer than the rest: it gets a tenth of a core that both want.
const BACKGROUND: i32 = 10;

/// The source threads of a session.
pub(super) struct Threads {
    readers: Vec<JoinHandle<Result<(), Error>>>,
    stop: Arc<AtomicBool>,
    committed: Vec<Sender<Vec<(usize, i64)>>>,
}

impl Threads {
    /// Starts a thread for each source.
    pub(super) fn start(
        config: &Arc<Config>,
        sources: Vec<Source>,
        routes: &[reader::Route],
        workers: &[Sender<Command>],
        progress: &Arc<Progress>,
        pace: Pace,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Self { readers: Vec::new(), stop: Arc::clone(&stop), committed: Vec::new() };
        for source in sources {
            let (committed_in, committed) = crossbeam_channel::bounded(QUEUE);
            threads.committed.push(committed_in);
            let (config, full) = (Arc::clone(config), Arc::clone(progress));
            let context = reader::Context {
                reader: source.reader,
                assigned: source.assigned,
                routes: source.slots.iter().map(|slot| routes[*slot].clone()).collect(),
                workers: workers.to_vec(),
                progress: Arc::clone(progress),
                stop: Arc::clone(&stop),
                committed,
                is_full: Box::new(move || Committer::is_full(&config, &full)),
            };
            threads.readers.push(spawn("source", pace, move || reader::run(context))?);
        }
        Ok(threads)
    }

    pub(super) fn is_reader_gone(&self) -> bool {
        self.readers.iter().any(JoinHandle::is_finished)
    }

    /// A hint for dashboards: where the reader is busy, the next one serves as well.
    pub(super) fn tell_committed(&self, offsets: &[(usize, i64)]) {
        for reader in &self.committed {
            let _ = reader.try_send(offsets.to_vec());
        }
    }

    /// Stops reading; what was read goes on to the workers.
    pub(super) fn stop_readers(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        let join = |reader: JoinHandle<Result<(), Error>>| {
            reader.join().map_err(|_| Error::Thread { thread: "source" }).flatten()
        };
        tokio::task::block_in_place(|| std::mem::take(&mut self.readers).into_iter().try_for_each(join))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whether a thread's work waits for that of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As any other's.
    Live,
    /// It gets what processor time others leave.
    Background,
}

/// Starts a named thread.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    pace: Pace,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    let run = move || {
        // On Linux this is of the thread alone. Where it is refused the work is done all the same.
        if pace == Pace::Background
            && let Err(error) = rustix::process::nice(BACKGROUND)
        {
            tracing::debug!(%error, "the thread keeps its priority");
        }
        run()
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|_| Error::Thread { thread: "new" })
}
