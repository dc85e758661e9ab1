//! What a view answers: merged, live and committed, filtered, ordered, final or not.

use super::super::{AsOf, Changes, PartitionState, QueryError};
use super::*;
use std::collections::BTreeMap;

/// The changes of one partition that has these sales.
fn changes(partition: i32, rows: &[Sale]) -> Changes {
    let mut state = PartitionState::new(plan(), partition);
    assert!(state.update(&batch(rows), i64::MIN).is_empty());
    state.take_live(rows.len() as i64)
}

/// Two partitions: FR in two windows and in both, DE and no country in one.
fn filled() -> View {
    let view = View::new(plan());
    let mut nowhere = sale("DE", 3, 50);
    nowhere.country = None;
    let parts = [
        changes(0, &[sale("FR", 1, 100), sale("DE", 2, 900), sale("FR", 11, 300)]),
        changes(1, &[sale("FR", 4, 500), nowhere]),
    ];
    parts.iter().for_each(|changes| view.apply_live(changes));
    view.apply_committed(7, &parts);
    view
}

/// The countries and lines of an answer.
fn check(query: Query, expected: &[(&str, i64)]) {
    let view = filled();
    for committed in [false, true] {
        let answer = view.query(&Query { committed, ..query.clone() }).unwrap();
        let found = pairs(&answer.rows, "country", "lines");
        let found: Vec<_> = found.iter().map(|(country, lines)| (country.as_str(), *lines)).collect();
        assert_eq!(found, expected, "{query:?}");
        assert_eq!(answer.is_final.len(), expected.len());
    }
}

fn query(limit: usize) -> Query {
    Query { limit, ..Query::default() }
}

#[test]
fn an_answer_merges_the_partitions_newest_window_first_then_by_key() {
    check(query(10), &[("FR", 1), ("null", 1), ("DE", 1), ("FR", 2)]);
    check(query(2), &[("FR", 1), ("null", 1)]);
    check(query(0), &[]);
    assert_eq!(filled().query(&query(2)).unwrap().total, 4);
}

#[test]
fn rows_are_picked_by_key_and_window() {
    let keys = |value: &str| vec![("country".to_owned(), value.to_owned())];
    check(Query { keys: keys("FR"), ..query(10) }, &[("FR", 1), ("FR", 2)]);
    check(Query { keys: keys("IT"), ..query(10) }, &[]);
    let from = Some(10 * MINUTE_MS);
    check(Query { from_ms: from, ..query(10) }, &[("FR", 1)]);
    check(Query { to_ms: from, keys: keys("FR"), ..query(10) }, &[("FR", 2)]);
    check(Query { from_ms: from, to_ms: from, ..query(10) }, &[]);
    check(Query { from_ms: from, to_ms: Some(0), ..query(10) }, &[]);
}

#[test]
fn rows_are_ordered_by_any_column_with_nulls_last() {
    let by = |name: &str, descending| vec![(name.to_owned(), descending)];
    check(Query { order: by("revenue", true), ..query(10) }, &[("DE", 1), ("FR", 2), ("FR", 1), ("null", 1)]);
    check(Query { order: by("revenue", false), ..query(2) }, &[("null", 1), ("FR", 1)]);
    check(Query { order: by("country", false), ..query(10) }, &[("DE", 1), ("FR", 1), ("FR", 2), ("null", 1)]);
    check(Query { order: by("country", true), ..query(10) }, &[("FR", 1), ("FR", 2), ("DE", 1), ("null", 1)]);
    check(Query { order: by("window_start", false), ..query(1) }, &[("null", 1)]);
}

#[test]
fn one_key_of_several_picks_rows_too() {
    let mut gold = by_country();
    gold.keys.push(Key { name: "units".into(), column: "quantity".into(), description: String::new() });
    let plan = Plan::new("retail", &gold, &sales()).unwrap();
    let mut state = PartitionState::new(Arc::clone(&plan), 0);
    let mut rows = vec![sale("FR", 1, 100), sale("DE", 1, 200), sale("FR", 1, 300)];
    rows[2].quantity = Some(2);
    assert!(state.update(&batch(&rows), i64::MIN).is_empty());
    let view = View::new(plan);
    view.apply_live(&state.take_live(3));
    let ask = |keys: &[(&str, &str)]| {
        let keys = keys.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let answer = view.query(&Query { keys, ..query(1) }).unwrap();
        (answer.total, pairs(&answer.rows, "country", "units"))
    };
    assert_eq!(ask(&[("units", "1")]), (2, vec![("DE".to_owned(), 1)]));
    assert_eq!(ask(&[("country", "FR")]), (2, vec![("FR".to_owned(), 1)]));
    assert_eq!(ask(&[("units", "2"), ("country", "FR")]), (1, vec![("FR".to_owned(), 2)]));
    assert_eq!(ask(&[("units", "3")]), (0, vec![]));
    assert_eq!(ask(&[("units", "1"), ("units", "2")]), (0, vec![]));
}

