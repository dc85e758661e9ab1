//! Which rows are too late.

use super::super::PartitionState;
use super::*;

/// Rows at these minutes, one after another; windows of 10 minutes, 5 minutes late.
fn late(minutes: &[i64], horizon_ms: i64) -> Vec<u32> {
    let rows: Vec<_> = minutes.iter().map(|minute| sale("FR", *minute, 100)).collect();
    let whole = PartitionState::new(plan(), 0).update(&batch(&rows), horizon_ms);
    let mut state = PartitionState::new(plan(), 0);
    let one_by_one: Vec<u32> = (0..)
        .zip(&rows)
        .filter(|(_, row)| !state.update(&batch(std::slice::from_ref(*row)), horizon_ms).is_empty())
        .map(|(index, _)| index)
        .collect();
    assert_eq!(whole, one_by_one, "the verdict depends on the chunking");
    whole
}

#[test]
fn a_row_is_late_from_the_end_of_its_window_plus_the_lateness() {
    let none: [u32; 0] = [];
    assert_eq!(late(&[1, 14, 1], i64::MIN), none);
    assert_eq!(late(&[1, 15, 1, 10], i64::MIN), [2]);
    assert_eq!(late(&[-5, 4, -5, 5, -5], i64::MIN), [4]);
}

#[test]
fn the_horizon_closes_windows_too() {
    let none: [u32; 0] = [];
    assert_eq!(late(&[1, 11], 15 * MINUTE_MS - 1), none);
    assert_eq!(late(&[1, 11], 15 * MINUTE_MS), [0]);
    assert_eq!(late(&[1], i64::MAX), [0]);
}

#[test]
fn the_ends_of_time_have_windows_too() {
    let [mut first, mut last] = [sale("FR", 0, 100), sale("FR", 0, 100)];
    (first.sold_us, last.sold_us) = (i64::MIN, i64::MAX);
    let mut state = PartitionState::new(plan(), 0);
    assert!(state.update(&batch(&[first.clone(), last]), i64::MIN).is_empty());
    assert_eq!(state.groups(), 2);
    assert_eq!(state.update(&batch(&[first]), i64::MIN), [0]);
}

#[test]
fn a_late_row_counts_nowhere_and_does_not_move_the_watermark() {
    let mut state = PartitionState::new(plan(), 0);
    assert_eq!(state.watermark_ms(), i64::MIN);
    assert_eq!(state.update(&batch(&[sale("FR", 3, 100)]), 60 * MINUTE_MS), [0]);
    assert_eq!((state.watermark_ms(), state.groups()), (i64::MIN, 0));
    let mut early = sale("FR", 100, 100);
    early.sold_us += 1_999;
    assert!(state.update(&batch(&[early]), 60 * MINUTE_MS).is_empty());
    assert_eq!((state.watermark_ms(), state.groups()), (100 * MINUTE_MS + 1, 1));
    assert_eq!(state.take_live(2).len(), 1);
}

#[test]
fn what_is_restated_is_late_for_no_window_that_is_kept_and_moves_no_watermark() {
    let mut state = PartitionState::new(plan(), 0);
    assert!(state.update(&batch(&[sale("FR", 100, 100)]), i64::MIN).is_empty());
    assert_eq!(state.update(&batch(&[sale("FR", 1, 100)]), i64::MIN), [0]);
    let rows = [sale("FR", 1, 7), sale("FR", 12, 7), sale("FR", 200, 7)];
    assert!(state.restate(&batch(&rows)).is_empty());
    assert_eq!((state.watermark_ms(), state.groups()), (100 * MINUTE_MS, 4));
    state.forget(10 * MINUTE_US);
    assert_eq!(state.restate(&batch(&rows)), [0]);
    assert_eq!((state.watermark_ms(), state.groups()), (100 * MINUTE_MS, 3));
    assert_eq!(plan().window_starts_us(&batch(&rows)), [0, 10 * MINUTE_US, 200 * MINUTE_US]);
}
