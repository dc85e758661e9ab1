//! The event time before which everything is closed, per gold product: the minimum over the partitions that are active.
//!
//! | partition                                            | holds the horizon back |
//! |------------------------------------------------------|------------------------|
//! | gave records lately                                  | at its own watermark   |
//! | has records that were not read yet, or is stopped    | at its own watermark   |
//! | is read to its end, silent for `gold.idle_after`     | no, if its broker confirms it |
//! | never held a record, in a run up to what there is    | no                     |
//!
//! One that is empty holds everything back like any other that gave nothing yet: whoever fills a new topic writes to all its
//! partitions, and what is there of one is read a moment before what is there of the next.
//!
//! What is known of a log's end is as old as the last fetch: after an outage or a standstill all partitions seem silent, and the
//! first to be read again would close its windows over the others. So the broker is asked (`silence.rs`), and the horizon rises to where
//! it would have been when it was asked.
//!
//! The horizon never falls: what was said to be closed stays closed. A partition that wakes up with older events finds them late.

use super::progress::Progress;
use super::session::Slot;
use super::silence::{Question, Silent};
use crate::checkpoint::SourcePartition;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often the brokers are asked at most.
const ASK_EVERY_MS: i64 = 5_000;

/// What a partition says about how far a gold product is.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) gold: usize,
    /// In milliseconds; `i64::MIN` before its first row.
    pub(super) watermark_ms: i64,
    /// Whether it seems to have fallen silent, and where.
    pub(super) silent: Option<Silent>,
}

/// The horizons of all gold products.
#[derive(Debug)]
pub(super) struct Horizon {
    idle_after_ms: i64,
    ms: Vec<i64>,
    /// By slot.
    partitions: Vec<SourcePartition>,
    /// By slot: the next offset when last looked at, and since when it has been that.
    seen: Vec<(i64, i64)>,
    /// By slot: the newest watermark of any gold product.
    watermarks_ms: Vec<i64>,
    /// Whether what comes to an empty partition from now on is for another run to read.
    passes_over_empty: bool,
    /// What the brokers are to confirm, with what all partitions had said by then.
    asked: Option<(Question, Vec<Word>)>,
    asked_ms: i64,
}

impl Horizon {
    /// `starts`: by slot, the offset that it is read from.
    pub(super) fn new(ms: Vec<i64>, slots: &[Slot], starts: &[i64], idle_after: Duration, now_ms: i64) -> Self {
        let seen: Vec<_> = starts.iter().map(|start| (*start, now_ms)).collect();
        Self {
            idle_after_ms: i64::try_from(idle_after.as_millis()).unwrap_or(i64::MAX),
            ms,
            watermarks_ms: vec![i64::MIN; seen.len()],
            seen,
            partitions: slots.iter().map(|slot| slot.partition.clone()).collect(),
            passes_over_empty: false,
            asked: None,
            asked_ms: i64::MIN,
        }
    }

    /// Whether partitions that never held a record hold nothing back from now on.
    pub(super) fn pass_over_empty(&mut self, passes: bool) {
        self.passes_over_empty = passes;
    }

    /// By gold product, in milliseconds; `i64::MIN` while nothing is closed.
    pub(super) fn ms(&self) -> &[i64] {
        &self.ms
    }

    /// Everything before this event time is closed for a gold product, by another's word; an earlier time changes nothing.
    pub(super) fn raise(&mut self, gold: usize, horizon_ms: i64) {
        self.ms[gold] = self.ms[gold].max(horizon_ms);
    }

    /// The watermark of a slot, in milliseconds; `i64::MIN` before its first row.
    pub(super) fn watermark_ms(&self, slot: usize) -> i64 {
        self.watermarks_ms[slot]
    }

    /// Takes the watermarks `(gold product, slot, milliseconds)` of a micro-batch, and what other partitions say. Gives what is to be
    /// asked, if anything is.
    pub(super) fn observe(
        &mut self,
        watermarks: &[(usize, usize, i64)],
        of_others: Vec<Word>,
        progress: &Progress,
        now_ms: i64,
    ) -> Option<Question> {
        for (slot, lane) in progress.lanes.iter().enumerate() {
            let next = lane.next.load(Ordering::Relaxed);
            if next != self.seen[slot].0 {
                self.seen[slot] = (next, now_ms);
            }
        }
        for (_, slot, watermark_ms) in watermarks {
            self.watermarks_ms[*slot] = self.watermarks_ms[*slot].max(*watermark_ms);
        }
        if let Some((question, words)) = self.asked.take_if(|(question, _)| question.answer().is_some()) {
            let confirmed = question.answer().into_iter().flatten().collect::<Vec<_>>();
            self.heed(&words, |silent| confirmed.contains(&silent));
        }
        let is_empty = |slot: usize| self.passes_over_empty && progress.lanes[slot].log_end() == Some(0);
        let own = watermarks.iter().filter(|(_, slot, _)| !is_empty(*slot)).map(|(gold, slot, watermark_ms)| Word {
            gold: *gold,
            watermark_ms: *watermark_ms,
            silent: self
                .is_idle(*slot, progress, now_ms)
                .then(|| Silent { partition: self.partitions[*slot].clone(), next: self.seen[*slot].0 }),
        });
        let words: Vec<Word> = own.chain(of_others).collect();
        // Of those that seem to be silent nothing is known yet: they hold it back.
        self.heed(&words, |_| false);
        let question = Question::about(words.iter().filter_map(|word| word.silent.clone()).collect())?;
        if self.asked.is_some() || now_ms.saturating_sub(self.asked_ms) < ASK_EVERY_MS {
            return None;
        }
        self.asked_ms = now_ms;
        self.asked = Some((question.clone(), words));
        Some(question)
    }

