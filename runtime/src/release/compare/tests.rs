//! Comparisons of what two modules made of chunks, row by row.

use super::*;
use crate::record::{Chunk, DeadLetter, Record, Stage};
use crate::release::{Dead, Rows, Stopped};
use crate::transform::{Usage, sample};
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Decimal128Array, StringArray, TimestampMicrosecondArray};
use lakeward_manifest::{Column, DataType};
use std::collections::BTreeMap;

const HOUR_US: i64 = 3_600_000_000;

/// A row of the sample's product: its record, and what is in it.
#[derive(Debug, Clone)]
struct Row {
    record: u32,
    invoice: &'static str,
    total: i128,
    customer: Option<&'static str>,
    hour: i64,
}

fn row(record: u32, invoice: &'static str, total: i128) -> Row {
    Row { record, invoice, total, customer: Some("c1"), hour: 0 }
}

/// One module's side of a chunk of `records` records, all of which are events.
#[derive(Debug, Clone)]
struct Made {
    events: Vec<u32>,
    undecoded: Vec<DeadLetter>,
    outcome: Outcome,
}

fn made(records: u32, rows: &[Row]) -> Made {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.invoice))),
        Arc::new(
            Decimal128Array::from_iter_values(rows.iter().map(|row| row.total))
                .with_precision_and_scale(18, 3)
                .unwrap(),
        ),
        Arc::new(rows.iter().map(|row| row.customer).collect::<StringArray>()),
        Arc::new({
            let mut tags = ListBuilder::new(StringBuilder::new());
            rows.iter().for_each(|_| tags.append(true));
            tags.finish()
        }),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.hour * HOUR_US)).with_timezone("UTC"),
        ),
    ];
    let rows = Rows { product: 0, origins: rows.iter().map(|row| row.record).collect(), columns };
    Made {
        events: (0..records).collect(),
        undecoded: Vec::new(),
        outcome: Outcome {
            rows: vec![rows],
            cost: Usage { nanoseconds: 1_000, fuel: 500, ..Usage::default() },
            ..Outcome::default()
        },
    }
}

impl Made {
    /// The same where these events are dead letters.
    fn with_dead(mut self, dead: &[(u32, &str)]) -> Self {
        let letter =
            |reason: &str| Dead { stage: Stage::Transform, reason: reason.to_owned(), product: None, failed: false };
        self.outcome.dead = dead.iter().map(|(event, reason)| (*event, letter(reason))).collect();
        self
    }
}

/// A chunk of partition 3 whose first offset is `first`.
fn chunk(first: i64, records: u32) -> Chunk {
    let mut chunk = Chunk::new("orders".into(), 3, first);
    for offset in first..first + i64::from(records) {
        chunk.push(Record { offset, timestamp_ms: 0, key: None, value: Some(b"{}") });
    }
    chunk
}

fn feed(comparison: &mut Comparison, first: i64, old: &Made, new: &Made) {
    let records = old.events.len().max(new.events.len()) as u32;
    let events =
        |made: &Made| Events { rows: made.events.clone(), columns: Vec::new(), dead_letters: made.undecoded.clone() };
    let (before, after) = (events(old), events(new));
    let (old, new) =
        ([Side { events: &before, outcome: &old.outcome }], [Side { events: &after, outcome: &new.outcome }]);
    comparison.chunk(&chunk(first, records), &old, &new);
}

fn comparison(change: impl FnOnce(&mut Manifest)) -> Comparison {
    let old = sample::manifest();
    let mut new = old.clone();
    change(&mut new);
    Comparison::new(&old, &new).unwrap()
}

/// The report on one chunk.
fn report(old: &Made, new: &Made) -> Report {
    let mut comparison = comparison(|_| {});
    feed(&mut comparison, 100, old, new);
    comparison.report()
}

fn rows(same: u64, changed: u64, only_old: u64, only_new: u64) -> RowsReport {
    RowsReport { same, changed, only_old, only_new }
}

fn column<'a>(report: &'a Report, name: &str) -> &'a ColumnReport {
    report.products[0].columns.iter().find(|column| column.column == name).unwrap()
}

