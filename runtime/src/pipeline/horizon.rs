//! The event time before which everything is closed, per gold product: the minimum over the partitions that are active.
//!
//! | partition                                             | holds the horizon back |
//! |-------------------------------------------------------|------------------------|
//! | gave rows lately                                      | at its own watermark   |
//! | has records that were not read yet, or is stopped     | at its own watermark   |
//! | brought the watermark no further for `gold.idle_after`| no, once what its broker has of it is read |
//! | never held a record, in a run up to what there is     | no                     |
//!
//! One that is empty holds everything back like any other that gave nothing yet: whoever fills a new topic writes to all its
//! partitions, and what is there of one is read a moment before what is there of the next.
//!
//! What is known of a log's end is as old as the last fetch: after an outage or a standstill all partitions seem quiet, and the
//! first to be read again would close its windows over the others. So the broker is asked where the log ends (`log_ends.rs`); once that
//! is read and the watermark is still where it was, the horizon rises to where it would have been when it was asked.
//!
//! The horizon never falls: what was said to be closed stays closed. A partition that wakes up with older events finds them late.

use super::log_ends::Question;
use super::progress::Progress;
use super::session::Slot;
use crate::checkpoint::SourcePartition;
use std::time::Duration;

/// How often the brokers are asked at most.
const ASK_EVERY_MS: i64 = 5_000;

/// After this what the brokers have said is let go of, and they are asked anew.
const OLD_MS: i64 = 60_000;

/// What a partition says about how far a gold product is.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) gold: usize,
    pub(super) partition: SourcePartition,
    /// The offset behind the last record of which the watermark knows.
    pub(super) next: i64,
    /// In milliseconds; `i64::MIN` before its first row.
    pub(super) watermark_ms: i64,
    /// Whether the watermark has not moved for so long that the partition need not be waited for.
    pub(super) is_quiet: bool,
}

/// What a micro-batch came to in the partitions that are ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed<'a> {
    /// By slot, the next offset; of each slot at least once.
    pub(super) positions: &'a [(usize, i64)],
    /// Gold product, slot, milliseconds.
    pub(super) watermarks: &'a [(usize, usize, i64)],
}

/// The horizons of all gold products.
#[derive(Debug)]
pub(super) struct Horizon {
    idle_after_ms: i64,
    ms: Vec<i64>,
    slots: Vec<Seen>,
    /// Whether what comes to an empty partition from now on is for another run to read.
    passes_over_empty: bool,
    /// What the brokers were asked last, with what all partitions had said by then.
    asked: Option<(Question, Vec<Word>)>,
    asked_ms: i64,
}

/// A partition of ours.
#[derive(Debug)]
struct Seen {
    partition: SourcePartition,
    /// The next offset, and since when it is that.
    next: (i64, i64),
    /// By gold product, the watermark, and since when it is that.
    watermarks: Vec<(i64, i64)>,
}

