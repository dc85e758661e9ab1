//! Modules over the same events, which are decoded once for all of them.

use super::error::Error;
use crate::decode::{Decoder, Events};
use crate::record::Chunk;
use crate::release::compare::Side;
use crate::release::{Outcome, Trial};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A module, beside the one that it is to replace if there is one.
pub(in super::super) struct Tryout<'a> {
    old: Option<&'a Trial>,
    new: &'a Trial,
    topics: BTreeMap<Arc<str>, Topic>,
    /// Which module is the first to run: they take turns, since the second one finds the columns in the cache.
    new_first: bool,
}

/// How a topic is decoded, once for both modules.
struct Topic {
    decoder: Decoder,
    /// The inputs of the old module that read it.
    old: Vec<u32>,
    /// Those of the new one.
    new: Vec<u32>,
}

/// What the modules made of a chunk.
pub(in super::super) struct Tried {
    events: Vec<Events>,
    old: Vec<Outcome>,
    new: Vec<Outcome>,
}

impl<'a> Tryout<'a> {
    /// Runs `new`, and `old` beside it, over records of these topics.
    pub(in super::super) fn new(old: Option<&'a Trial>, new: &'a Trial, names: &[Arc<str>]) -> Result<Self, Error> {
        let mut topics = BTreeMap::new();
        for topic in names {
            let (old, before): (Vec<_>, Vec<_>) = old.into_iter().flat_map(|old| old.inputs(topic)).unzip();
            let (new, after): (Vec<_>, Vec<_>) = new.inputs(topic).unzip();
            let decoder = Decoder::new(&[before, after].concat())
                .map_err(|source| Error::Decode { topic: topic.to_string(), source })?;
            topics.insert(Arc::clone(topic), Topic { decoder, old, new });
        }
        Ok(Self { old, new, topics, new_first: false })
    }

    /// What the modules make of a chunk; `None` if it is of another topic.
    pub(in super::super) fn chunk(&mut self, chunk: &Chunk) -> Option<Tried> {
        let Topic { decoder, old, new } = self.topics.get_mut(chunk.topic())?;
        let events = decoder.decode(chunk, 0);
        let (before, after) = events.split_at(old.len());
        let run = |trial: &Trial, inputs: &[u32], events: &[Events]| {
            inputs.iter().zip(events).map(|(input, events)| trial.outcome(*input, events)).collect::<Vec<_>>()
        };
        let run_old = || self.old.map(|trial| run(trial, old, before)).unwrap_or_default();
        self.new_first = !self.new_first;
        let (was, is) = if self.new_first {
            let is = run(self.new, new, after);
            (run_old(), is)
        } else {
            (run_old(), run(self.new, new, after))
        };
        Some(Tried { events, old: was, new: is })
    }
}

impl Tried {
    /// The old module's part, a side for each of its inputs that read the topic.
    pub(in super::super) fn of_old(&self) -> Vec<Side<'_>> {
        sides(&self.events, &self.old)
    }

    /// The new module's part.
    pub(in super::super) fn of_new(&self) -> Vec<Side<'_>> {
        sides(&self.events[self.old.len()..], &self.new)
    }
}

fn sides<'a>(events: &'a [Events], outcomes: &'a [Outcome]) -> Vec<Side<'a>> {
    events.iter().zip(outcomes).map(|(events, outcome)| Side { events, outcome }).collect()
}