#[test]
fn a_module_makes_the_same_as_itself() {
    let side = made(3, &[row(0, "a", 1), row(2, "b", 2)]);
    let report = report(&side, &side);
    assert_eq!((report.records, report.rows), (3, rows(2, 0, 0, 0)));
    assert_eq!((report.gold[0].groups, report.gold[0].is_redefined), (0, false));
    assert_eq!(report.rejects, RejectReport { is_masked: true, ..RejectReport::default() });
}

#[test]
fn rows_are_matched_by_record_and_order_and_each_value_is_told() {
    let old = made(5, &[row(0, "a", 1), row(1, "b", 2), row(1, "c", 3), row(3, "d", 4)]);
    let new = made(5, &[row(0, "a", 1), row(1, "b", 2_500), row(2, "x", 9), row(3, "D", 4)]);
    let report = report(&old, &new);
    assert_eq!(report.rows, rows(1, 2, 1, 1));
    let origin = |offset| Origin { topic: "orders".into(), partition: 3, offset };
    assert_eq!((column(&report, "line_total").differs, column(&report, "invoice").differs), (1, 1));
    assert_eq!(
        column(&report, "line_total").examples,
        [Differing { origin: origin(101), before: Some("0.002".into()), after: Some("2.500".into()) }]
    );
    assert_eq!(
        column(&report, "invoice").examples,
        [Differing { origin: origin(103), before: Some("d".into()), after: Some("D".into()) }]
    );
    let shown =
        |examples: &[RowExample]| examples.iter().map(|row| (row.origin.offset, row.row.clone())).collect::<Vec<_>>();
    let line = |invoice: &str, total: &str| {
        format!("invoice={invoice}, line_total={total}, customer_id=c1, tags=[], sold_at=1970-01-01T00:00:00Z")
    };
    assert_eq!(shown(&report.products[0].only_old), [(101, line("c", "0.003"))]);
    assert_eq!(shown(&report.products[0].only_new), [(102, line("x", "0.009"))]);
}

#[test]
fn events_are_led_back_to_their_records_on_both_sides() {
    // The new module cannot decode record 1, so that its second event is record 2.
    let old = made(3, &[row(0, "a", 1), row(1, "b", 2), row(2, "c", 3)]);
    let mut new = made(3, &[row(0, "a", 1), row(1, "c", 3)]);
    new.events = vec![0, 2];
    new.undecoded = vec![DeadLetter { index: 1, stage: Stage::Decode, reason: "no number".into() }];
    let report = report(&old, &new);
    assert_eq!(report.rows, rows(2, 0, 1, 0));
    assert_eq!((report.rejects.gained, report.rejects.gained_reasons[0].stage.as_str()), (1, "decode"));
}

#[test]
fn nulls_differ_from_values() {
    let with = |customer| Row { customer, ..row(0, "a", 1) };
    let (none, some) = (made(1, &[with(None)]), made(1, &[with(Some("c1"))]));
    assert_eq!(report(&none, &none).rows, rows(1, 0, 0, 0));
    let found = report(&none, &some);
    let example = &column(&found, "customer_id").examples[0];
    assert_eq!((&example.before, &example.after), (&None, &Some("c1".to_owned())));
}

#[test]
fn dead_letters_are_gained_and_lost_with_their_reasons() {
    let old = made(6, &[]).with_dead(&[(0, "no name"), (1, "no name"), (4, "late")]);
    let new = made(6, &[]).with_dead(&[(1, "no title"), (2, "no title"), (3, "no title"), (5, "odd")]);
    let report = report(&old, &new);
    let hidden = report.for_everybody().rejects;
    assert!(hidden.gained_reasons.iter().all(|reason| reason.reason.starts_with("for operators only")), "{hidden:?}");
    let rejects = report.rejects;
    assert_eq!((rejects.both, rejects.gained, rejects.lost), (1, 3, 2));
    let told = |reasons: &[Reason]| -> Vec<(String, u64, i64)> {
        reasons.iter().map(|reason| (reason.reason.clone(), reason.records, reason.first.offset)).collect()
    };
    assert_eq!(told(&rejects.gained_reasons), [("no title".to_owned(), 2, 102), ("odd".to_owned(), 1, 105)]);
    assert_eq!(told(&rejects.lost_reasons), [("no name".to_owned(), 1, 100), ("late".to_owned(), 1, 104)]);
}

