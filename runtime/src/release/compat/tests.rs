//! The truth table: one difference a line, and what is said of it.

use super::*;
use crate::transform::sample;
use lakeward_manifest::{Column, DataType, Function, Granularity, Mask, OnViolation, PartitionBy, Window};

/// What is said of the sample manifest after `change`: `+` an addition, `~` a change, `!` something that breaks.
fn verdict(change: impl FnOnce(&mut Manifest)) -> Vec<String> {
    verdict_between(|_| {}, change)
}

/// The same where the old manifest is not the sample itself.
fn verdict_between(before: impl FnOnce(&mut Manifest), change: impl FnOnce(&mut Manifest)) -> Vec<String> {
    let mut old = sample::manifest();
    before(&mut old);
    let mut new = old.clone();
    change(&mut new);
    let found = compare(&old, &new);
    let line = |mark: &str, product: &Option<String>, column: &Option<String>, what: &str| {
        let place: Vec<&str> = product.iter().chain(column).map(String::as_str).collect();
        format!("{mark} {}: {what}", if place.is_empty() { "module".to_owned() } else { place.join(" ") })
    };
    let mut lines: Vec<String> =
        found.additions.iter().map(|change| line("+", &change.product, &change.column, &change.what)).collect();
    lines.extend(found.changes.iter().map(|change| line("~", &change.product, &change.column, &change.what)));
    for breaking in &found.breaking {
        lines.push(line("!", &breaking.product, &breaking.column, &breaking.what));
        assert!(
            breaking.product.is_none() || breaking.ways == Way::ALL || breaking.what.contains("a rename"),
            "{breaking:?}"
        );
    }
    lines
}

/// Each line begins as expected; the rest of the sentence is for people.
#[track_caller]
fn check(found: Vec<String>, expected: &[&str]) {
    let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(line, start)| line.starts_with(start));
    assert!(fits, "found {found:#?}, expected {expected:#?}");
}

fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
    let (name, description) = (name.to_owned(), String::new());
    Column { name, source: None, data_type, nullable, format: None, mask: None, description }
}

/// The verdict on a column that is of one type before and of another after.
#[track_caller]
fn types(old: DataType, new: DataType, expected: &[&str]) {
    let verdict = verdict_between(
        |old_manifest| old_manifest.products[0].columns.push(column("it", old, false)),
        |manifest| manifest.products[0].columns[5].data_type = new,
    );
    check(verdict, expected);
}

fn decimal(precision: u8, scale: u8) -> DataType {
    DataType::Decimal { precision, scale }
}

#[test]
fn the_same_module_is_compatible_with_itself() {
    assert_eq!(verdict(|_| {}), Vec::<String>::new());
    check(verdict(|new| new.version = "0.4.0".into()), &["~ module: version 0.3.0 becomes 0.4.0"]);
    assert_eq!(verdict(|new| new.products[0].columns.swap(0, 1)), Vec::<String>::new());
    assert_eq!(verdict(|new| new.products[0].columns[0].description = "The number.".into()), Vec::<String>::new());
}

#[test]
fn a_new_column_is_added_if_the_rows_so_far_can_do_without() {
    let add = |name: &'static str, nullable| {
        verdict(move |new| new.products[0].columns.push(column(name, DataType::Int64, nullable)))
    };
    check(add("discount", true), &["+ retail/sales discount: a new nullable int64"]);
    check(add("discount", false), &["! retail/sales discount: a new int64 that is never null"]);
    check(add("INVOICE", true), &["! retail/sales INVOICE: the table has a column invoice"]);
}

#[test]
fn a_column_that_is_gone_is_null_from_then_on_if_it_could_be() {
    check(
        verdict(|new| drop(new.products[0].columns.remove(2))),
        &["~ retail/sales customer_id: gone: the table keeps it"],
    );
    check(
        verdict(|new| drop(new.products[0].columns.remove(3))),
        &["! retail/sales tags: gone, but the table promises"],
    );
}

