//! A table of dead letters, requests about them, and what the pipeline answers.

use super::super::letter::tests::letter;
use super::*;
use crate::record::Record;
use crate::sink::TableSpec;
use crate::sink::system::{self, Letters as Builder};

/// A lake with dead letters in `orders#0/3`.
struct World {
    _folder: tempfile::TempDir,
    lake: Warehouse,
    table: Table,
}

/// A letter of the record at this offset, and how its status row reads.
fn row(offset: i64, status: LetterStatus, tries: i32, request: Option<i64>) -> Letter {
    Letter { status, tries, request, ..letter(offset, "no price") }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Warehouse::open(folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap();
        let spec = TableSpec {
            evolves: false,
            path: system::DEAD_LETTERS.to_owned(),
            description: String::new(),
            schema: system::dead_letters_schema(),
            partition_columns: Vec::new(),
            track_files: false,
        };
        let table = Table::open(&lake, "shop", spec).await.unwrap();
        Self { _folder: folder, lake, table }
    }

    /// Commits rows; where they answer requests, all before the request `executed` are.
    async fn write(&mut self, rows: &[Letter], executed: Option<i64>) {
        let mut builder = Builder::default();
        for row in rows {
            let of = &row.identity.origin;
            builder.push(&system::Letter {
                topic: &of.partition.topic,
                incarnation: of.partition.incarnation,
                partition: of.partition.partition,
                record: Record { offset: of.offset, timestamp_ms: 1_000, key: None, value: row.value.as_deref() },
                stage: &row.stage,
                reason: &row.reason,
                module: &row.identity.module,
                digest: &row.digest,
                product: row.product.as_deref(),
                status: row.status,
                tries: row.tries,
                request: row.request,
            });
        }
        let mut writer =
            FileWriter::new(Layout::new(system::DEAD_LETTERS, &system::dead_letters_schema(), &[], &["offset"]));
        writer.write(builder.finish(1).unwrap()).unwrap();
        let add = writer.finish().unwrap();
        for file in &add {
            self.table.write_file(file).await.unwrap();
        }
        let partition = sequence_of("orders", 3);
        let step = |next| OffsetMove { from: self.table.offsets().get(&partition), partition: partition.clone(), next };
        let offsets = executed.map(step).into_iter().collect();
        let at_ms = i64::try_from(self.table.version()).unwrap();
        self.table.commit(&Commit { add, offsets, at_ms, ..Commit::default() }, "x").await.unwrap();
    }

    async fn open(&mut self, offsets: std::ops::Range<i64>) {
        let rows: Vec<Letter> = offsets.map(|offset| row(offset, LetterStatus::Open, 1, None)).collect();
        self.write(&rows, None).await;
    }

    async fn request(&self, action: Action, offsets: &[i64]) -> Result<Receipt, Error> {
        let origins = offsets.iter().map(|offset| letter(*offset, "").identity.origin).collect();
        request(&self.lake, "shop", &Request { origins, ..self.all(action) }).await
    }

    fn all(&self, action: Action) -> Request {
        let filter = Filter::default();
        Request { action, origins: Vec::new(), filter, who: "ann".to_owned(), at_ms: 5, dry_run: false }
    }

    /// The sequence numbers and offsets of all requests.
    async fn sequence(&self) -> Vec<(i64, i64)> {
        let table = Snapshot::open(&self.lake, "shop", REDRIVES, None).await.unwrap().unwrap();
        let mut rows = Vec::new();
        for batch in table.all_rows(&["sequence", "offset"]).await.unwrap() {
            use arrow_array::cast::AsArray;
            let long = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<arrow_array::types::Int64Type>();
            rows.extend(long("sequence").values().iter().copied().zip(long("offset").values().iter().copied()));
        }
        rows.sort_unstable();
        rows
    }
}