#[test]
fn a_gold_group_differs_where_something_that_it_counts_does() {
    let at = |record, invoice, total, hour| Row { hour, ..row(record, invoice, total) };
    let old = made(4, &[at(0, "a", 1, 0), at(1, "b", 2, 1), at(2, "c", 3, 2), at(3, "d", 4, 3)]);
    // The invoice is not counted; the total is; a row that moves touches two groups; a row that is gone one.
    let new = made(4, &[at(0, "A", 1, 0), at(1, "b", 9, 1), at(2, "c", 3, 5)]);
    let gold = &report(&old, &new).gold[0];
    assert_eq!((gold.groups, gold.at_least), (4, false));
    let starts: Vec<&str> = gold.examples.iter().map(|group| group.window_start.as_str()).collect();
    let expected = ["01", "02", "03", "05"].map(|hour| format!("1970-01-01T{hour}:00:00Z"));
    assert_eq!(starts, expected);
    assert_eq!(gold.examples[0].keys, BTreeMap::from([("customer".to_owned(), Some("c1".to_owned()))]));
}

#[test]
fn threads_that_each_saw_some_chunks_find_what_one_that_saw_all_does() {
    let chunks: Vec<(i64, Made, Made)> = (0..40)
        .map(|number: i64| {
            let at = |total| Row { hour: number, ..row(0, "a", total) };
            let new = if number % 3 == 0 { made(2, &[at(7)]) } else { made(2, &[at(1)]).with_dead(&[(1, "odd")]) };
            (number * 10, made(2, &[at(1)]), new)
        })
        .collect();
    let mut one = comparison(|_| {});
    let mut team = [one.fresh(), one.fresh(), one.fresh()];
    for (index, (first, old, new)) in chunks.iter().enumerate() {
        feed(&mut one, *first, old, new);
        // In another order than they came.
        let (first, old, new) = &chunks[chunks.len() - 1 - index];
        feed(&mut team[index % 3], *first, old, new);
    }
    let [mut whole, second, third] = team;
    whole.merge(second);
    whole.merge(third);
    assert_eq!(whole.report(), one.report());
    assert_eq!((whole.records(), one.report().rows), (80, rows(26, 14, 0, 0)));
    assert_eq!(one.report().gold[0].groups, 14);
    assert_eq!(one.report().products[0].columns[1].examples.len(), 5);
}

#[test]
fn columns_of_one_side_count_as_such_and_other_types_are_compared_as_text() {
    let mut comparison = comparison(|new| {
        new.products[0].columns[0].name = "receipt".into();
        new.products[0].columns[1].data_type = DataType::Decimal { precision: 20, scale: 4 };
    });
    let old = made(2, &[row(0, "a", 1_500), row(1, "b", 2)]);
    let mut new = made(2, &[row(0, "z", 0), row(1, "z", 0)]);
    let totals = Decimal128Array::from_iter_values([15_000, 21]).with_precision_and_scale(20, 4).unwrap();
    new.outcome.rows[0].columns[1] = Arc::new(totals);
    feed(&mut comparison, 0, &old, &new);
    let report = comparison.report();
    assert_eq!(report.rows, rows(1, 1, 0, 0));
    assert_eq!(column(&report, "invoice").presence, Presence::Old);
    assert_eq!(column(&report, "receipt").presence, Presence::New);
    let total = column(&report, "line_total");
    assert_eq!(total.types, Some(["decimal(18,3)".to_owned(), "decimal(20,4)".to_owned()]));
    assert_eq!((total.differs, total.examples[0].before.as_deref()), (1, Some("0.002")));
}

#[test]
fn what_one_module_hides_is_not_shown_from_the_other() {
    let mut comparison = comparison(|new| new.products[0].columns[2].mask = None);
    let with = |record, customer| Row { customer: Some(customer), ..row(record, "a", 1) };
    let old = made(2, &[with(0, "5bdcc146bf60754e"), with(1, "5bdcc146bf60754e")]);
    let new = made(3, &[with(0, "Ann Miller"), with(2, "Bob Smith")]);
    feed(&mut comparison, 0, &old, &new);
    let report = comparison.report();
    let example = &column(&report, "customer_id").examples[0];
    assert_eq!((example.before.as_deref(), example.after.as_deref()), (Some("5bdcc146bf60754e"), Some("(hidden)")));
    let json = serde_json::to_string(&report).unwrap();
    assert!(!json.contains("Miller") && !json.contains("Smith"), "{json}");
}

