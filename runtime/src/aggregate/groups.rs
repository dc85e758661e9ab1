//! The groups of one Kafka partition: found by window and key, with their partials, and which of them changed.

use super::changes::Group;
use super::partial::Partial;
use super::plan::Plan;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Groups by number, in order of appearance, as parallel vectors.
#[derive(Debug, Default)]
pub(super) struct Groups {
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    starts_us: Vec<i64>,
    keys: Vec<Arc<[u8]>>,
    /// The partials of all groups, group by group.
    pub(super) partials: Vec<Partial>,
    /// The partials as last published, until the group changes again: live and committed views share them.
    snapshots: Vec<Option<Arc<[Partial]>>>,
    live: Changed,
    commit: Changed,
}

/// The groups that changed, each once.
#[derive(Debug, Default)]
struct Changed {
    flags: Vec<bool>,
    groups: Vec<u32>,
}

impl Changed {
    fn mark(&mut self, group: u32) {
        let flag = &mut self.flags[group as usize];
        if !*flag {
            *flag = true;
            self.groups.push(group);
        }
    }

    fn take(&mut self) -> Vec<u32> {
        let groups = std::mem::take(&mut self.groups);
        groups.iter().for_each(|group| self.flags[*group as usize] = false);
        groups
    }
}

impl Groups {
    /// The number of groups.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The number of a group; a new one if it is not there yet.
    pub(super) fn place(&mut self, plan: &Plan, start_us: i64, key: &[u8]) -> u32 {
        let Self { index, hasher, starts_us, keys, .. } = self;
        let hash = hasher.hash_one((start_us, key));
        let same = |group: &u32| starts_us[*group as usize] == start_us && *keys[*group as usize] == *key;
        if let Some(group) = index.find(hash, same) {
            return *group;
        }
        let group = u32::try_from(keys.len()).expect("memory ends before 2^32 groups");
        starts_us.push(start_us);
        keys.push(key.into());
        index
            .insert_unique(hash, group, |group| hasher.hash_one((starts_us[*group as usize], &*keys[*group as usize])));
        self.partials.extend(plan.measures.iter().map(super::measure::Measure::empty));
        self.snapshots.push(None);
        self.live.flags.push(false);
        self.commit.flags.push(false);
        group
    }

    /// Notes that a group has changed.
    pub(super) fn touch(&mut self, group: u32) {
        self.snapshots[group as usize] = None;
        self.live.mark(group);
        self.commit.mark(group);
    }

    /// Replaces the partials of a group by what a table holds: news for the live view, not for the table.
    pub(super) fn restore(&mut self, group: u32, partials: Vec<Partial>) {
        let first = group as usize * partials.len();
        self.partials.splice(first..first + partials.len(), partials);
        self.snapshots[group as usize] = None;
        self.live.mark(group);
    }

    /// Lets go of the groups whose window starts before `start_us`, as `keep` of any list by group must too: it says of each group, by
    /// number, whether it stays. Changes that were not taken yet are lost with them.
    pub(super) fn forget(&mut self, start_us: i64) -> Vec<bool> {
        let stays: Vec<bool> = self.starts_us.iter().map(|start| *start >= start_us).collect();
        if stays.iter().all(|stays| *stays) {
            return stays;
        }
        let stride = self.partials.len() / self.keys.len();
        let mut numbers = Vec::with_capacity(stays.len());
        let mut next = 0_u32;
        for stays in &stays {
            numbers.push(next);
            next += u32::from(*stays);
        }
        keep(&mut self.starts_us, |group| stays[group]);
        keep(&mut self.keys, |group| stays[group]);
        keep(&mut self.snapshots, |group| stays[group]);
        keep(&mut self.partials, |partial| stays[partial / stride]);
        for changed in [&mut self.live, &mut self.commit] {
            keep(&mut changed.flags, |group| stays[group]);
            changed.groups.retain(|group| stays[*group as usize]);
            changed.groups.iter_mut().for_each(|group| *group = numbers[*group as usize]);
        }
        let Self { index, hasher, starts_us, keys, .. } = self;
        index.clear();
        for group in 0..next {
            let hash = |group: &u32| hasher.hash_one((starts_us[*group as usize], &*keys[*group as usize]));
            index.insert_unique(hash(&group), group, hash);
        }
        index.shrink_to_fit(|group| hasher.hash_one((starts_us[*group as usize], &*keys[*group as usize])));
        stays
    }

    pub(super) fn take_live(&mut self) -> Vec<Group> {
        let groups = self.live.take();
        groups.into_iter().map(|group| self.snapshot(group as usize)).collect()
    }

    pub(super) fn take_commit(&mut self) -> Vec<Group> {
        let groups = self.commit.take();
        groups.into_iter().map(|group| self.snapshot(group as usize)).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Group> {
        self.commit.take();
        (0..self.len()).map(|group| self.snapshot(group)).collect()
    }

    fn snapshot(&mut self, group: usize) -> Group {
        let stride = self.partials.len() / self.keys.len();
        let partials = &self.partials[group * stride..(group + 1) * stride];
        let partials = self.snapshots[group].get_or_insert_with(|| partials.into());
        Group { start_us: self.starts_us[group], key: Arc::clone(&self.keys[group]), partials: Arc::clone(partials) }
    }
}

/// Keeps the elements whose index is to stay, and gives the room of the others back.
pub(super) fn keep<T>(list: &mut Vec<T>, stays: impl Fn(usize) -> bool) {
    let mut index = 0..;
    list.retain(|_| index.next().is_some_and(&stays));
    list.shrink_to_fit();
}