#[test]
fn a_rename_is_seen_where_type_and_place_agree_and_suspected_where_only_the_type_does() {
    let renamed = verdict(|new| new.products[0].columns[2].name = "customer".into());
    check(renamed, &["! retail/sales customer: it stands where customer_id stood"]);
    let invoice = verdict(|new| new.products[0].columns[0].name = "receipt".into());
    check(invoice, &["! retail/sales receipt: it stands where invoice stood"]);
    let moved = verdict(|new| {
        let mut gone = new.products[0].columns.remove(3);
        gone.name = "labels".into();
        new.products[0].columns.push(gone);
    });
    check(
        moved.clone(),
        &["! retail/sales labels: a new list<string?> that is never null", "! retail/sales tags: gone, but"],
    );
    assert!(moved[0].ends_with("(tags has its type: a rename is a column gone and a new one)"), "{moved:?}");
    assert!(moved[1].ends_with("(labels has its type: a rename is a column gone and a new one)"), "{moved:?}");
}

#[test]
fn nulls_may_go_and_not_come() {
    check(
        verdict(|new| new.products[0].columns[2].nullable = false),
        &[
            "~ retail/sales customer_id: never null from here on",
            "! retail/sales_by_customer: a key or measure is never null from here on, but those of the groups so far",
        ],
    );
    let without_gold = |new: &mut Manifest| {
        new.products[0].columns[2].nullable = false;
        new.gold.clear();
    };
    check(
        verdict(without_gold),
        &["~ retail/sales customer_id: never null from here on", "~ retail/sales_by_customer: no longer kept"],
    );
    check(
        verdict(|new| new.products[0].columns[0].nullable = true),
        &["! retail/sales invoice: it may be null now, but the table promises"],
    );
}

#[test]
fn types_are_those_of_the_table() {
    use DataType::{
        Date, Float32, Float64, Int8, Int16, Int32, Int64, String, Timestamp, Uint8, Uint16, Uint32, Uint64, Uuid,
    };
    // The same in the table.
    for (old, new) in [(Uint8, Int16), (Int32, Uint16), (Uint32, Int64), (Uint64, Int64), (Uuid, String)] {
        types(old, new, &["~ retail/sales it: "]);
    }
    // Wider, which Delta could do in place and some readers could not follow.
    let wider = [
        (Int8, Int16),
        (Int16, Int64),
        (Int32, Float64),
        (Uint8, Uint16),
        (Float32, Float64),
        (decimal(18, 2), decimal(20, 2)),
        (decimal(18, 2), decimal(19, 3)),
        (Int32, decimal(12, 2)),
        (Int64, decimal(20, 0)),
    ];
    for (old, new) in wider {
        types(old, new, &["! retail/sales it: widened from "]);
    }
    // Narrower, or something else.
    let others = [
        (Int64, Int32),
        (Int64, Float64),
        (Float64, Float32),
        (decimal(18, 2), decimal(18, 3)),
        (decimal(18, 3), decimal(18, 2)),
        (Int32, decimal(10, 2)),
        (Int64, String),
        (Date, Timestamp),
        (DataType::List(Box::new(column("item", Int64, true))), DataType::List(Box::new(column("item", Int64, false)))),
        (
            DataType::Struct(vec![column("a", Int64, true)]),
            DataType::Struct(vec![column("a", Int64, true), column("b", Int64, true)]),
        ),
    ];
    for (old, new) in others {
        types(old, new, &["! retail/sales it: it was "]);
    }
}

#[test]
fn a_mask_neither_comes_nor_goes() {
    let mask = |mask: Option<Mask>| verdict(move |new| new.products[0].columns[2].mask = mask);
    check(mask(Some(Mask::Hash)), &[]);
    check(mask(None), &["! retail/sales customer_id: no longer hashed: what was hidden would be seen"]);
    check(mask(Some(Mask::Redact)), &["! retail/sales customer_id: it was hashed and is redacted"]);
    let masked = verdict(|new| new.products[0].columns[0].mask = Some(Mask::Truncate { keep: 2 }));
    check(masked, &["! retail/sales invoice: truncated now, but the rows so far show it"]);
}

