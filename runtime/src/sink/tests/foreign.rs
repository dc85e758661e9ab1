//! What other engines do to a table of ours: their paths, their commits, their files.

use super::super::{FileEntry, Past, Snapshot, log};
use super::*;
use arrow_array::{RecordBatch, StringArray};
use lakeward_manifest::{Granularity, PartitionBy};
use serde_json::json;

const COUNTRY: &str = "United Kingdom";

/// Purchases by country, whose files are tracked.
fn by_country() -> (Arc<Layout>, TableSpec) {
    let schema =
        Schema::new(vec![Field::new("country", DataType::Utf8, true), Field::new("id", DataType::Int64, true)]);
    let by = PartitionBy { column: "country".to_owned(), by: Granularity::Value };
    let layout = Layout::new(PATH, &schema, &[by], &[]);
    let spec = TableSpec {
        schema: layout.table_schema(),
        partition_columns: vec!["country".to_owned()],
        track_files: true,
        ..described(&["id"], false).1
    };
    (layout, spec)
}

async fn sell(table: &mut Table, layout: &Arc<Layout>, next: i64) -> u64 {
    let mut files = FileWriter::new(Arc::clone(layout));
    let rows: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec![COUNTRY])), Arc::new(Int64Array::from(vec![next]))];
    files.write(rows).unwrap();
    let add = files.finish().unwrap();
    for file in &add {
        table.write_file(file).await.unwrap();
    }
    let partition = SourcePartition::new("receipts", 0, 0);
    let from = table.offsets().get(&partition);
    let commit = Commit { add, offsets: vec![OffsetMove { partition, from, next }], ..Commit::default() };
    table.commit(&commit, &next.to_string()).await.unwrap()
}

/// Puts an entry into the log as another engine does.
fn put(folder: &Path, version: u64, actions: &[Value]) {
    let info = json!({"commitInfo": {"operation": "OPTIMIZE", "engineInfo": "another"}});
    let lines: String = [info].iter().chain(actions).map(|action| format!("{action}\n")).collect();
    std::fs::write(folder.join(PATH).join(log::entry_path(version)), lines).unwrap();
}

/// Another engine rewrites the only file of a table under a path as delta-rs makes it; gives the new path as the log has it.
fn compact(folder: &Path, table: &Table) -> String {
    let (ours, FileEntry { size, partition_values, .. }) = table.files().first_key_value().unwrap();
    let root = folder.join(PATH);
    std::fs::create_dir_all(root.join("country=United%20Kingdom")).unwrap();
    std::fs::copy(root.join(ours), root.join("country=United%20Kingdom/one.parquet")).unwrap();
    let raw = "country=United%2520Kingdom/one.parquet";
    let version = table.version() + 1;
    put(
        folder,
        version,
        &[
            json!({"remove": {"path": ours, "deletionTimestamp": 0, "dataChange": false}}),
            json!({"add": {"path": raw, "partitionValues": partition_values, "size": size, "modificationTime": 0,
                           "dataChange": false, "stats": "{\"numRecords\":1}"}}),
        ],
    );
    raw.to_owned()
}

async fn parts(lake: &Warehouse) -> usize {
    Snapshot::open(lake, "shop", PATH, None).await.unwrap().unwrap().parts().len()
}

#[tokio::test]
async fn a_file_is_removed_and_restored_by_the_path_that_its_writer_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (layout, spec) = by_country();
    let mut table = Table::open(&lake, "shop", spec.clone()).await.unwrap();
    sell(&mut table, &layout, 1).await;
    let own = table.files().values().next().unwrap().raw.clone();
    assert!(own.starts_with("country=United_20Kingdom/"), "{own}");
    let raw = compact(folder.path(), &table);
    // Whether the entry is followed or the log is replayed.
    table.catch_up(None).await.unwrap();
    let compacted = table.version();
    for (how, mut table) in [("followed", table), ("replayed", Table::open(&lake, "shop", spec).await.unwrap())] {
        let (path, file) = table.files().first_key_value().unwrap();
        assert_eq!((table.files().len(), &file.raw), (1, &raw));
        let rows: usize = table.read_rows(path).await.unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 1);
        let remove = table.files().keys().cloned().collect();
        table.commit(&Commit { remove, ..Commit::default() }, &format!("{how}: remove")).await.unwrap();
        assert_eq!(parts(&lake).await, 0, "no reader has the rows still");
        let past = Past::of(&lake, "shop", PATH, compacted, &[]).await.unwrap();
        let back = table.back_to(&past, Commit::default()).await.unwrap();
        assert_eq!(back.restore[0]["path"], *raw);
        table.commit(&back, &format!("{how}: back")).await.unwrap();
        let snapshot = Snapshot::open(&lake, "shop", PATH, None).await.unwrap().unwrap();
        let read = snapshot.all_rows(&["id"]).await.unwrap();
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }
}

#[tokio::test]
async fn many_commits_of_others_hide_nothing_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut ours = Writer::open(&lake, &["id"], true).await.unwrap();
    ours.commit(0, 5, 2).await.unwrap();
    for version in 2..60 {
        put(folder.path(), version, &[]);
    }
    let table = Table::find(&lake, "shop", PATH).await.unwrap().unwrap();
    assert_eq!((table.version(), table.rows_added), (59, Some(2)));
    assert_eq!(table.offsets().get(&SourcePartition::new("receipts", 0, 0)), Some(5));
    let snapshot = Snapshot::open(&lake, "shop", PATH, None).await.unwrap().unwrap();
    assert!(snapshot.is_whole());
    assert_eq!(snapshot.recent_offsets().iter().count(), 1);
}

#[tokio::test]
async fn a_commit_that_landed_is_known_though_the_entry_behind_it_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut table = Writer::open(&lake, &["id"], true).await.unwrap().table;
    let mut twin = Writer::open(&lake, &["id"], true).await.unwrap().table;
    let partition = SourcePartition::new("receipts", 0, 0);
    let commit = Commit { offsets: vec![OffsetMove { partition, from: None, next: 7 }], ..Commit::default() };
    let version = twin.commit(&commit, "id").await.unwrap();
    let behind = folder.path().join(PATH).join(log::entry_path(version + 1));
    std::fs::write(&behind, "{").unwrap();
    assert_eq!(table.commit(&commit, "id").await.unwrap(), version);
    assert_eq!(table.commit(&commit, "id").await.unwrap(), version, "and still is when it is asked again");
    std::fs::remove_file(&behind).unwrap();
    let error = table.commit(&commit, "another").await.unwrap_err();
    assert!(matches!(error, Error::Moved { .. }), "{error}");
}

#[tokio::test]
async fn who_reads_an_earlier_incarnation_is_told_of_the_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut slow = Writer::open(&lake, &["id"], true).await.unwrap().table;
    let mut twin = Writer::open(&lake, &["id"], true).await.unwrap().table;
    let records = |incarnation, from, next| {
        let partition = SourcePartition::new("receipts", incarnation, 0);
        Commit { offsets: vec![OffsetMove { partition, from, next }], is_of_newest: true, ..Commit::default() }
    };
    slow.commit(&records(0, None, 7), "first").await.unwrap();
    twin.commit(&records(1, None, 3), "second").await.unwrap();
    let error = slow.commit(&records(0, Some(7), 9), "third").await.unwrap_err();
    assert!(matches!(error, Error::Incarnation { newest: 1, .. }), "{error}");
    twin.commit(&records(1, Some(3), 5), "fourth").await.unwrap();
}
