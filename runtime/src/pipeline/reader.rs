//! The thread of one source: reads, gathers chunks, and gives each to the worker that owns its partition.

use super::Error;
use super::progress::Progress;
use super::worker::Command;
use crate::clock;
use crate::source::{Assigned, Chunker, Reader};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a full worker is waited for before the stop signal is looked at again.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long reading rests when the open micro-batch is full.
const FULL_WAIT: Duration = Duration::from_millis(5);

/// Where the chunks of a slot go.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The slot among all of the pipeline's.
    pub(super) slot: usize,
    pub(super) worker: usize,
    /// The lane's index in its worker.
    pub(super) lane: usize,
}

/// What a source thread needs.
pub(super) struct Context {
    pub(super) reader: Box<dyn Reader>,
    pub(super) assigned: Vec<Assigned>,
    /// By the reader's own slots.
    pub(super) routes: Vec<Route>,
    pub(super) workers: Vec<Sender<Command>>,
    pub(super) progress: Arc<Progress>,
    pub(super) stop: Arc<AtomicBool>,
    /// `(slot, next offset)` of committed micro-batches.
    pub(super) committed: Receiver<Vec<(usize, i64)>>,
    /// Whether the open micro-batch is so large that reading must wait for its commit.
    pub(super) is_full: Box<dyn Fn() -> bool + Send>,
}

/// Runs until it is stopped, or until reading fails.
pub(super) fn run(context: Context) -> Result<(), Error> {
    let Context { mut reader, assigned, routes, workers, progress, stop, committed, is_full } = context;
    let mut chunker = Chunker::new(&assigned);
    while !stop.load(Ordering::Relaxed) {
        if is_full() {
            std::thread::sleep(FULL_WAIT);
            continue;
        }
        reader.read(&mut chunker)?;
        for (own, route) in routes.iter().enumerate() {
            if let Some(end) = reader.log_end(own) {
                progress.lanes[route.slot].log_end.store(end, Ordering::Relaxed);
            }
        }
        while let Some((own, chunk)) = chunker.take(clock::instant()) {
            let route = &routes[own];
            if !send(&workers[route.worker], Command::Chunk(route.lane, chunk), &stop) {
                return Ok(());
            }
        }
        while let Ok(offsets) = committed.try_recv() {
            let own = |(slot, next): &(usize, i64)| {
                routes.iter().position(|route| route.slot == *slot).map(|own| (own, *next))
            };
            reader.committed(&offsets.iter().filter_map(own).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Waits for room in the worker's queue: that is the back-pressure, librdkafka stops fetching when nobody takes its messages.
fn send(worker: &Sender<Command>, command: Command, stop: &AtomicBool) -> bool {
    let mut command = command;
    loop {
        match worker.send_timeout(command, PATIENCE) {
            Ok(()) => return true,
            Err(SendTimeoutError::Timeout(_)) if stop.load(Ordering::Relaxed) => return false,
            Err(SendTimeoutError::Timeout(back)) => command = back,
            Err(SendTimeoutError::Disconnected(_)) => return false,
        }
    }
}
