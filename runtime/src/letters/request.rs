//! Asks for letters to be redriven or discarded: checks first, then writes the requests down, once each.
//!
//! Of two who ask for the same letter at the same moment one is let through: every commit of the table of requests says from where it
//! numbers on, in every partition, and the table's own commit check refuses the second, which then looks again.

use super::letter::{BYTES, COLUMNS, Identity, Letter, Origin, Rows};
use super::read::{Letters, columns, newest_first};
use super::requested::Requested;
use super::{Error, Filter};
use crate::columns::UTC;
use crate::sink::redrives::{self, Action, REDRIVES, sequence_of};
use crate::sink::system::LetterStatus;
use crate::sink::{self, Commit, FileWriter, Layout, OffsetMove, Snapshot, Table, Warehouse};
use arrow_array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Letters, and bytes of records, that one commit of the table takes: what is asked for beyond goes into further ones.
const LETTERS: usize = 8_192;
const SIZE: usize = 16 << 20;

/// Versions of the table after which its log gets a checkpoint.
const CHECKPOINT_EVERY: u64 = 25;

/// How often a commit is tried whose reply got lost, and how long after each.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(200);

/// Letters that a receipt names.
const NAMED: usize = 10;

/// What somebody wants of which letters.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done with them.
    pub action: Action,
    /// These records' letters; of all records where there are none.
    pub origins: Vec<Origin>,
    /// Of these letters, those that meet the conditions.
    pub filter: Filter,
    /// Who wants it.
    pub who: String,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: i64,
    /// Only say what would be requested.
    pub dry_run: bool,
}

/// What was requested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The id that the rows of the request share; `None` where nothing was written.
    pub id: Option<String>,
    /// How many letters.
    pub letters: u64,
    /// The first of them.
    pub first: Vec<Identity>,
    /// Open letters that meet the conditions too, for which something is requested already.
    pub left_out: u64,
}

/// A request on its way into the table.
struct Writing<'a> {
    lake: &'a Warehouse,
    letters: &'a Letters,
    request: &'a Request,
    id: String,
    table: Table,
    layout: Arc<Layout>,
    requested: Requested,
    written: u64,
    checkpointed: u64,
}

/// Requests something of letters. Only what is open and has no request yet is taken.
///
/// # Errors
/// [`Error::Refused`] when nothing is chosen, or a named record has no letter that can be: nothing has changed then. Otherwise when the
/// lake fails: what was written until then is requested, and asking again takes the rest.
pub async fn request(lake: &Warehouse, pipeline: &str, request: &Request) -> Result<Receipt, Error> {
    let letters = Letters::open(lake, pipeline).await?;
    let mut receipt = check(&letters, request).await?;
    if request.dry_run {
        return Ok(receipt);
    }
    let layout = redrives::layout();
    let table = Table::open(lake, pipeline, redrives::spec(&layout)).await?;
    let id = uuid::Uuid::new_v4().to_string();
    // Read again behind the table's version, so that a request made since is either seen or gets in the way of the commit.
    let requested = read_requested(lake, pipeline, &letters).await?;
    let checkpointed = table.checkpointed();
    let mut writing =
        Writing { lake, letters: &letters, request, id, table, layout, requested, written: 0, checkpointed };
    writing.run(pipeline).await?;
    if writing.written == 0 {
        return Err(Error::refused("somebody else was first, see `lakeward dead-letters list`"));
    }
    receipt.left_out += receipt.letters - writing.written;
    (receipt.letters, receipt.id) = (writing.written, Some(writing.id));
    Ok(receipt)
}

async fn read_requested(lake: &Warehouse, pipeline: &str, letters: &Letters) -> Result<Requested, Error> {
    match Snapshot::open(lake, pipeline, REDRIVES, None).await? {
        Some(table) => Requested::read(&table, &letters.executed).await,
        None => Ok(Requested::default()),
    }
}

/// What is known of a named record: why nothing of it can be chosen, the strongest reason last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Unknown,
    OtherConditions,
    Settled(LetterStatus),
    Requested(&'static str),
    Chosen,
}

impl Verdict {
    /// The verdict on a letter.
    fn of(letter: &Letter, filter: &Filter, requested: Option<Action>) -> Self {
        match (letter.status, requested) {
            _ if !filter.takes(letter) => Self::OtherConditions,
            (LetterStatus::Open, None) => Self::Chosen,
            (LetterStatus::Open, Some(action)) => Self::Requested(action.name()),
            (status, _) => Self::Settled(status),
        }
    }