impl Horizon {
    /// `starts`: by slot, the offset that it is read from.
    pub(super) fn new(ms: Vec<i64>, slots: &[Slot], starts: &[i64], idle_after: Duration, now_ms: i64) -> Self {
        let seen = |(slot, start): (&Slot, &i64)| Seen {
            partition: slot.partition.clone(),
            next: (*start, now_ms),
            watermarks: vec![(i64::MIN, now_ms); ms.len()],
        };
        Self {
            idle_after_ms: i64::try_from(idle_after.as_millis()).unwrap_or(i64::MAX),
            slots: slots.iter().zip(starts).map(seen).collect(),
            ms,
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

    /// The newest watermark of any gold product in a slot, in milliseconds; `i64::MIN` before its first row.
    pub(super) fn watermark_ms(&self, slot: usize) -> i64 {
        self.slots[slot].watermarks.iter().map(|(watermark_ms, _)| *watermark_ms).max().unwrap_or(i64::MIN)
    }

    /// Takes in a micro-batch, and what other partitions say. Gives what is to be asked, if anything is.
    pub(super) fn observe(
        &mut self,
        of: Observed<'_>,
        of_others: Vec<Word>,
        progress: &Progress,
        now_ms: i64,
    ) -> Option<Question> {
        for (slot, next) in of.positions {
            move_to(&mut self.slots[*slot].next, *next, now_ms);
        }
        for (gold, slot, watermark_ms) in of.watermarks {
            move_to(&mut self.slots[*slot].watermarks[*gold], *watermark_ms, now_ms);
        }
        let mut words = self.words(of.watermarks, progress, now_ms);
        words.extend(of_others);
        self.heed_answer(&words, now_ms);
        // Of those that are quiet nothing is known yet: they hold it back.
        self.heed(&words, |_| false);
        let quiet = words.iter().filter(|word| word.is_quiet).map(|word| word.partition.clone());
        let question = Question::about(quiet.collect())?;
        if self.asked.is_some() || now_ms.saturating_sub(self.asked_ms) < ASK_EVERY_MS {
            return None;
        }
        self.asked_ms = now_ms;
        self.asked = Some((question.clone(), words));
        Some(question)
    }

    fn words(&self, watermarks: &[(usize, usize, i64)], progress: &Progress, now_ms: i64) -> Vec<Word> {
        let is_empty = |slot: usize| self.passes_over_empty && progress.lanes[slot].log_end() == Some(0);
        let word = |(gold, slot, _): &(usize, usize, i64)| {
            let Seen { partition, next, watermarks } = &self.slots[*slot];
            let (watermark_ms, since_ms) = watermarks[*gold];
            let is_quiet = self.is_long_ago(since_ms, now_ms);
            Word { gold: *gold, partition: partition.clone(), next: next.0, watermark_ms, is_quiet }
        };
        watermarks.iter().filter(|(_, slot, _)| !is_empty(*slot)).map(word).collect()
    }

    /// Raises the horizon to where it was when the brokers were asked, of what they said is read by now.
    fn heed_answer(&mut self, now: &[Word], now_ms: i64) {
        let Some((question, then)) = self.asked.take() else { return };
        let Some(ends) = question.answer() else {
            self.asked = Some((question, then));
            return;
        };
        let of_now = |word: &Word| now.iter().find(|of| of.gold == word.gold && of.partition == word.partition);
        let end = |word: &Word| ends.iter().find(|(of, _)| *of == word.partition).map(|(_, end)| *end);
        let is_unread = |word: &&Word| {
            let read = of_now(word).map(|of| of.next);
            word.is_quiet && end(word).zip(read).is_some_and(|(end, read)| read < end)
        };
        if then.iter().any(|word| is_unread(&word)) && now_ms.saturating_sub(self.asked_ms) < OLD_MS {
            self.asked = Some((question, then));
            return;
        }
        self.heed(&then, |word| {
            let is_there_still = |of: &Word| of.watermark_ms == word.watermark_ms;
            of_now(word).is_some_and(|of| is_there_still(of) && end(word).is_some_and(|end| of.next >= end))
        });
    }

    /// Raises the horizon of each gold product to the minimum over the partitions that need to be waited for.
    fn heed(&mut self, words: &[Word], is_through: impl Fn(&Word) -> bool) {
        for (gold, ms) in self.ms.iter_mut().enumerate() {
            let of_gold = words.iter().filter(|word| word.gold == gold);
            let active = of_gold.filter(|word| !(word.is_quiet && is_through(word)));
            if let Some(minimum) = active.map(|word| word.watermark_ms).min() {
                *ms = (*ms).max(minimum);
            }
        }
    }

    /// Whether the slot is read to its end, as far as that is known, and has been silent for `gold.idle_after`.
    pub(super) fn is_idle(&self, slot: usize, progress: &Progress, now_ms: i64) -> bool {
        progress.lanes[slot].lag() == Some(0) && self.is_long_ago(self.slots[slot].next.1, now_ms)
    }

    fn is_long_ago(&self, since_ms: i64, now_ms: i64) -> bool {
        now_ms.saturating_sub(since_ms) >= self.idle_after_ms
    }
}

/// What something is, and since when.
fn move_to((is, since_ms): &mut (i64, i64), to: i64, now_ms: i64) {
    if to > *is {
        (*is, *since_ms) = (to, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::LogRange;
    use std::sync::atomic::Ordering;

    /// A partition as `(next, log end, watermark)`.
    type Partition = (i64, i64, i64);

    struct Fixture {
        progress: Progress,
        horizon: Horizon,
        partitions: Vec<Partition>,
    }

    impl Fixture {
        fn new(partitions: &[Partition]) -> Self {
            let starts = vec![0; partitions.len()];
            let progress = Progress::new(&starts, 1);
            for (lane, (_, end, _)) in progress.lanes.iter().zip(partitions) {
                lane.log_end.store(*end, Ordering::Relaxed);
            }
            let slot = |(partition, (_, end, _)): (i32, &Partition)| Slot {
                topic: 0,
                partition: of(partition),
                log: LogRange { start: 0, end: *end },
                is_gained: false,
            };
            let slots: Vec<Slot> = (0..).zip(partitions).map(slot).collect();
            let horizon = Horizon::new(vec![i64::MIN], &slots, &starts, Duration::from_secs(10), 0);
            Self { progress, horizon, partitions: partitions.to_vec() }
        }

        /// A record comes to a partition, and moves its watermark.
        fn gain(&mut self, slot: usize, watermark_ms: i64) {
            self.partitions[slot].0 += 1;
            self.partitions[slot].2 = watermark_ms;
        }

        #[track_caller]
        fn check(&mut self, now_ms: i64, expected: i64) -> Option<Question> {
            let slots = || self.partitions.iter().enumerate();
            let positions: Vec<_> = slots().map(|(slot, (next, ..))| (slot, *next)).collect();
            let watermarks: Vec<_> = slots().map(|(slot, (.., watermark_ms))| (0, slot, *watermark_ms)).collect();
            let observed = Observed { positions: &positions, watermarks: &watermarks };
            let question = self.horizon.observe(observed, Vec::new(), &self.progress, now_ms);
            assert_eq!(self.horizon.ms(), [expected], "at {now_ms}: {:?}", self.partitions);
            question
        }
    }

    fn of(partition: i32) -> SourcePartition {
        SourcePartition::new("sales", 0, partition)
    }

    #[test]
    fn the_slowest_active_partition_decides() {
        assert!(Fixture::new(&[(5, 5, 100), (7, 7, 40)]).check(0, 40).is_none());
    }

    #[test]
    fn a_partition_of_another_instance_holds_it_back_too() {
        let mut fixture = Fixture::new(&[(5, 5, 100)]);
        let word = Word { gold: 0, partition: of(1), next: 0, watermark_ms: 30, is_quiet: false };
        let observed = Observed { positions: &[(0, 5)], watermarks: &[(0, 0, 100)] };
        fixture.horizon.observe(observed, vec![word], &fixture.progress, 0);
        assert_eq!(fixture.horizon.ms(), [30]);
    }

    #[test]
    fn a_quiet_partition_holds_it_back_until_its_log_is_known_to_be_read() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 7, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        let question = fixture.check(10_000, 40).unwrap();
        assert_eq!(question.partitions(), [of(1)]);
        fixture.gain(0, 300);
        assert!(fixture.check(15_000, 40).is_none(), "asked twice");
        question.tell(vec![(of(1), 7)]);
        // What came since was not there when the broker was asked.
        assert!(fixture.check(15_001, 200).is_some());
    }

    #[test]
    fn one_that_brings_no_row_is_waited_for_until_what_there_was_is_read() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 9, i64::MIN)]);
        fixture.check(0, i64::MIN);
        fixture.gain(0, 200);
        let question = fixture.check(10_000, i64::MIN).unwrap();
        question.tell(vec![(of(1), 9)]);
        fixture.gain(0, 300);
        fixture.gain(1, i64::MIN);
        assert!(fixture.check(11_000, i64::MIN).is_none());
        // It is read further all the time, and still brings nothing.
        fixture.gain(1, i64::MIN);
        fixture.check(12_000, 200);
    }

    #[test]
    fn one_that_brings_a_row_after_all_holds_it_back() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 7, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        let question = fixture.check(10_000, 40).unwrap();
        question.tell(vec![(of(1), 8)]);
        fixture.gain(1, 60);
        assert!(fixture.check(14_999, 60).is_none());
    }

    #[test]
    fn one_of_which_the_broker_says_nothing_holds_it_back() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 7, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        fixture.check(10_000, 40).unwrap().tell(Vec::new());
        assert!(fixture.check(14_999, 40).is_none(), "asked too often");
        assert!(fixture.check(15_000, 40).is_some());
    }

    #[test]
    fn one_that_is_not_read_on_is_asked_about_anew() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (7, 7, 40)]);
        fixture.check(0, 40);
        fixture.gain(0, 200);
        fixture.check(10_000, 40).unwrap().tell(vec![(of(1), 8)]);
        fixture.gain(0, 300);
        assert!(fixture.check(69_999, 40).is_none());
        assert!(fixture.check(70_000, 40).is_some());
    }

    #[test]
    fn an_empty_partition_holds_it_back_for_a_while() {
        let mut fixture = Fixture::new(&[(5, 5, 100), (0, 0, i64::MIN)]);
        assert!(fixture.check(9_999, i64::MIN).is_none());
        fixture.gain(0, 200);
        fixture.check(10_000, i64::MIN).unwrap().tell(vec![(of(1), 0)]);
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