#[test]
fn a_table_is_laid_out_once() {
    check(
        verdict(|new| new.products[0].partition_by[0].by = Granularity::Day),
        &["! retail/sales: its table is partitioned by month of sold_at, the new module partitions by day of sold_at"],
    );
    check(
        verdict(|new| {
            new.products[0].partition_by.push(PartitionBy { column: "invoice".into(), by: Granularity::Value })
        }),
        &[
            "! retail/sales: its table is partitioned by month of sold_at, the new module partitions by month of sold_at, invoice",
        ],
    );
    check(
        verdict(|new| new.products[0].layer = lakeward_manifest::Layer::Bronze),
        &["! retail/sales: it was a silver product and is a bronze one"],
    );
}

#[test]
fn expectations_may_change() {
    check(
        verdict(|new| new.products[0].expectations[0].on_violation = OnViolation::Stop),
        &["~ retail/sales line_total: expects `value < 1000000` (else the product stops) instead of"],
    );
    check(
        verdict(|new| drop(new.products[0].expectations.remove(1))),
        &["~ retail/sales: no longer expects `invoice != ''` (else a dead letter)"],
    );
    check(
        verdict(|new| {
            let mut rule = new.products[0].expectations[1].clone();
            rule.name = "another".into();
            new.products[0].expectations.push(rule);
        }),
        &["~ retail/sales: expects `invoice != ''` (else a dead letter) too"],
    );
}

#[test]
fn products_come_and_go_but_do_not_change_their_name() {
    let another = |new: &mut Manifest| {
        let mut product = new.products[0].clone();
        product.name = "refunds".into();
        product.columns.truncate(1);
        new.products.push(product);
        new.inputs[0].products.push("refunds".into());
    };
    check(verdict(another), &["! retail/refunds: it is new, and its table would not agree"]);
    check(
        verdict_between(another, |new| {
            new.products.truncate(1);
            new.inputs[0].products.truncate(1);
        }),
        &["~ retail/refunds: no longer written: its table stays as it is"],
    );
    check(
        verdict(|new| {
            new.products[0].name = "sale".into();
            new.inputs[0].products[0] = "sale".into();
            new.gold[0].from = "sale".into();
        }),
        &[
            "~ retail/sales: no longer written",
            "! retail/sale: it has the topic and the columns of retail/sales, which is gone: a rename",
            "! retail/sales_by_customer: it aggregated sales and aggregates sale",
        ],
    );
}

#[test]
fn a_product_keeps_its_topic_and_may_read_what_it_likes() {
    check(
        verdict(|new| new.inputs[0].topic = "orders2".into()),
        &["! retail/sales: it was fed from topic orders and is from orders2"],
    );
    check(
        verdict(|new| new.inputs[0].columns.push(column("note", DataType::String, true))),
        &["+ module: transform clean reads note too"],
    );
    check(
        verdict(|new| drop(new.inputs[0].columns.remove(2))),
        &["~ module: transform clean no longer reads customer_id"],
    );
    check(
        verdict(|new| new.inputs[0].columns[3].format = None),
        &["~ module: transform clean reads invoice_date in another way"],
    );
    check(
        verdict(|new| new.inputs[0].transform = "price".into()),
        &["+ module: transform price reads topic orders", "~ module: there is no transform clean any more"],
    );
}

#[test]
fn a_module_keeps_its_name_and_owner() {
    check(verdict(|new| new.name = "shop".into()), &["! module: the module was retail and is shop"]);
    check(verdict(|new| new.owner = "shop".into()), &["! module: the owner was retail and is shop"]);
}

