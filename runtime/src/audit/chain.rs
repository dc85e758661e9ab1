//! The offsets of one partition as the commits table tells of them: ranges that must follow each other without gap or overlap.
//!
//! | the next step starts        | and is a     | what it means                                             |
//! |-----------------------------|--------------|-----------------------------------------------------------|
//! | where the last one ended    | micro-batch  | its records were read                                     |
//! | where the last one ended    | move forward | the records between are never read, on purpose            |
//! | where the last one ended    | move back    | what lies behind it was not read, or made no rows         |
//! | behind where it ended       | any          | a gap: nobody accounts for these records                  |
//! | before where it ended       | any          | an overlap: two micro-batches account for the same records |

use std::ops::Range;

/// One step of a partition in one row of the commits table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Numbers rise along a partition, whoever owned it: an owner goes on counting from what the tables say.
    pub(super) micro_batch: i64,
    /// The offset before.
    pub(super) from: i64,
    /// The offset after.
    pub(super) next: i64,
    /// Whether somebody moved it, rather than a micro-batch read it.
    pub(super) is_move: bool,
}

/// All steps of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Where the first step starts: before it nothing was read.
    pub(super) first: i64,
    /// The offset behind the last step: up to here everything is accounted for.
    pub(super) next: i64,
    /// Offsets that were left out on purpose.
    pub(super) skipped: Vec<Range<i64>>,
    /// What does not fit together.
    pub(super) faults: Vec<String>,
}

impl Chain {
    /// Puts the steps one behind the other.
    #[must_use]
    pub(super) fn of(mut steps: Vec<Step>) -> Self {
        steps.sort_by_key(|step| (step.micro_batch, step.is_move, step.from));
        let first = steps.first().map_or(0, |step| step.from);
        let mut chain = Self { first, next: first, ..Self::default() };
        for step in steps {
            if step.from > chain.next {
                chain.faults.push(format!("no micro-batch accounts for offsets {} to {}", chain.next, step.from - 1));
            } else if step.from < chain.next {
                chain.faults.push(format!(
                    "micro-batch {} starts at offset {}, but the one before ended at {}",
                    step.micro_batch, step.from, chain.next
                ));
            }
            chain.take(step);
        }
        chain
    }

    fn take(&mut self, step: Step) {
        if step.is_move && step.next > step.from {
            self.skipped.push(step.from..step.next);
        } else if step.is_move {
            subtract(&mut self.skipped, &(step.next..i64::MAX));
        } else {
            subtract(&mut self.skipped, &(step.from..step.next));
        }
        self.next = step.next;
    }
}

/// Takes a range out of disjoint ranges.
pub(super) fn subtract(ranges: &mut Vec<Range<i64>>, taken: &Range<i64>) {
    let left = |range: &Range<i64>| range.start..range.end.min(taken.start);
    let right = |range: &Range<i64>| range.start.max(taken.end)..range.end;
    *ranges = ranges.iter().flat_map(|range| [left(range), right(range)]).filter(|range| !range.is_empty()).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[(i64, i64, i64, bool)], next: i64, skipped: &[(i64, i64)], faults: &[&str]) {
        let step = |(micro_batch, from, next, is_move): &(i64, i64, i64, bool)| Step {
            micro_batch: *micro_batch,
            from: *from,
            next: *next,
            is_move: *is_move,
        };
        let chain = Chain::of(steps.iter().map(step).collect());
        let found: Vec<(i64, i64)> = chain.skipped.iter().map(|range| (range.start, range.end)).collect();
        assert_eq!((chain.next, found.as_slice()), (next, skipped), "{steps:?}");
        assert_eq!(chain.faults, faults, "{steps:?}");
    }

    #[test]
    fn micro_batches_follow_each_other_in_whatever_order_they_are_read() {
        check(&[(2, 10, 25, false), (1, 0, 10, false), (3, 25, 25, false)], 25, &[], &[]);
        check(&[], 0, &[], &[]);
    }

    #[test]
    fn a_gap_and_an_overlap_are_named() {
        check(&[(1, 0, 10, false), (3, 20, 30, false)], 30, &[], &["no micro-batch accounts for offsets 10 to 19"]);
        check(
            &[(1, 0, 10, false), (2, 5, 20, false)],
            20,
            &[],
            &["micro-batch 2 starts at offset 5, but the one before ended at 10"],
        );
    }

    #[test]
    fn what_was_moved_over_is_skipped_until_it_is_read_after_all() {
        check(&[(1, 0, 10, false), (2, 10, 50, true), (3, 50, 60, false)], 60, &[(10, 50)], &[]);
        check(&[(1, 0, 10, false), (2, 10, 50, true), (3, 50, 20, true)], 20, &[(10, 20)], &[]);
        let back = [(1, 0, 10, false), (2, 10, 50, true), (3, 50, 20, true), (4, 20, 30, false), (5, 30, 90, false)];
        check(&back, 90, &[(10, 20)], &[]);
    }

    #[test]
    fn taking_the_middle_leaves_both_ends() {
        let mut ranges = vec![0..10, 20..30];
        subtract(&mut ranges, &(5..25));
        assert_eq!(ranges, [0..5, 25..30]);
        subtract(&mut ranges, &(1..2));
        assert_eq!(ranges, [0..1, 2..5, 25..30]);
    }
}
