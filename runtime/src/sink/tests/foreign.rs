//! What other engines do to a table of ours: their paths, their commits, their files.

use super::super::{Closed, FileEntry, Past, Snapshot, log};
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

/// Other engines commit so often, write a checkpoint, and clean the log before it.
async fn cleaned(folder: &Path, lake: &Warehouse, table: &Table, commits: u64) {
    let newest = table.version() + commits;
    (table.version() + 1..=newest).for_each(|version| put(folder, version, &[]));
    let opened = Table::open(lake, "shop", table_spec()).await.unwrap();
    assert_eq!(opened.version(), newest);
    tokio::task::spawn_blocking(opened.checkpoint(lake)).await.unwrap();
    (0..newest).for_each(|version| drop(std::fs::remove_file(folder.join(PATH).join(log::entry_path(version)))));
}

fn table_spec() -> TableSpec {
    by_country().1
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_where_the_log_was_cleaned_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (layout, spec) = by_country();
    let mut table = Table::open(&lake, "shop", spec.clone()).await.unwrap();
    sell(&mut table, &layout, 1).await;
    cleaned(folder.path(), &lake, &table, 4).await;
    // It has not looked for a long time.
    table.looked_ms = 0;
    let partition = SourcePartition::new("receipts", 0, 0);
    let offsets = vec![OffsetMove { partition, from: Some(1), next: 2 }];
    let lost = table.commit(&Commit { offsets, ..Commit::default() }, "lost").await;
    assert!(matches!(lost, Err(Error::Cleaned { version: 1, oldest: 5, .. })), "{lost:?}");
    // Nor at the next try.
    assert!(matches!(table.catch_up(None).await, Err(Error::Cleaned { .. })));
    let mut table = Table::open(&lake, "shop", spec).await.unwrap();
    // Where it stood is in the checkpoint alone.
    assert_eq!(table.offsets().get(&SourcePartition::new("receipts", 0, 0)), None);
    table.find_offsets(&lake, &[SourcePartition::new("receipts", 0, 0)]).await.unwrap();
    assert_eq!(table.offsets().get(&SourcePartition::new("receipts", 0, 0)), Some(1));
    assert_eq!(sell(&mut table, &layout, 2).await, 6);
    // Who looked a moment ago asks nobody; who did not, and has missed nothing, goes on.
    table.looked_ms = 0;
    assert_eq!(sell(&mut table, &layout, 3).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_entries_said_outlasts_them() {
    // Of a young table too: the log does not begin with its first entry.
    for commits in [30, 4] {
        outlasts(commits).await;
    }
}

async fn outlasts(commits: u64) {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut table = Table::open(&lake, "shop", table_spec()).await.unwrap();
    let partition = SourcePartition::new("receipts", 0, 0);
    let closed = Closed { horizon_ms: Some(-5), kept_from_us: Some(70) };
    let offsets = vec![OffsetMove { partition: partition.clone(), from: None, next: 9 }];
    let commit = Commit { offsets, micro_batch: 90_000, closed, ..Commit::default() };
    table.commit(&commit, "1").await.unwrap();
    cleaned(folder.path(), &lake, &table, commits).await;
    let mut table = Table::open(&lake, "shop", table_spec()).await.unwrap();
    assert_eq!((table.micro_batch(), table.closed()), (90_000, closed));
    table.find_offsets(&lake, std::slice::from_ref(&partition)).await.unwrap();
    assert_eq!(table.offsets().get(&partition), Some(9));
    let found = Table::find(&lake, "shop", PATH).await.unwrap().unwrap();
    assert_eq!(found.micro_batch(), 90_000);
    let snapshot = Snapshot::open(&lake, "shop", PATH, None).await.unwrap().unwrap();
    assert_eq!(snapshot.offsets([&partition]).await.unwrap().get(&partition), Some(9));
    let past = Past::of(&lake, "shop", PATH, table.version(), std::slice::from_ref(&partition)).await.unwrap();
    assert_eq!(past.offsets.get(&partition), Some(9));
    // Who says nothing of what is closed says what was said before: nobody reads further back than that.
    let silent = |next| vec![OffsetMove { partition: partition.clone(), from: Some(next - 1), next }];
    table.commit(&Commit { offsets: silent(10), ..Commit::default() }, "silent").await.unwrap();
    for version in table.version() + 1..table.version() + 21 {
        put(folder.path(), version, &[]);
    }
    let mut table = Table::open(&lake, "shop", table_spec()).await.unwrap();
    assert_eq!((table.micro_batch(), table.closed()), (90_000, closed));
    // A rewind to before anything was closed takes back what was said of it.
    let rewind = Commit { is_rewind: true, micro_batch: 90_001, ..Commit::default() };
    table.commit(&rewind, "2").await.unwrap();
    cleaned(folder.path(), &lake, &table, commits).await;
    let table = Table::open(&lake, "shop", table_spec()).await.unwrap();
    assert_eq!((table.micro_batch(), table.closed()), (90_001, Closed::default()));
    // An earlier version is no longer there to go back to.
    let past = Past::of(&lake, "shop", PATH, 1, &[]).await;
    assert!(matches!(past, Err(Error::Forgotten { version: 1, .. })), "{past:?}");
}

#[tokio::test]
async fn who_moved_a_partition_is_found_behind_the_commits_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let mut table = Table::open(&lake, "shop", table_spec()).await.unwrap();
    let at = |partition: i32| SourcePartition::new("receipts", 0, partition);
    let step = |partition: i32, from: Option<i64>, next| OffsetMove { partition: at(partition), from, next };
    let by = |digest: &str| Arc::new([("retail".to_owned(), digest.to_owned())].into());
    for (number, (digest, partition, from, next)) in
        [("a", 0, None, 3), ("b", 0, Some(3), 5), ("c", 0, Some(5), 5)].into_iter().enumerate()
    {
        let commit = Commit { offsets: vec![step(partition, from, next)], modules: by(digest), ..Commit::default() };
        table.commit(&commit, &number.to_string()).await.unwrap();
    }
    for next in 1..40 {
        let offsets = vec![step(1, (next > 1).then_some(next - 1), next)];
        table
            .commit(&Commit { offsets, modules: by("d"), ..Commit::default() }, &format!("of 1 {next}"))
            .await
            .unwrap();
    }
    let mut table = Table::open(&lake, "shop", table_spec()).await.unwrap();
    table.find_offsets(&lake, &[at(0)]).await.unwrap();
    assert_eq!((table.offsets().get(&at(0)), table.digest(&at(0), "retail")), (Some(5), None));
    table.find_modules(&at(0)).await.unwrap();
    assert_eq!(table.digest(&at(0), "retail"), Some("b"));
}