#[test]
fn a_redefined_gold_product_is_not_compared() {
    let mut comparison = comparison(|new| new.gold[0].window = lakeward_manifest::Window::Tumbling { width_ms: 1 });
    feed(&mut comparison, 0, &made(1, &[row(0, "a", 1)]), &made(1, &[row(0, "a", 2)]));
    let gold = &comparison.report().gold[0];
    assert_eq!((gold.is_redefined, gold.groups), (true, 0));
}

#[test]
fn modules_without_a_product_in_common_are_not_compared() {
    let old = sample::manifest();
    let mut new = old.clone();
    new.products[0].name = "trips".into();
    assert_eq!(
        Comparison::new(&old, &new).unwrap_err().to_string(),
        "the modules have no product in common: the old one writes sales, the new one trips"
    );
}

#[test]
fn a_product_of_one_module_is_counted_apart() {
    let mut comparison = comparison(|new| {
        let mut product = new.products[0].clone();
        product.name = "copies".into();
        new.products.push(product);
    });
    let old = made(1, &[row(0, "a", 1)]);
    let mut new = old.clone();
    new.outcome.rows.push(Rows { product: 1, ..new.outcome.rows[0].clone() });
    feed(&mut comparison, 0, &old, &new);
    let report = comparison.report();
    assert_eq!((report.rows, report.products[1].rows), (rows(1, 0, 0, 0), rows(0, 0, 0, 1)));
    assert_eq!(report.products[1].presence, Presence::New);
}

#[test]
fn rows_of_several_transforms_stand_in_the_order_of_records() {
    let mut comparison = comparison(|_| {});
    let (events, again) =
        (Events { rows: vec![0, 1], columns: vec![], dead_letters: vec![] }, made(2, &[row(0, "b", 2)]));
    let first = made(2, &[row(0, "a", 1), row(1, "c", 3)]);
    let old = made(2, &[row(0, "a", 1), row(0, "b", 2), row(1, "c", 3)]);
    let side = |made| Side { events: &events, outcome: made };
    comparison.chunk(&chunk(0, 2), &[side(&old.outcome)], &[side(&first.outcome), side(&again.outcome)]);
    assert_eq!(comparison.report().rows, rows(3, 0, 0, 0));
}

/// A report whose figures the conditions are about.
fn measured() -> Report {
    let old = made(1000, &(0..900).map(|record| row(record, "a", 1)).collect::<Vec<_>>());
    let rows: Vec<Row> =
        (0..850).map(|record| row(record, "a", i128::from(record >= 9) - i128::from(record < 9))).collect();
    let mut new = made(1000, &rows).with_dead(&[(900, "odd")]);
    new.outcome.cost = Usage { nanoseconds: 1_200, fuel: 400, ..Usage::default() };
    new.outcome.stopped = vec![Stopped { event: 3, product: 0, reason: "rule".into() }];
    report(&old, &new)
}

#[test]
fn conditions_hold_or_say_what_was_found() {
    let report = measured();
    let table = [
        ("records >= 1000", None),
        ("records>1000", Some("it is 1,000")),
        ("changed <= 1%", None),
        ("changed < 1%", Some("it is 1.0000 %, 9 of 900")),
        ("changed = 9", None),
        ("same >= 90%", None),
        ("only_old = 0", Some("it is 50")),
        ("only_old <= 5.6 %", None),
        ("only_new = 0%", None),
        ("new_rejects <= 0.1%", None),
        ("new_rejects = 0", Some("it is 1")),
        ("lost_rejects = 0", None),
        ("groups <= 1", None),
        ("groups = 0", Some("it is 1")),
        ("stops = 0", Some("it is 1")),
        ("slower <= 20.1%", None),
        ("slower <= 19%", Some("it is +20.0 %")),
        ("more_fuel <= -19%", None),
    ];
    for (text, expected) in table {
        let condition: Condition = text.parse().unwrap();
        let found = condition.holds(&report).map_err(|unmet| unmet.found);
        assert_eq!(found.err().as_deref(), expected, "{text}");
    }
}