    /// Raises the horizon of each gold product to the minimum over the partitions that are not confirmed to be silent.
    fn heed(&mut self, words: &[Word], is_silent: impl Fn(&Silent) -> bool) {
        for (gold, ms) in self.ms.iter_mut().enumerate() {
            let of_gold = words.iter().filter(|word| word.gold == gold);
            let active = of_gold.filter(|word| !word.silent.as_ref().is_some_and(&is_silent));
            if let Some(minimum) = active.map(|word| word.watermark_ms).min() {
                *ms = (*ms).max(minimum);
            }
        }
    }

    /// Whether the slot is read to its end, as far as that is known, and has been silent so long that it holds nothing back.
    pub(super) fn is_idle(&self, slot: usize, progress: &Progress, now_ms: i64) -> bool {
        let lane = &progress.lanes[slot];
        lane.lag() == Some(0) && now_ms.saturating_sub(self.seen[slot].1) >= self.idle_after_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LogRange;

    /// Partitions as `(next, log end, watermark)`, all read from one record before.
    struct Fixture {
        progress: Progress,
        horizon: Horizon,
        watermarks: Vec<(usize, usize, i64)>,
    }

    impl Fixture {
        fn new(partitions: &[(i64, i64, i64)]) -> Self {
            let starts: Vec<i64> = partitions.iter().map(|(next, ..)| next - 1).collect();
            let progress = Progress::new(&starts, 1);
            for (lane, (next, end, _)) in progress.lanes.iter().zip(partitions) {
                lane.next.store(*next, Ordering::Relaxed);
                lane.log_end.store(*end, Ordering::Relaxed);
            }
            let slot = |(partition, (_, end, _)): (i32, &(i64, i64, i64))| Slot {
                topic: 0,
                partition: SourcePartition::new("sales", 0, partition),
                log: LogRange { start: 0, end: *end },
                is_gained: false,
            };
            let slots: Vec<Slot> = (0..).zip(partitions).map(slot).collect();
            let horizon = Horizon::new(vec![i64::MIN], &slots, &starts, Duration::from_secs(10), 0);
            let watermarks = partitions.iter().enumerate().map(|(slot, (.., ms))| (0, slot, *ms)).collect();
            Self { progress, horizon, watermarks }
        }

        /// A record comes to a partition.
        fn gain(&mut self, slot: usize, watermark_ms: i64) {
            let lane = &self.progress.lanes[slot];
            lane.next.fetch_add(1, Ordering::Relaxed);
            lane.log_end.fetch_max(lane.next.load(Ordering::Relaxed), Ordering::Relaxed);
            self.watermarks[slot].2 = watermark_ms;
        }

        #[track_caller]
        fn check(&mut self, now_ms: i64, expected: i64) -> Option<Question> {
            let question = self.horizon.observe(&self.watermarks, Vec::new(), &self.progress, now_ms);
            assert_eq!(self.horizon.ms(), [expected], "at {now_ms}: {:?}", self.watermarks);
            question
        }
    }

    #[test]
    fn the_slowest_active_partition_decides() {
        assert!(Fixture::new(&[(5, 5, 100), (7, 7, 40)]).check(0, 40).is_none());
    }

    #[test]
    fn a_partition_of_another_instance_holds_it_back_too() {
        let mut fixture = Fixture::new(&[(5, 5, 100)]);
        let word = Word { gold: 0, watermark_ms: 30, silent: None };
        fixture.horizon.observe(&fixture.watermarks, vec![word], &fixture.progress, 0);
        assert_eq!(fixture.horizon.ms(), [30]);
    }

    #[test]
    fn a_partition_with_unread_records_holds_it_back_however_long_it_is_silent() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 9, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        assert!(fixture.check(60_000, 40).is_none());
    }

    #[test]
    fn a_silent_partition_holds_it_back_until_its_broker_confirms_it() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 7, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        let question = fixture.check(10_000, 40).unwrap();
        let silent = Silent { partition: SourcePartition::new("sales", 0, 1), next: 7 };
        assert_eq!(question.silent(), std::slice::from_ref(&silent));
        fixture.gain(0, 300);
        assert!(fixture.check(15_000, 40).is_none(), "asked twice");
        question.tell(vec![silent]);
        // What came since was not there when the broker was asked.
        assert!(fixture.check(15_001, 200).is_some());
    }

    #[test]
    fn one_that_is_not_silent_after_all_holds_it_back() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 7, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        let question = fixture.check(10_000, 40).unwrap();
        fixture.gain(0, 300);
        question.tell(Vec::new());
        assert!(fixture.check(14_999, 40).is_none(), "asked too often");
        assert!(fixture.check(15_000, 40).is_some());
    }

    #[test]
    fn an_empty_partition_holds_it_back_for_a_while() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (0, 0, i64::MIN)]);
        fixture.horizon.seen[1] = (0, 0);
        assert!(fixture.check(9_999, i64::MIN).is_none());
        fixture.gain(0, 200);
        let question = fixture.check(10_000, i64::MIN).unwrap();
        question.tell(question.silent().to_vec());
        fixture.check(10_001, 200);
    }

    #[test]
    fn a_run_up_to_what_there_is_passes_over_what_is_empty() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (0, 0, i64::MIN)]);
        fixture.horizon.pass_over_empty(true);
        assert!(fixture.check(0, 100).is_none());
    }

    #[test]
    fn an_unread_partition_keeps_everything_open() {
        Fixture::new(&[(5, 5, 100), (0, 3, i64::MIN)]).check(0, i64::MIN);
    }
}