    fn reason(&self, origin: &Origin) -> Option<String> {
        match self {
            Self::Unknown => Some(format!("there is no dead letter of {origin}")),
            Self::OtherConditions => Some(format!("no dead letter of {origin} meets the conditions")),
            Self::Settled(status) => Some(format!("{origin} is {} already", status.name())),
            Self::Requested(action) => Some(format!("a {action} of {origin} is requested already")),
            Self::Chosen => None,
        }
    }
}

/// What would be requested, without the records' bytes.
async fn check(letters: &Letters, request: &Request) -> Result<Receipt, Error> {
    let mut named: BTreeMap<&Origin, Verdict> = request.origins.iter().map(|of| (of, Verdict::Unknown)).collect();
    let mut receipt = Receipt::default();
    letters
        .each(&COLUMNS, |letter| {
            let verdict = Verdict::of(&letter, &request.filter, letters.requested.action(&letter.identity));
            if !named.is_empty() {
                let Some(known) = named.get_mut(&letter.identity.origin) else { return };
                if verdict > *known {
                    known.clone_from(&verdict);
                }
            }
            match verdict {
                Verdict::Chosen => {
                    receipt.letters += 1;
                    if receipt.first.len() < NAMED {
                        receipt.first.push(letter.identity);
                    }
                }
                Verdict::Requested(_) => receipt.left_out += 1,
                _ => {}
            }
        })
        .await?;
    let reasons: Vec<String> = named.iter().filter_map(|(origin, verdict)| verdict.reason(origin)).collect();
    match (reasons.first(), receipt.letters, receipt.left_out) {
        (Some(first), ..) if reasons.len() > 1 => {
            Err(Error::refused(format!("{first}, and {} more", reasons.len() - 1)))
        }
        (Some(first), ..) => Err(Error::refused(first)),
        (None, 0, 0) => Err(Error::refused("no open dead letter meets the conditions")),
        (None, 0, left_out) => Err(Error::refused(format!("all {left_out} open dead letters are requested already"))),
        (None, ..) => Ok(receipt),
    }
}

