//! Old windows are let go of; what stays counts on as if nothing had happened.

use super::super::PartitionState;
use super::*;

const DAY: i64 = 24 * 60;

#[test]
fn what_is_forgotten_is_whole_parts_that_can_change_no_more() {
    let plan = plan();
    let day_us = |days: i64| days * DAY * MINUTE_US;
    let at = |minute: i64, keep_minutes: i64| plan.forgettable_us(minute * MINUTE_MS, keep_minutes * MINUTE_MS);
    assert_eq!(plan.forgettable_us(i64::MIN, 0), i64::MIN);
    // Windows of 10 minutes with a lateness of 5: the last of day 2 is closed when day 3 is 5 minutes old, and a window that starts
    // then is when 15 more have passed.
    assert_eq!(at(3 * DAY + 14, 0), day_us(2));
    assert_eq!(at(3 * DAY + 15, 0), day_us(3));
    assert_eq!(at(3 * DAY + 15, DAY), day_us(2));
}

#[test]
fn what_stays_counts_on() {
    let plan = plan();
    let (mut state, view) = (PartitionState::new(Arc::clone(&plan), 0), View::new(Arc::clone(&plan)));
    let show = |state: &mut PartitionState, offset: i64| {
        view.apply_live(&state.take_live(offset));
        view.apply_committed(offset, &[state.take_commit(offset)]);
        pairs(&all(&view, true).rows, "country", "lines")
    };
    let rows =
        [sale("France", 1, 100), sale("EIRE", 2, 100), sale("Spain", DAY + 1, 100), sale("France", DAY + 2, 100)];
    assert!(state.update(&batch(&rows), i64::MIN).is_empty());
    assert_eq!(show(&mut state, 4).len(), 4);

    let from_us = DAY * MINUTE_US;
    state.forget(from_us);
    view.forget(from_us);
    assert_eq!(state.groups(), 2);
    assert_eq!(all(&view, false).as_of.kept_from_ms, DAY * MINUTE_MS);
    // The groups that stay have other numbers now; a known one, a new one, and a row of a forgotten window.
    let rows = [sale("France", DAY + 3, 100), sale("EIRE", DAY + 4, 100), sale("France", 1, 100)];
    assert_eq!(state.update(&batch(&rows), i64::MIN), [2]);
    let expected = [("EIRE", 1), ("France", 2), ("Spain", 1)].map(|(country, lines)| (country.to_owned(), lines));
    assert_eq!(show(&mut state, 7), expected);
    // A snapshot has just these.
    assert_eq!(state.take_all(7).len(), 3);
}

#[test]
fn a_forgotten_part_is_never_published_again() {
    let plan = plan();
    let (mut state, view) = (PartitionState::new(Arc::clone(&plan), 0), View::new(Arc::clone(&plan)));
    assert!(state.update(&batch(&[sale("France", 1, 100), sale("France", DAY + 1, 100)]), i64::MIN).is_empty());
    let changes = state.take_commit(2);
    view.forget(DAY * MINUTE_US);
    view.apply_committed(1, &[changes]);
    assert_eq!(view.take_touched(), [1]);
}