#[track_caller]
fn refuses(result: Result<Receipt, Error>, words: &str) {
    let said = result.unwrap_err().to_string();
    assert_eq!(said, format!("nothing was requested: {words}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_requested_once_until_it_has_failed_again() {
    let mut world = World::new().await;
    refuses(world.request(Action::Redrive, &[3]).await, "there is no dead letter of orders#0/3:3");
    world.open(0..6).await;
    refuses(world.request(Action::Redrive, &[3, 17]).await, "there is no dead letter of orders#0/3:17");
    let receipt = world.request(Action::Redrive, &[3, 1]).await.unwrap();
    assert_eq!((receipt.letters, receipt.left_out, receipt.first.len()), (2, 0, 2));
    assert_eq!(world.sequence().await, [(0, 1), (1, 3)]);
    refuses(world.request(Action::Discard, &[3]).await, "a redrive of orders#0/3:3 is requested already");
    world.request(Action::Discard, &[0]).await.unwrap();

    let answers = [row(1, LetterStatus::Redriven, 2, Some(0)), row(3, LetterStatus::Open, 2, Some(1))];
    world.write(&answers, Some(2)).await;
    refuses(world.request(Action::Redrive, &[1]).await, "orders#0/3:1 is redriven already");
    refuses(world.request(Action::Redrive, &[0]).await, "a discard of orders#0/3:0 is requested already");
    world.request(Action::Redrive, &[3]).await.unwrap();
    world.write(&[row(0, LetterStatus::Discarded, 1, Some(2))], Some(3)).await;
    refuses(world.request(Action::Redrive, &[0, 1]).await, "orders#0/3:0 is discarded already, and 1 more");
    assert_eq!(world.sequence().await, [(0, 1), (1, 3), (2, 0), (3, 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meets_the_conditions_is_requested_but_for_what_is_already() {
    let mut world = World::new().await;
    world.open(0..20_000).await;
    world.request(Action::Discard, &[7]).await.unwrap();
    let all = world.all(Action::Redrive);
    let dry = request(&world.lake, "shop", &Request { dry_run: true, ..all.clone() }).await.unwrap();
    assert_eq!((dry.letters, dry.left_out, dry.id, dry.first.len()), (19_999, 1, None, NAMED));
    assert_eq!(world.sequence().await.len(), 1);
    let none = Filter { reason: Some("another".to_owned()), ..Filter::default() };
    let refused = request(&world.lake, "shop", &Request { filter: none, ..all.clone() }).await;
    refuses(refused, "no open dead letter meets the conditions");

    let receipt = request(&world.lake, "shop", &all).await.unwrap();
    assert_eq!((receipt.letters, receipt.left_out), (19_999, 1));
    let sequence = world.sequence().await;
    assert!(sequence.iter().map(|(number, _)| *number).eq(0..20_000), "numbers have a gap");
    let mut offsets: Vec<i64> = sequence.into_iter().map(|(_, offset)| offset).collect();
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(0..20_000), "a letter is requested twice or not at all");
    refuses(request(&world.lake, "shop", &all).await, "all 20000 open dead letters are requested already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_ask_at_once_each_letter_is_one_s() {
    let mut world = World::new().await;
    world.open(0..3_000).await;
    let ask = world.all(Action::Redrive);
    let asks = (0..4).map(|_| request(&world.lake, "shop", &ask));
    let receipts = futures::future::join_all(asks).await;
    let letters: u64 = receipts.iter().flatten().map(|receipt| receipt.letters).sum();
    assert_eq!(letters, 3_000, "{receipts:?}");
    assert_eq!(world.sequence().await.len(), 3_000);
    for refused in receipts.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_with_what_became_of_them() {
    let mut world = World::new().await;
    world.open(0..10).await;
    world.request(Action::Redrive, &[1, 2]).await.unwrap();
    let failed = Letter { reason: "no name".to_owned(), ..row(2, LetterStatus::Open, 2, Some(1)) };
    world.write(&[row(1, LetterStatus::Redriven, 2, Some(0)), failed], Some(2)).await;
    world.request(Action::Discard, &[4]).await.unwrap();
    let letters = Letters::open(&world.lake, "shop").await.unwrap();
    let with = |status| Filter { status: Some(status), ..Filter::default() };
    let open = letters.list(&with(LetterStatus::Open), 100, Some(super::super::Grouping::Reason)).await.unwrap();
    assert_eq!((open.total, open.letters.len()), (9, 9));
    assert_eq!(open.groups, [("no price".to_owned(), 8), ("no name".to_owned(), 1)]);
    let requested: Vec<i64> = open
        .letters
        .iter()
        .filter(|(_, action)| *action == Some(Action::Discard))
        .map(|(letter, _)| letter.identity.origin.offset)
        .collect();
    assert_eq!(requested, [4]);
    assert_eq!(open.letters[0].0.tries, 2, "the newest come first");
    assert_eq!(letters.list(&with(LetterStatus::Redriven), 0, None).await.unwrap().total, 1);
    let history = letters.history(&letter(2, "").identity.origin).await.unwrap();
    let tries: Vec<(i32, &str)> = history.iter().map(|(letter, _)| (letter.tries, letter.reason.as_str())).collect();
    assert_eq!(tries, [(1, "no price"), (2, "no name")]);
    assert_eq!(history[0].0.value.as_deref(), Some(&b"{}"[..]));
}