impl Writing<'_> {
    /// Reads the chosen letters with their bytes, and writes them down instalment by instalment.
    async fn run(&mut self, pipeline: &str) -> Result<(), Error> {
        let letters = self.letters;
        let Some(table) = &letters.table else { return Ok(()) };
        let named: BTreeSet<&Origin> = self.request.origins.iter().collect();
        let filter = Filter { status: Some(LetterStatus::Open), ..self.request.filter.clone() };
        let all = [&COLUMNS[..], &BYTES[..]].concat();
        let (mut open, mut size) = (Vec::new(), 0);
        for part in newest_first(table) {
            let mut rows = table.rows(part, &all).await?;
            while let Some(batch) = rows.batches.try_next().await? {
                let rows = Rows::of(&batch).ok_or_else(|| columns(part))?;
                for row in 0..batch.num_rows() {
                    if !(named.is_empty() || named.contains(&rows.origin(row))) || !letters.is_newest(&rows, row) {
                        continue;
                    }
                    let letter = rows.letter(row).ok_or_else(|| columns(part))?;
                    if !filter.takes(&letter) {
                        continue;
                    }
                    size += bytes_of(&letter);
                    open.push(letter);
                    if open.len() >= LETTERS || size >= SIZE {
                        self.append(pipeline, std::mem::take(&mut open)).await?;
                        size = 0;
                    }
                }
            }
        }
        self.append(pipeline, open).await
    }

    /// Writes down an instalment, but for what somebody else asked for first.
    async fn append(&mut self, pipeline: &str, mut letters: Vec<Letter>) -> Result<(), Error> {
        loop {
            letters.retain(|letter| self.requested.action(&letter.identity).is_none());
            if letters.is_empty() {
                return Ok(());
            }
            match self.commit(&letters).await {
                Ok(()) => {
                    self.written += letters.len() as u64;
                    self.checkpoint().await;
                    return Ok(());
                }
                Err(sink::Error::Moved { .. }) => {
                    self.table.catch_up(None).await?;
                    self.requested = read_requested(self.lake, pipeline, self.letters).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn commit(&mut self, letters: &[Letter]) -> Result<(), sink::Error> {
        let mut by_partition: BTreeMap<(&str, i32), Vec<&Letter>> = BTreeMap::new();
        for letter in letters {
            let partition = &letter.identity.origin.partition;
            by_partition.entry((&partition.topic, partition.partition)).or_default().push(letter);
        }
        let known = self.table.offsets().iter();
        let mut moves: BTreeMap<_, (Option<i64>, i64)> =
            known.map(|(sequence, next)| (sequence.clone(), (Some(next), next))).collect();
        let mut add = Vec::new();
        for ((topic, partition), mut letters) in by_partition {
            letters.sort_by_key(|letter| (letter.identity.origin.partition.incarnation, letter.identity.origin.offset));
            let sequence = sequence_of(topic, partition);
            let from = self.table.offsets().get(&sequence);
            // Where the table was lost, the numbers go on behind what is executed.
            let first = from.unwrap_or(0).max(self.letters.executed.get(&sequence).unwrap_or(0));
            let mut writer = FileWriter::new(Arc::clone(&self.layout));
            writer.write(self.columns(&letters, first))?;
            for mut file in writer.finish()? {
                file.path = redrives::file_name(&file.path, first);
                self.table.write_file(&file).await?;
                add.push(file);
            }
            moves.insert(sequence, (from, first + i64::try_from(letters.len()).unwrap_or(i64::MAX)));
        }
        let step = |(partition, (from, next))| OffsetMove { partition, from, next };
        let offsets = moves.into_iter().map(step).collect();
        let commit = Commit { add, offsets, at_ms: self.request.at_ms, ..Commit::default() };
        let (id, mut tries) = (uuid::Uuid::new_v4().to_string(), 0);
        loop {
            match self.table.commit(&commit, &id).await {
                // The reply got lost perhaps: the same id finds out.
                Err(error) if error.is_transient() && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(WAIT).await;
                }
                result => return result.map(drop),
            }
        }
    }

    /// The rows of letters of one partition, numbered from `first`, in [`redrives::schema`].
    fn columns(&self, letters: &[&Letter], first: i64) -> Vec<ArrayRef> {
        fn text<'a>(letters: &[&'a Letter], of: impl Fn(&'a Letter) -> &'a str) -> ArrayRef {
            Arc::new(letters.iter().map(|letter| Some(of(letter))).collect::<StringArray>())
        }
        let all = |value: &str| Arc::new(StringArray::from(vec![value; letters.len()])) as ArrayRef;
        let int = |of: fn(&Letter) -> i32| Arc::new(letters.iter().map(|l| of(l)).collect::<Int32Array>()) as ArrayRef;
        let bytes = |of: fn(&Letter) -> Option<&[u8]>| {
            Arc::new(letters.iter().map(|letter| of(letter)).collect::<BinaryArray>()) as ArrayRef
        };
        let micros = |ms: i64| ms.saturating_mul(1000);
        let times = letters.iter().map(|letter| letter.timestamp_ms.map(micros));
        let asked = vec![micros(self.request.at_ms); letters.len()];
        vec![
            text(letters, |letter| &letter.identity.origin.partition.topic),
            int(|letter| letter.identity.origin.partition.partition),
            Arc::new((first..).take(letters.len()).collect::<Int64Array>()),
            all(&self.id),
            all(self.request.action.name()),
            int(|letter| letter.identity.origin.partition.incarnation.cast_signed()),
            Arc::new(letters.iter().map(|letter| letter.identity.origin.offset).collect::<Int64Array>()),
            text(letters, |letter| &letter.identity.module),
            text(letters, |letter| &letter.digest),
            text(letters, |letter| &letter.stage),
            text(letters, |letter| &letter.reason),
            Arc::new(letters.iter().map(|letter| letter.product.as_deref()).collect::<StringArray>()),
            int(|letter| letter.tries),
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone(UTC)),
            bytes(|letter| letter.key.as_deref()),
            bytes(|letter| letter.value.as_deref()),
            all(&self.request.who),
            Arc::new(TimestampMicrosecondArray::from(asked).with_timezone(UTC)),
        ]
    }

    /// A checkpoint of the log once it has grown; whoever opens the table reads less then.
    async fn checkpoint(&mut self) {
        if self.table.version() >= self.checkpointed + CHECKPOINT_EVERY {
            self.checkpointed = self.table.version();
            // It is a convenience, and says itself if it failed.
            let _ = tokio::task::spawn_blocking(self.table.checkpoint(self.lake)).await;
        }
    }
}

fn bytes_of(letter: &Letter) -> usize {
    letter.key.as_ref().map_or(0, Vec::len) + letter.value.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests;
