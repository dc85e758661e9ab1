//! Micro-batches that tell the truth, and some that do not.

use super::super::report::Outcome;
use super::super::subject::{Module, Silver};
use super::*;
use crate::checkpoint::SourcePartition;
use lakeward_manifest::{Layer, Product};

fn subjects() -> Subjects {
    let product = Product {
        name: "b".into(),
        description: String::new(),
        layer: Layer::Silver,
        columns: Vec::new(),
        partition_by: Vec::new(),
        expectations: Vec::new(),
    };
    let silver = Silver { path: "a/b".into(), module: "m".into(), topic: "orders".into(), product };
    let module = Module { name: "m".into(), topics: vec!["orders".into()] };
    Subjects { modules: vec![module], silver: vec![silver], golds: Vec::new() }
}

fn origins(offsets: &[i64]) -> Origins {
    let mut origins = Origins::default();
    offsets.iter().for_each(|offset| assert!(origins.insert((0, 0), *offset)));
    origins
}

/// A micro-batch over offsets 0 to 9 that counts so many with rows, skips and dead letters; and what the tables hold of it.
fn check(counts: [i64; 3], rows: &[i64], dead: &[i64], said: &[&str]) {
    check_rows(counts, counts[0], (rows, rows.len() as u64), dead, said);
}

/// The same of records that became so many `written` rows.
fn check_rows(counts: [i64; 3], written: i64, (rows, found_rows): (&[i64], u64), dead: &[i64], said: &[&str]) {
    let partition = SourcePartition::new("orders", 0, 0);
    let [with_rows, skips, dead_letters] = counts;
    let names = |name: &str| Arc::new([name.to_owned()].into_iter().collect());
    let entry = Entry {
        micro_batch: 7,
        records: with_rows + skips + dead_letters,
        with_rows,
        skips,
        dead_letters,
        rows: written,
        offsets: [(partition, 0..10)].into_iter().collect(),
        tables: names("silver/a/b"),
        modules: names("m"),
        ..Entry::default()
    };
    let (subjects, ledger) = (subjects(), Ledger::of(vec![entry]));
    let mut found = [Found::default()];
    found[0].origins = origins(rows);
    found[0].rows = found_rows;
    let mut letters = Letters::default();
    letters.dead.insert(("m".to_owned(), "orders".into()), origins(dead));
    let checks = Counting::new(&subjects, &ledger, &found, &letters).checks();
    let failed: Vec<&String> = checks.iter().flat_map(|check| &check.offenders).collect();
    assert_eq!(failed, said, "{counts:?}");
    assert_eq!(checks.iter().any(|check| check.outcome == Outcome::Failed), !said.is_empty());
}

#[test]
fn rows_and_dead_letters_are_as_many_as_recorded() {
    check([7, 0, 3], &[0, 1, 2, 3, 4, 5, 6], &[7, 8, 9], &[]);
    check([5, 2, 3], &[0, 1, 2, 3, 4], &[7, 8, 9], &[]);
    // What lies beyond is open.
    check([7, 0, 3], &[0, 1, 2, 3, 4, 5, 6, 10, 11], &[7, 8, 9, 12], &[]);
}

#[test]
fn a_row_of_several_of_one_record_does_not_go_unseen() {
    check_rows([2, 0, 0], 5, (&[0, 1], 5), &[], &[]);
    check_rows([2, 0, 0], 5, (&[0, 1], 4), &[], &["5 rows recorded, 4 in silver"]);
    // Those of a micro-batch that a crash cut off are there and not counted.
    check_rows([2, 0, 0], 2, (&[0, 1], 5), &[], &[]);
}

#[test]
fn a_missing_record_is_named_exactly_or_among_the_skipped() {
    check(
        [7, 0, 3],
        &[0, 1, 2, 3, 5, 6],
        &[7, 8, 9],
        &[
            "micro-batch 7: 7 records with rows recorded, 6 in silver; neither a row nor a dead letter: orders#0/0 offset 4",
        ],
    );
    check(
        [7, 1, 2],
        &[0, 1, 2, 3, 5, 6, 9],
        &[7],
        &[
            "micro-batch 7: 2 dead letters recorded, 1 in the table; among 2 offsets that are neither rows nor dead letters: \
           orders#0/0 offset 4, orders#0/0 offset 8",
        ],
    );
}

#[test]
fn what_was_made_up_and_what_has_two_fates_is_found() {
    check([2, 8, 0], &[0, 1, 2], &[], &["micro-batch 7: 2 records with rows recorded, 3 in silver"]);
    check([2, 7, 1], &[0, 1], &[1], &["orders#0/0 offset 1 is a row and a dead letter"]);
    check([2, 9, 0], &[0, 1], &[], &["micro-batch 7: 11 records in 10 offsets"]);
}
