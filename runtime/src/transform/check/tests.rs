//! What is refused in a manifest, and in which words.

use super::*;
use crate::transform::sample;
use lakeward_manifest::Mask;

/// The problems of the sample manifest after `change`.
fn problems(change: impl FnOnce(&mut Manifest)) -> Vec<String> {
    let mut manifest = sample::manifest();
    change(&mut manifest);
    check(&manifest).iter().map(Problem::to_string).collect()
}

fn column(name: &str, data_type: DataType) -> Column {
    let (name, description) = (name.to_owned(), String::new());
    Column { name, source: None, data_type, nullable: false, format: None, mask: None::<Mask>, description }
}

#[test]
fn a_sound_manifest_has_no_problems() {
    assert_eq!(problems(|_| {}), Vec::<String>::new());
}

#[test]
fn names_that_cannot_be_folders_are_refused() {
    let refused = ["", "Sales", "sales-eu", "sales/eu", "..", "größe"];
    for name in refused {
        let problems = problems(|manifest| manifest.owner = name.to_owned());
        assert_eq!(problems, [format!("the module: the owner `{name}` is not of the letters a-z, 0-9 and _ (100 at most)")]);
    }
}

#[test]
fn names_that_stand_twice_are_refused() {
    assert_eq!(
        problems(|manifest| {
            let product = manifest.products[0].clone();
            manifest.products.push(product);
        }),
        ["the module: the product `sales` stands there twice (upper and lower case are the same)"]
    );
    assert_eq!(
        problems(|manifest| manifest.products[0].columns.push(column("INVOICE", DataType::Bool))),
        ["product sales: the column `INVOICE` stands there twice (upper and lower case are the same)"]
    );
    assert_eq!(
        problems(|manifest| manifest.gold[0].keys[0].name = "window_start".to_owned()),
        ["gold sales_by_customer: the column `window_start` stands there twice (upper and lower case are the same)"]
    );
}

#[test]
fn references_to_nothing_are_refused() {
    assert_eq!(
        problems(|manifest| manifest.inputs[0].products.push("refunds".to_owned())),
        ["transform clean: it writes the product `refunds`, which the module does not declare"]
    );
    assert_eq!(
        problems(|manifest| manifest.gold[0].from = "refunds".to_owned()),
        ["gold sales_by_customer: it aggregates the product `refunds`, which the module does not declare"]
    );
    assert_eq!(
        problems(|manifest| manifest.gold[0].measures[1].column = Some("total".to_owned())),
        ["gold sales_by_customer: it reads `total`, which is not a column of sales"]
    );
    assert_eq!(
        problems(|manifest| manifest.products[0].partition_by[0].column = "day".to_owned()),
        ["product sales: it is partitioned by `day`, which is not a column of it"]
    );
    assert_eq!(
        problems(|manifest| manifest.inputs[0].event_time = Some("unit_price".to_owned())),
        ["transform clean: the event time `unit_price` is a decimal(18,3), not a timestamp"]
    );
}

#[test]
fn events_and_products_without_columns_are_refused() {
    assert_eq!(
        problems(|manifest| {
            manifest.inputs[0].columns.clear();
            manifest.inputs[0].event_time = None;
        }),
        ["transform clean: its event has no columns"]
    );
    assert_eq!(
        problems(|manifest| {
            manifest.products[0].columns.clear();
            manifest.products[0].partition_by.clear();
            manifest.gold.clear();
        }),
        ["product sales: it has no columns"]
    );
}

#[test]
fn too_many_columns_and_levels_are_refused() {
    let many = || (0..1_000).map(|n| column(&format!("c{n}"), DataType::Bool));
    assert_eq!(
        problems(|manifest| manifest.products[0].columns.extend(many())),
        ["product sales: it has 1005 columns, 1000 are allowed"]
    );
    let deep = |levels| (0..levels).fold(DataType::Bool, |inner, _| DataType::List(Box::new(column("item", inner))));
    assert_eq!(problems(|manifest| manifest.products[0].columns.push(column("deep", deep(15)))), Vec::<String>::new());
    let refused = problems(|manifest| manifest.products[0].columns.push(column("deep", deep(16))));
    assert_eq!(refused.len(), 1);
    assert!(refused[0].ends_with(": it nests deeper than 16 levels"), "{}", refused[0]);
}

#[test]
fn a_product_has_one_topic() {
    assert_eq!(
        problems(|manifest| {
            let mut other = manifest.inputs[0].clone();
            (other.topic, other.transform) = ("refunds".to_owned(), "clean_refunds".to_owned());
            manifest.inputs.push(other);
        }),
        ["product sales: it is fed from several topics (orders, refunds), one is allowed"]
    );
    assert_eq!(
        problems(|manifest| {
            let mut unfed = manifest.products[0].clone();
            unfed.name = "unfed".to_owned();
            manifest.products.push(unfed);
        }),
        ["product unfed: no transform writes it"]
    );
}

#[test]
fn types_and_column_names_that_tables_refuse_are_refused() {
    let cases = [
        (
            column("price", DataType::Decimal { precision: 39, scale: 2 }),
            "product sales, column price: decimal(39,2) is not a decimal type: 1 to 38 digits, no more of them after the point",
        ),
        (column("nothing", DataType::Struct(Vec::new())), "product sales, column nothing: a struct without fields cannot be stored"),
        (
            column("a b", DataType::Bool),
            "product sales: the column name `a b` is empty, too long or has characters that tables refuse",
        ),
        (
            column("_lakeward_offset", DataType::Bool),
            "product sales: the column name `_lakeward_offset` begins with `_lakeward`, which is the host's",
        ),
    ];
    for (column, problem) in cases {
        assert_eq!(problems(|manifest| manifest.products[0].columns.push(column)), [problem]);
    }
}