#[test]
fn nothing_holds_before_anything_was_compared() {
    let condition: Condition = "changed = 0".parse().unwrap();
    let unmet = condition.holds(&comparison(|_| {}).report()).unwrap_err();
    assert_eq!(unmet.to_string(), "`changed = 0` does not hold: nothing was compared yet");
}

#[test]
fn what_is_no_condition_is_refused_with_the_reason() {
    let table = [
        ("changed", "it has no `<=`, `<`, `=`, `>=` or `>`"),
        (
            "chnged = 0",
            "there is no figure `chnged`, but records, same, changed, only_old, only_new, new_rejects, lost_rejects, groups, stops, slower, more_fuel",
        ),
        ("changed <= few", "`few` is not a number"),
        ("changed <= -1", "`-1` is not a number that a count can have"),
        ("changed <= NaN", "`NaN` is not a number that a count can have"),
        ("records >= 10%", "`records` is a number, not a percentage"),
        ("slower <= 20", "`slower` is a percentage: `20%`"),
    ];
    for (text, reason) in table {
        let error = text.parse::<Condition>().unwrap_err().to_string();
        let expected =
            format!("`{text}` is no condition: {reason}; write it like `changed <= 0.1%` or `new_rejects = 0`");
        assert_eq!(error, expected);
    }
}

#[test]
fn a_condition_is_written_down_as_it_was_given() {
    let condition: Condition = serde_json::from_str("\"changed <= 0.1%\"").unwrap();
    assert_eq!(serde_json::to_string(&condition).unwrap(), "\"changed <= 0.1%\"");
    assert!(serde_json::from_str::<Condition>("\"changed\"").is_err());
}

#[test]
fn a_report_comes_back_from_its_json() {
    let report = measured();
    let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn a_person_reads_the_report_from_the_whole_to_the_single_value() {
    let at = |record, invoice, total, hour| Row { hour, ..row(record, invoice, total) };
    let old = made(5, &[at(0, "a", 1_000, 0), at(1, "b", 2_000, 1), at(2, "c", 3_000, 1)]).with_dead(&[(4, "no name")]);
    let new = made(5, &[at(0, "a", 1_000, 0), at(1, "b", 2_500, 1), at(3, "x", 9_000, 7)]);
    insta::assert_snapshot!(report(&old, &new), @r"
    5 records compared, 4 rows
      same                  1    25.00 %
      changed               1    25.00 %
      only old              1    25.00 %
      only new              1    25.00 %
    dead letters: 0 gained, 1 lost, 0 of both
      lost         1  transform: no name  (first orders/3@104)

    retail/sales: 1 same, 1 changed, 1 only old, 1 only new
      line_total: 1 value differs
        orders/3@101  `2.000` -> `2.500`
      only old  orders/3@102  invoice=c, line_total=3.000, customer_id=c1, tags=[], sold_at=1970-01-01T01:00:00Z
      only new  orders/3@103  invoice=x, line_total=9.000, customer_id=c1, tags=[], sold_at=1970-01-01T07:00:00Z

    retail/sales_by_customer: 2 groups hold rows that differ
      1970-01-01T01:00:00Z  customer=c1
      1970-01-01T07:00:00Z  customer=c1

    cost an event: 200 ns before, 200 ns after (+0 %); 100 fuel before, 100 after (+0 %)
    ");
}

#[test]
fn a_column_that_only_one_side_has_is_named_in_the_text() {
    let mut comparison = comparison(|new| {
        new.products[0].columns.push(Column {
            name: "discount".into(),
            source: None,
            data_type: DataType::Int64,
            nullable: true,
            format: None,
            mask: None,
            description: String::new(),
        });
    });
    let side = made(1, &[row(0, "a", 1)]);
    let mut wider = side.clone();
    wider.outcome.rows[0].columns.push(Arc::new(arrow_array::Int64Array::from(vec![None])));
    feed(&mut comparison, 0, &side, &wider);
    let text = comparison.report().to_string();
    assert!(text.contains("  discount: only in the new module\n"), "{text}");
}