#[test]
fn a_gold_product_keeps_what_its_groups_are() {
    let gold = "! retail/sales_by_customer";
    let breaks = |change: fn(&mut lakeward_manifest::Gold), expected: &str| {
        check(verdict(|new| change(&mut new.gold[0])), &[&format!("{gold}{expected}")]);
    };
    breaks(
        |gold| gold.keys[0].column = "invoice".into(),
        ": it was grouped by customer (customer_id) and is by customer (invoice)",
    );
    breaks(|gold| gold.keys.clear(), ": it was grouped by customer (customer_id) and is by nothing");
    breaks(|gold| gold.window = Window::Tumbling { width_ms: 1_800_000 }, ": its windows were 1h wide and are 30m");
    breaks(|gold| gold.time = "paid_at".into(), ": its windows followed sold_at and follow paid_at");
    breaks(
        |gold| gold.partition_by = Granularity::Day,
        ": its table is laid out by month, the new module lays it out by day",
    );
    breaks(|gold| gold.measures[1].function = Function::Max, " revenue: it was sum(line_total) and is max(line_total)");
    breaks(|gold| gold.measures[1].data_type = decimal(38, 3), " revenue: it was decimal(18,3) and is decimal(38,3)");
    breaks(|gold| drop(gold.measures.remove(1)), " revenue: the measure is gone");
    let renamed = verdict(|new| new.gold[0].measures[0].name = "rows".into());
    check(renamed, &[&format!("{gold} rows: a new measure"), &format!("{gold} lines: the measure is gone")]);
}

#[test]
fn gold_products_come_and_go_and_may_wait_longer() {
    check(
        verdict(|new| {
            let mut another = new.gold[0].clone();
            another.name = "sales_by_nobody".into();
            new.gold.push(another);
        }),
        &["! retail/sales_by_nobody: it is new, and its table would not agree"],
    );
    check(verdict(|new| new.gold.clear()), &["~ retail/sales_by_customer: no longer kept"]);
    let longer = verdict(|new| new.gold[0].lateness_ms = 3_600_000);
    check(longer.clone(), &["~ retail/sales_by_customer: rows are taken up to 1h late instead of 10m, from here on"]);
    assert!(longer[0].ends_with("windows that were final may take rows again"), "{longer:?}");
}

#[test]
fn a_gold_product_feels_the_types_beneath_it() {
    // The silver table does not change, the gold product's sum does.
    let verdict = verdict_between(
        |old| {
            old.products[0].columns.push(column("pieces", DataType::Uint64, false));
            old.gold[0].measures[1].column = Some("pieces".into());
            old.gold[0].measures[1].data_type = DataType::Int64;
        },
        |new| new.products[0].columns[5].data_type = DataType::Int64,
    );
    assert!(verdict[0].starts_with("~ retail/sales pieces: uint64 becomes int64"), "{verdict:?}");
}

#[test]
fn a_person_is_told_in_sections() {
    let old = sample::manifest();
    let mut new = old.clone();
    new.products[0].columns.push(column("discount", DataType::Int64, true));
    new.products[0].columns[1].data_type = decimal(18, 2);
    new.products[0].columns[2].nullable = false;
    insta::assert_snapshot!(compare(&old, &new), @r"
    not compatible: 1 breaking change

    breaking
      retail/sales, line_total: it was decimal(18,3) and is decimal(18,2): files of both types cannot stand in one table

    added
      retail/sales, discount: a new nullable int64: the commit that first carries it adds it to the table

    changed
      retail/sales, customer_id: never null from here on; the table's column stays nullable

    ways on
      lakeward deploy --as-version 2 (new products beside the old ones, as sales_v2, filled from the start of their topics)
      lakeward deploy --rebuild (the products are emptied and made anew, from the start of their topics)
    ");
    assert_eq!(compare(&old, &old).to_string(), "compatible: nothing differs that a table or its readers could see\n");
}

#[test]
fn a_program_finds_the_ways_on() {
    let old = sample::manifest();
    let mut new = old.clone();
    new.products[0].columns[1].data_type = decimal(18, 2);
    let json = serde_json::to_value(compare(&old, &new)).unwrap();
    assert_eq!(json["breaking"][0]["ways"], serde_json::json!(["as_version", "rebuild"]));
    assert_eq!(json["breaking"][0]["column"], "line_total");
    assert_eq!(json["additions"], serde_json::json!([]));
}
