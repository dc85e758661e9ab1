//! The event time before which everything is closed, per gold product: the minimum over the partitions that are active.
//!
//! | partition                                            | holds the horizon back |
//! |------------------------------------------------------|------------------------|
//! | gave records lately                                  | at its own watermark   |
//! | has records that were not read yet                   | at its own watermark   |
//! | is read to its end, silent for `gold.idle_after`     | no                     |
//! | never held a record, in a run up to what there is    | no                     |
//!
//! One that is empty holds everything back like any other that gave nothing yet: whoever fills a new topic writes to all its
//! partitions, and what is there of one is read a moment before what is there of the next. The horizon never falls: what was said to be closed stays closed. A partition that wakes up with older events finds them late.

use super::progress::Progress;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The horizons of all gold products.
#[derive(Debug)]
pub(super) struct Horizon {
    idle_after_ms: i64,
    ms: Vec<i64>,
    /// By slot: the next offset when last looked at, and since when it has been that.
    seen: Vec<(i64, i64)>,
    /// By slot: the newest watermark of any gold product.
    watermarks_ms: Vec<i64>,
    /// Whether what comes to an empty partition from now on is for another run to read.
    passes_over_empty: bool,
}

impl Horizon {
    pub(super) fn new(ms: Vec<i64>, starts: &[i64], idle_after: Duration, now_ms: i64) -> Self {
        let idle_after_ms = i64::try_from(idle_after.as_millis()).unwrap_or(i64::MAX);
        let seen = starts.iter().map(|start| (*start, now_ms)).collect();
        Self { idle_after_ms, ms, seen, watermarks_ms: vec![i64::MIN; starts.len()], passes_over_empty: false }
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

    /// Takes the watermarks `(gold product, slot, milliseconds)` of a micro-batch, and those `(gold product, milliseconds)` of other
    /// instances' active partitions.
    pub(super) fn observe(
        &mut self,
        watermarks: &[(usize, usize, i64)],
        of_others: &[(usize, i64)],
        progress: &Progress,
        now_ms: i64,
    ) {
        for (slot, lane) in progress.lanes.iter().enumerate() {
            let next = lane.next.load(Ordering::Relaxed);
            if next != self.seen[slot].0 {
                self.seen[slot] = (next, now_ms);
            }
        }
        for (_, slot, watermark_ms) in watermarks {
            self.watermarks_ms[*slot] = self.watermarks_ms[*slot].max(*watermark_ms);
        }
        for gold in 0..self.ms.len() {
            let of_gold = watermarks.iter().filter(|(index, ..)| *index == gold);
            let active = of_gold.filter(|(_, slot, _)| {
                let is_empty = progress.lanes[*slot].log_end() == Some(0);
                !(is_empty && self.passes_over_empty || self.is_idle(*slot, progress, now_ms))
            });
            let of_others = of_others.iter().filter(|(index, _)| *index == gold).map(|(_, watermark_ms)| *watermark_ms);
            if let Some(minimum) = active.map(|(.., watermark_ms)| *watermark_ms).chain(of_others).min() {
                self.ms[gold] = self.ms[gold].max(minimum);
            }
        }
    }

    /// Whether the slot is read to its end and has been silent so long that it holds nothing back.
    pub(super) fn is_idle(&self, slot: usize, progress: &Progress, now_ms: i64) -> bool {
        let lane = &progress.lanes[slot];
        lane.lag() == Some(0) && now_ms.saturating_sub(self.seen[slot].1) >= self.idle_after_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(next, log end, watermark)` of each partition; silent for a minute where the idle time is 10 s.
    fn check(partitions: &[(i64, i64, i64)], moved: bool, expected: i64) {
        let starts: Vec<i64> = partitions.iter().map(|(next, ..)| next - i64::from(moved)).collect();
        let progress = Progress::new(&starts, 1);
        for (lane, (next, end, _)) in progress.lanes.iter().zip(partitions) {
            lane.next.store(*next, Ordering::Relaxed);
            lane.log_end.store(*end, Ordering::Relaxed);
        }
        let mut horizon = Horizon::new(vec![i64::MIN], &starts, Duration::from_secs(10), 0);
        let watermarks: Vec<_> = partitions.iter().enumerate().map(|(slot, (.., ms))| (0, slot, *ms)).collect();
        horizon.observe(&watermarks, &[], &progress, 60_000);
        assert_eq!(horizon.ms(), [expected], "{partitions:?}");
    }

    #[test]
    fn a_partition_of_another_instance_holds_it_back_too() {
        let progress = Progress::new(&[0], 1);
        progress.lanes[0].next.store(5, Ordering::Relaxed);
        progress.lanes[0].log_end.store(5, Ordering::Relaxed);
        let mut horizon = Horizon::new(vec![i64::MIN], &[0], Duration::from_secs(10), 0);
        horizon.observe(&[(0, 0, 100)], &[(0, 30)], &progress, 0);
        assert_eq!(horizon.ms(), [30]);
    }

    #[test]
    fn the_slowest_active_partition_decides() {
        check(&[(5, 5, 100), (7, 7, 40)], true, 40);
    }

    #[test]
    fn a_silent_partition_at_its_end_does_not_hold_the_horizon_back() {
        check(&[(5, 5, 100), (7, 7, 40)], false, i64::MIN);
        check(&[(5, 9, 100), (7, 7, 40)], false, 100);
    }

    #[test]
    fn a_partition_that_never_held_a_record_holds_it_back_for_a_while() {
        let progress = Progress::new(&[0, 0], 1);
        let mut horizon = Horizon::new(vec![i64::MIN], &[0, 0], Duration::from_secs(10), 0);
        let mut check = |now_ms: i64, watermark_ms: i64, expected: i64| {
            progress.lanes[0].next.fetch_add(1, Ordering::Relaxed);
            progress
                .lanes
                .iter()
                .for_each(|lane| lane.log_end.store(lane.next.load(Ordering::Relaxed), Ordering::Relaxed));
            horizon.observe(&[(0, 0, watermark_ms), (0, 1, i64::MIN)], &[], &progress, now_ms);
            assert_eq!(horizon.ms(), [expected], "at {now_ms}");
        };
        check(9_999, 100, i64::MIN);
        check(10_000, 200, 200);
    }

    #[test]
    fn a_run_up_to_what_there_is_passes_over_what_is_empty() {
        let progress = Progress::new(&[0, 0], 1);
        for (lane, end) in progress.lanes.iter().zip([5, 0]) {
            lane.next.store(end, Ordering::Relaxed);
            lane.log_end.store(end, Ordering::Relaxed);
        }
        let mut horizon = Horizon::new(vec![i64::MIN], &[0, 0], Duration::from_secs(10), 0);
        horizon.pass_over_empty(true);
        horizon.observe(&[(0, 0, 100), (0, 1, i64::MIN)], &[], &progress, 0);
        assert_eq!(horizon.ms(), [100]);
    }

    #[test]
    fn an_unread_partition_keeps_everything_open() {
        check(&[(5, 5, 100), (0, 3, i64::MIN)], true, i64::MIN);
    }
}
