//! A table whose writers do not agree on its columns: what each may add, and what of the other's stays.

mod foreign;

use super::{Commit, Error, FileWriter, Layout, OffsetMove, Table, TableSpec, Warehouse};
use crate::checkpoint::SourcePartition;
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, Field, Schema};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "silver/shop/purchases";

/// A writer whose rows have these columns of nullable integers.
struct Writer {
    table: Table,
    layout: Arc<Layout>,
    columns: usize,
}

impl Writer {
    async fn open(lake: &Warehouse, columns: &[&str], evolves: bool) -> Result<Self, Error> {
        let (layout, spec) = described(columns, evolves);
        Ok(Self { table: Table::open(lake, "shop", spec).await?, layout, columns: columns.len() })
    }

    /// Commits some rows of a partition, or none at all.
    async fn commit(&mut self, partition: i32, next: i64, rows: usize) -> Result<u64, Error> {
        let mut files = FileWriter::new(Arc::clone(&self.layout));
        if rows > 0 {
            files.write(vec![Arc::new(Int64Array::from(vec![7; rows])) as ArrayRef; self.columns])?;
        }
        let add = files.finish()?;
        for file in &add {
            self.table.write_file(file).await?;
        }
        let partition = SourcePartition::new("receipts", 0, partition);
        let from = self.table.offsets().get(&partition);
        let commit = Commit { add, offsets: vec![OffsetMove { partition, from, next }], ..Commit::default() };
        self.table.commit(&commit, &uuid::Uuid::new_v4().to_string()).await
    }
}

fn described(columns: &[&str], evolves: bool) -> (Arc<Layout>, TableSpec) {
    let fields = columns.iter().map(|name| Field::new(*name, DataType::Int64, true));
    let layout = Layout::new(PATH, &Schema::new(fields.collect::<Vec<_>>()), &[], &[]);
    let spec = TableSpec {
        path: PATH.to_owned(),
        description: "What was bought.".to_owned(),
        schema: layout.table_schema(),
        partition_columns: Vec::new(),
        track_files: false,
        evolves,
    };
    (layout, spec)
}

fn lake(folder: &Path) -> Warehouse {
    Warehouse::open(folder.to_str().unwrap(), &BTreeMap::new()).unwrap()
}

/// The columns that a version's `metaData` action names; `None` if it has none.
fn columns_at(folder: &Path, version: u64) -> Option<Vec<String>> {
    let entry = std::fs::read_to_string(folder.join(PATH).join(super::log::entry_path(version))).unwrap();
    let actions = entry.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let metadata: Vec<Value> = actions.filter_map(|action| action.get("metaData").cloned()).collect();
    let schema: Value = serde_json::from_str(metadata.first()?["schemaString"].as_str()?).unwrap();
    let names = schema["fields"].as_array()?.iter().filter_map(|field| field["name"].as_str().map(str::to_owned));
    Some(names.collect())
}

#[tokio::test]
async fn a_column_comes_with_the_first_file_and_none_ever_goes() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut first = Writer::open(&lake, &["id", "note"], true).await.unwrap();
    first.commit(0, 5, 1).await.unwrap();
    let mut second = Writer::open(&lake, &["id", "voucher"], true).await.unwrap();
    let empty = second.commit(0, 6, 0).await.unwrap();
    assert_eq!(columns_at(folder.path(), empty), None, "a commit without rows has nothing to add");
    let carrying = second.commit(0, 7, 2).await.unwrap();
    assert_eq!(columns_at(folder.path(), carrying), Some(["id", "note", "voucher"].map(str::to_owned).to_vec()));
    let next = second.commit(0, 8, 2).await.unwrap();
    assert_eq!(columns_at(folder.path(), next), None, "it is said once");
    // The one before is deployed again.
    let mut back = Writer::open(&lake, &["id", "note"], true).await.unwrap();
    let version = back.commit(0, 9, 1).await.unwrap();
    assert_eq!(columns_at(folder.path(), version), None);
}

#[tokio::test]
async fn a_writer_goes_on_where_another_has_added_columns_and_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut old = Writer::open(&lake, &["id"], true).await.unwrap();
    old.commit(0, 5, 1).await.unwrap();
    // Both were opened before either of them committed.
    let mut one = Writer::open(&lake, &["id", "note"], true).await.unwrap();
    let mut other = Writer::open(&lake, &["id", "voucher"], true).await.unwrap();
    one.commit(1, 5, 1).await.unwrap();
    old.commit(0, 6, 1).await.unwrap();
    let version = other.commit(2, 5, 1).await.unwrap();
    assert_eq!(columns_at(folder.path(), version), Some(["id", "note", "voucher"].map(str::to_owned).to_vec()));
    one.commit(1, 6, 1).await.unwrap();
}

#[tokio::test]
async fn a_table_of_partial_aggregates_does_not_evolve() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    Writer::open(&lake, &["id"], false).await.unwrap().commit(0, 5, 1).await.unwrap();
    for columns in [&["id", "note"][..], &["note"][..]] {
        let Err(error) = Writer::open(&lake, columns, false).await else { panic!("{columns:?} were taken") };
        assert!(matches!(error, Error::Schema { .. }), "{error}");
    }
    let mut fixed = Writer::open(&lake, &["id"], false).await.unwrap();
    Writer::open(&lake, &["id", "note"], true).await.unwrap().commit(1, 5, 1).await.unwrap();
    let error = fixed.commit(0, 6, 1).await.unwrap_err();
    assert!(matches!(error, Error::SchemaChanged { .. }), "{error}");
}

#[tokio::test]
async fn a_table_is_asked_before_anything_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let check = async |columns: &[&str], evolves| Table::check(&lake, "shop", described(columns, evolves).1).await;
    check(&["id"], true).await.unwrap();
    assert!(!folder.path().join(PATH).exists(), "a question makes no table");
    Writer::open(&lake, &["id"], true).await.unwrap().commit(0, 5, 1).await.unwrap();
    check(&["id", "note"], true).await.unwrap();
    let error = check(&["ID"], true).await.unwrap_err();
    assert!(matches!(error, Error::Schema { .. }), "{error}");
    assert_eq!(columns_at(folder.path(), 1), None);
}

#[tokio::test]
async fn a_table_is_renewed_as_a_whole_and_only_by_who_knows_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut old = Writer::open(&lake, &["id", "note"], false).await.unwrap();
    old.commit(0, 5, 1).await.unwrap();
    let mut table = Table::open_to_renew(&lake, "shop", described(&["number"], false).1).await.unwrap();
    let renew = |table: &Table| {
        let remove = table.files().keys().cloned().collect();
        Commit { remove, renews: true, ..Commit::default() }
    };
    let outdated = renew(&table);
    // A file that came since would be left, with columns that the table no longer has.
    old.commit(0, 6, 1).await.unwrap();
    let error = table.commit(&outdated, "one").await.unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    let version = table.commit(&renew(&table), "two").await.unwrap();
    assert_eq!(columns_at(folder.path(), version), Some(vec!["number".to_owned()]));
    let error = old.commit(0, 7, 1).await.unwrap_err();
    assert!(matches!(error, Error::SchemaChanged { .. }), "{error}");
    Writer::open(&lake, &["number"], false).await.unwrap().commit(0, 7, 1).await.unwrap();
}