#[test]
fn a_question_about_what_is_not_there_says_what_is() {
    let view = filled();
    let keys = vec![("lines".to_owned(), "1".to_owned())];
    let error = view.query(&Query { keys, ..query(1) }).unwrap_err();
    assert_eq!(error.to_string(), "there is no column lines; there are country");
    let order = vec![("turnover".to_owned(), true)];
    let error = view.query(&Query { order, ..query(1) }).unwrap_err();
    assert!(matches!(error, QueryError::UnknownColumn { name, known } if name == "turnover" && known.len() == 11));
}

#[test]
fn committed_answers_wait_for_the_commit() {
    let (view, mut state) = (View::new(plan()), PartitionState::new(plan(), 0));
    assert!(state.update(&batch(&[sale("FR", 1, 100)]), i64::MIN).is_empty());
    view.apply_live(&state.take_live(1));
    view.apply_committed(1, &[state.take_commit(1)]);
    assert!(state.update(&batch(&[sale("FR", 2, 100)]), i64::MIN).is_empty());
    view.apply_live(&state.take_live(2));
    let lines = |committed| pairs(&all(&view, committed).rows, "country", "lines")[0].1;
    assert_eq!((lines(false), lines(true)), (2, 1));
    view.set_table(40, 1);
    let as_of = |next_offset| AsOf {
        micro_batch: 1,
        offsets: BTreeMap::from([(0, next_offset)]),
        restated: 0,
        elsewhere: BTreeMap::new(),
        kept_from_ms: i64::MIN,
        watermark_ms: i64::MIN,
        table_version: Some(40),
        table_micro_batch: Some(1),
    };
    assert_eq!((all(&view, false).as_of, all(&view, true).as_of), (as_of(2), as_of(1)));
    view.apply_committed(2, &[state.take_commit(2)]);
    assert_eq!((lines(false), lines(true)), (2, 2));
    assert!(state.take_live(2).is_empty() && state.take_commit(2).is_empty());
}

#[test]
fn what_is_restated_is_another_answer() {
    let (view, mut state) = (View::new(plan()), PartitionState::new(plan(), 0));
    assert!(state.update(&batch(&[sale("FR", 1, 100)]), i64::MIN).is_empty());
    view.apply_live(&state.take_live(1));
    let before = all(&view, false).as_of;
    view.apply_live(&state.take_live(1));
    assert_eq!(all(&view, false).as_of, before, "nothing has changed");
    assert!(state.restate(&batch(&[sale("FR", 2, 100)])).is_empty());
    view.apply_live(&state.take_live(1));
    assert_ne!(all(&view, false).as_of, before);
}

#[test]
fn a_row_is_final_once_its_window_has_closed_for_late_rows() {
    let view = filled();
    let finals = || all(&view, false).is_final;
    assert_eq!(finals(), [false; 4]);
    view.set_horizon_ms(15 * MINUTE_MS - 1);
    assert_eq!(finals(), [false; 4]);
    view.set_horizon_ms(15 * MINUTE_MS);
    view.set_horizon_ms(0);
    assert_eq!(finals(), [false, true, true, true]);
    assert_eq!(all(&view, false).as_of.watermark_ms, 15 * MINUTE_MS);
}

#[test]
fn gold_rows_are_the_committed_rows_part_by_part() {
    let view = View::new(plan());
    let day = 24 * 60;
    let rows: Vec<_> = [-1, 0, 1, day - 1, day, 3 * day].map(|minute| sale("FR", minute, minute.into())).into();
    let all_rows: Vec<_> =
        rows.iter().enumerate().map(|(part, row)| changes(part as i32, std::slice::from_ref(row))).collect();
    view.apply_committed(1, &all_rows);
    assert_eq!(view.all_parts(), [-1, 0, 1, 3]);
    assert_eq!(view.take_touched(), [-1, 0, 1, 3]);
    view.apply_committed(2, &[changes(9, &[sale("DE", 5, 5)])]);
    assert_eq!(view.take_touched(), [0]);
    assert!(view.take_touched().is_empty());
    let committed = all(&view, true).rows;
    let parts: Vec<_> = view.all_parts().into_iter().map(|part| view.gold_rows(part)).collect();
    assert_eq!(parts.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 3, 1, 1]);
    assert_eq!(
        pairs(&parts[1], "country", "lines"),
        [("DE".to_owned(), 1), ("FR".to_owned(), 2), ("FR".to_owned(), 1)]
    );
    let in_order = Query { committed: true, order: vec![("window_start".into(), false)], ..query(usize::MAX) };
    let answer = view.query(&in_order).unwrap().rows;
    assert_eq!(answer.num_rows(), committed.num_rows());
    let mut first = 0;
    for part in parts {
        assert_eq!(answer.slice(first, part.num_rows()), part);
        first += part.num_rows();
    }
    assert_eq!(view.gold_rows(2).num_rows(), 0);
}
