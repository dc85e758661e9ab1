//! Whatever lies in which file, in whatever order: a partition's records come back as they were, one behind the other.

use super::*;
use crate::record::{Chunk, Record};
use crate::sink::{Commit, FileWriter, Layout, OffsetMove, Table, TableSpec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

fn at(partition: i32) -> SourcePartition {
    SourcePartition::new("orders", 0, partition)
}

/// A record in a partition, on a day.
type Row = (i32, i64, i64);

/// Commits each of these lists of rows as one file a day, in the order of the list.
async fn table(lake: &Warehouse, files: &[Vec<Row>]) {
    let (path, by) = (bronze::path("orders"), [bronze::partition_by()]);
    let layout = Layout::of_records(&path, &bronze::schema(), &by, &[ORIGIN_COLUMNS[2]], "value");
    let spec = TableSpec {
        path,
        description: String::new(),
        schema: layout.table_schema(),
        partition_columns: layout.partition_columns(),
        track_files: false,
        evolves: false,
    };
    let mut table = Table::open(lake, "shop", spec).await.unwrap();
    for rows in files {
        let mut writer = FileWriter::new(Arc::clone(&layout));
        for (partition, offset, day) in rows {
            let mut chunk = Chunk::new("orders".into(), *partition, *offset);
            let (key, value) = (partition.to_string(), offset.to_string());
            let (key, value) = (Some(key.as_bytes()), (offset % 5 != 4).then_some(value.as_bytes()));
            chunk.push(Record { offset: *offset, timestamp_ms: day * DAY_MS + offset, key, value });
            writer.write(bronze::columns(&chunk, 0, 0)).unwrap();
        }
        let add = writer.finish().unwrap();
        for file in &add {
            table.write_file(file).await.unwrap();
        }
        let start = bronze::start_of(&at(0));
        let step =
            |partition: SourcePartition, next| OffsetMove { from: table.offsets().get(&partition), partition, next };
        let offsets = vec![step(at(0), 1_000), step(start, 2)];
        table.commit(&Commit { add, offsets, ..Commit::default() }, &uuid::Uuid::new_v4().to_string()).await.unwrap();
    }
}

fn lake(folder: &std::path::Path) -> Warehouse {
    Warehouse::open(folder.to_str().unwrap(), &BTreeMap::new()).unwrap()
}

/// The offsets that come back of each stretch; every record is checked.
async fn read(kept: &Kept, stretches: &[Stretch]) -> Vec<Vec<i64>> {
    let mut all = Vec::new();
    for (mut records, stretch) in kept.find(stretches).await.unwrap().into_iter().zip(stretches) {
        let (mut offsets, mut end) = (Vec::new(), None);
        while let Some(chunk) = records.chunk().await.unwrap() {
            assert_eq!(chunk.partition(), stretch.partition.partition);
            for index in 0..chunk.len() {
                let record = chunk.record(index);
                assert_eq!(record.key, Some(chunk.partition().to_string().as_bytes()));
                let value = (record.offset % 5 != 4).then(|| record.offset.to_string());
                assert_eq!(record.value, value.as_ref().map(|value| value.as_bytes()));
                assert_eq!(record.timestamp_ms % DAY_MS, record.offset);
                offsets.push(record.offset);
            }
            end = Some(chunk.next_offset());
        }
        assert_eq!(end, Some(stretch.range.end), "the last chunk stands at the end");
        all.push(offsets);
    }
    all
}

fn stretch(partition: i32, range: Range<i64>) -> Stretch {
    Stretch { partition: at(partition), range }
}

#[tokio::test]
async fn records_of_several_days_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    assert!(Kept::open(&lake, "shop", "orders", &[]).await.unwrap().is_none());
    // Two micro-batches, each on two days; in the second one an offset is no record, and one record of the first stands there again.
    let first = vec![(0, 2, 1), (1, 7, 1), (0, 3, 2), (0, 4, 1), (1, 8, 2), (1, 9, 1)];
    let second = vec![(0, 4, 2), (0, 5, 2), (1, 11, 1), (0, 7, 1), (1, 12, 2)];
    table(&lake, &[first, second]).await;
    let kept = Kept::open(&lake, "shop", "orders", &[at(0), at(1)]).await.unwrap().unwrap();
    assert_eq!(kept.held(&at(0)), Some(Held { since: 2, next: 1_000 }));
    assert_eq!((kept.held(&at(1)), kept.incarnation("orders")), (None, 0));
    let found = read(&kept, &[stretch(0, 0..20), stretch(1, 8..12), stretch(2, 0..5)]).await;
    assert_eq!(found, [vec![2, 3, 4, 5, 7], vec![8, 9, 11], vec![]]);
    for (ms, first) in [(0, Some(2)), (2 * DAY_MS, Some(3)), (2 * DAY_MS + 4, Some(4)), (2 * DAY_MS + 6, None)] {
        assert_eq!(kept.first_at(&stretch(0, 0..20), ms).await.unwrap(), first, "{ms}");
    }
    assert_eq!(kept.first_at(&stretch(0, 5..20), 0).await.unwrap(), Some(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Runs of rows of three partitions, put into files in any order, as a compaction may.
    #[test]
    fn the_order_of_files_and_runs_does_not_matter(
        runs in prop::collection::vec((0..3_i32, 1..40_i64, 0..3_i64, 0..6_usize, any::<u32>()), 1..40),
    ) {
        let mut next = [0_i64; 3];
        let mut files: Vec<Vec<(u32, Vec<Row>)>> = vec![Vec::new(); 6];
        for (partition, length, day, file, order) in runs {
            let from = next[partition as usize];
            next[partition as usize] += length;
            let rows = (from..from + length).map(|offset| (partition, offset, day)).collect();
            files[file].push((order, rows));
        }
        let files: Vec<Vec<Row>> = files
            .into_iter()
            .map(|mut runs| {
                runs.sort_by_key(|(order, _)| *order);
                runs.into_iter().flat_map(|(_, rows)| rows).collect()
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let lake = lake(folder.path());
            table(&lake, &files).await;
            let kept = Kept::open(&lake, "shop", "orders", &[]).await.unwrap().unwrap();
            read(&kept, &[0, 1, 2].map(|partition| stretch(partition, 3..next[partition as usize] + 4))).await
        });
        for (found, next) in found.iter().zip(next) {
            prop_assert_eq!(found, &(3..next).collect::<Vec<_>>());
        }
    }
}
