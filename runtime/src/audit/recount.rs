//! What micro-batches say they made of dead letters that somebody asked for, held against the answers in the table and the rows in silver.

use super::answers::{Answer, Answers};
use super::ledger::{Entry, Ledger};
use super::report::{Check, Offenders};
use super::silver::Found;
use super::subject::Subjects;
use crate::sink::redrives::topic_of;
use crate::sink::system::{LetterStatus, RedrivenCounts};

/// Everything that the tables hold of it.
pub(super) struct Redriven<'a> {
    pub(super) subjects: &'a Subjects,
    pub(super) ledger: &'a Ledger,
    pub(super) found: &'a [Found],
    pub(super) answers: &'a Answers,
}

impl Redriven<'_> {
    /// Checks every micro-batch; `None` if nobody ever asked.
    #[must_use]
    pub(super) fn check(&self) -> Option<Check> {
        let (mut bad, mut total) = (Offenders::default(), RedrivenCounts::default());
        for entry in &self.ledger.entries {
            let RedrivenCounts { records, with_rows, skips, dead_letters, discarded, .. } = entry.redriven;
            total.records += records;
            total.with_rows += with_rows;
            total.skips += skips;
            total.dead_letters += dead_letters;
            total.discarded += discarded;
            if records != with_rows + skips + dead_letters {
                bad.add(|| format!("micro-batch {}: {}", entry.micro_batch, equation(&entry.redriven)));
            }
            self.compare(entry, &mut bad);
        }
        if total == RedrivenCounts::default() {
            return None;
        }
        let detail = format!("{}, {} discarded", equation(&total), total.discarded);
        Some(Check::of("counts", "redriven dead letters", detail, bad))
    }

    fn compare(&self, entry: &Entry, bad: &mut Offenders) {
        let (mut found, mut is_known) = (RedrivenCounts::<i64>::default(), true);
        for (sequence, range) in entry.offsets.iter().filter(|(partition, _)| topic_of(partition).is_some()) {
            for answer in self.answers.of(sequence, range) {
                match answer.status {
                    LetterStatus::Discarded => found.discarded += 1,
                    LetterStatus::Open => found.dead_letters += 1,
                    LetterStatus::Redriven => match self.has_rows(answer) {
                        Some(true) => found.with_rows += 1,
                        Some(false) => found.skips += 1,
                        None => is_known = false,
                    },
                }
            }
        }
        let said = entry.redriven;
        let compared = [
            ("failed again", said.dead_letters, found.dead_letters),
            ("discarded", said.discarded, found.discarded),
            ("with rows", said.with_rows, found.with_rows),
            ("skipped", said.skips, found.skips),
        ];
        // What was undone since has taken the answers with it, and the rows of others.
        let is_undone = self.ledger.may_be_undone(entry);
        let compared = compared.into_iter().take(if is_known && !is_undone { 4 } else { 2 });
        let differs = |(_, said, found): &(&str, i64, i64)| if is_undone { found > said } else { found != said };
        for (what, said, found) in compared.filter(differs) {
            let micro_batch = entry.micro_batch;
            bad.add(|| format!("micro-batch {micro_batch}: {said} letters {what} recorded, {found} in the tables"));
        }
    }

    /// Whether a redriven letter's record has rows; `None` if its module is not known.
    fn has_rows(&self, answer: &Answer) -> Option<bool> {
        if answer.late_for.is_some() {
            return Some(true);
        }
        let of_module = self.subjects.silver.iter().zip(self.found);
        let mut of_module = of_module.filter(|(silver, _)| *silver.module == *answer.module).peekable();
        of_module.peek()?;
        Some(of_module.any(|(silver, found)| {
            silver.topic == answer.topic && found.origins.contains(answer.source, answer.offset)
        }))
    }
}

fn equation(counts: &RedrivenCounts<i64>) -> String {
    let RedrivenCounts { records, with_rows, skips, dead_letters, .. } = counts;
    let sign = if *records == with_rows + skips + dead_letters { "=" } else { "is not" };
    format!("{records} redriven {sign} {with_rows} with rows + {skips} skips + {dead_letters} failed again")
}
