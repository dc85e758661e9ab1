//! Dead letters for a person.

use super::super::table::Table;
use super::args::By;
use crate::letters::{Letter, Listing, Origin, Receipt};
use crate::sink::redrives::Action;
use chrono::{DateTime, SecondsFormat};
use std::fmt::Write;

/// Letters of a reason that a line of the list shows.
const REASON: usize = 100;

/// Bytes of a key or value that are shown.
const BYTES: usize = 16 << 10;

/// Hexadecimal digits show as many bytes to a line.
const LINE: usize = 32;

/// A table of letters, or of groups out of `groups`.
pub(super) fn listing(listing: &Listing, by: Option<By>, groups: usize) -> String {
    let mut table = Table::new(0);
    let (shown, all, first, what) = if let Some(by) = by {
        table.row(["letters", by.name()]);
        for (group, letters) in &listing.groups {
            table.row([letters.to_string().as_str(), &shortened(group)]);
        }
        (listing.groups.len(), groups as u64, "largest", "groups")
    } else {
        table.row(["record", "time", "module", "stage", "status", "tries", "reason"]);
        for (letter, requested) in &listing.letters {
            let tries = letter.tries.to_string();
            let status = status(letter, *requested);
            let (record, time) = (letter.identity.origin.to_string(), time(letter.timestamp_ms));
            let cells = [&record, &time, &letter.identity.module, &letter.stage, &status, &tries];
            table.row(cells.into_iter().map(String::as_str).chain([shortened(&letter.reason).as_str()]));
        }
        (listing.letters.len(), listing.total, "newest", "letters")
    };
    if listing.total == 0 {
        return "no letters\n".to_owned();
    }
    let more =
        if all > shown as u64 { format!("the {first} {shown} of {all} {what}") } else { format!("{all} {what}") };
    let letters = if by.is_some() { format!(", {} letters in all", listing.total) } else { String::new() };
    format!("{table}\n{more}{letters}\n")
}

/// All rows about a record.
pub(super) fn history(origin: &Origin, history: &[(Letter, Option<Action>)]) -> String {
    let mut text = format!("{origin}\n");
    let bytes = history.iter().find(|(letter, _)| letter.request.is_none()).or(history.first());
    if let Some((letter, _)) = bytes {
        text += &format!("  time   {}\n", time(letter.timestamp_ms));
        for (name, bytes) in [("key", &letter.key), ("value", &letter.value)] {
            text += &shown(name, bytes.as_deref());
        }
    }
    let mut rest = history;
    while let Some((first, _)) = rest.first() {
        let length = rest.iter().take_while(|(letter, _)| letter.identity == first.identity).count();
        let (rows, others) = rest.split_at(length);
        rest = others;
        let late = first.identity.late_for.as_ref().map(|product| format!(", late for {product}")).unwrap_or_default();
        let newest = &rows[rows.len() - 1];
        writeln!(text, "\nmodule {}{late}: {}", first.identity.module, status(&newest.0, newest.1))
            .expect("writing to a string cannot fail");
        let mut table = Table::new(2);
        table.row(["micro-batch", "status", "tries", "stage", "digest", "reason"]);
        for (letter, _) in rows {
            let (micro_batch, tries) = (letter.micro_batch.to_string(), letter.tries.to_string());
            let digest = letter.digest.get(..12).unwrap_or(&letter.digest);
            table.row([&micro_batch, letter.status.name(), &tries, &letter.stage, digest, &letter.reason]);
        }
        text += &table.to_string();
    }
    text
}

/// What was requested, or would be.
pub(super) fn receipt(action: Action, receipt: &Receipt) -> String {
    let mut text = String::new();
    for letter in &receipt.first {
        text += &format!("{letter}\n");
    }
    if receipt.letters > receipt.first.len() as u64 {
        text += &format!("and {} more\n", receipt.letters - receipt.first.len() as u64);
    }
    if receipt.left_out > 0 {
        text += &format!("{} others are requested already\n", receipt.left_out);
    }
    let verb = action.name();
    match &receipt.id {
        Some(id) => text + &format!("request {id} to {verb} {} letters; a running pipeline does it\n", receipt.letters),
        None => {
            text + &format!("nothing was requested; without --dry-run it is to {verb} {} letters\n", receipt.letters)
        }
    }
}

fn status(letter: &Letter, requested: Option<Action>) -> String {
    match requested {
        Some(action) => format!("{}, {} requested", letter.status.name(), action.name()),
        None => letter.status.name().to_owned(),
    }
}

pub(super) fn time(ms: Option<i64>) -> String {
    let time = ms.and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| "-".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}..", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// Bytes as text if they are UTF-8 without control characters, in hexadecimal digits otherwise.
fn shown(name: &str, bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return format!("  {name:5}  none\n") };
    let more = if bytes.len() > BYTES { format!("\n         .. {} bytes in all", bytes.len()) } else { String::new() };
    let start = &bytes[..bytes.len().min(BYTES)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        // The cut may have gone through a character.
        Err(error) if !more.is_empty() && error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text.filter(|text| !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace())) {
        Some(text) => format!("  {name:5}  {}{more}\n", text.replace('\n', "\n         ")),
        None => {
            let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let lines: Vec<String> = start.chunks(LINE).map(line).collect();
            format!("  {name:5}  {}{more}\n", lines.join("\n         "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::SourcePartition;
    use crate::letters::Identity;
    use crate::sink::system::LetterStatus;

    fn letter(offset: i64, status: LetterStatus, tries: i32, reason: &str) -> Letter {
        let partition = SourcePartition::new("orders", 0, 3);
        Letter {
            identity: Identity::of(Origin { partition, offset }, "retail", "transform", None),
            timestamp_ms: Some(1_300_000_000_000),
            key: Some(vec![0, 255]),
            value: Some(b"{\"price\":0}".to_vec()),
            stage: "transform".to_owned(),
            reason: reason.to_owned(),
            digest: "0123456789abcdef".to_owned(),
            product: None,
            status,
            tries,
            request: (tries > 1).then_some(5),
            micro_batch: i64::from(tries),
        }
    }

    #[test]
    fn a_list_says_how_many_there_are() {
        let letters = vec![
            (letter(7, LetterStatus::Open, 1, "unit price 0 is not positive"), Some(Action::Redrive)),
            (letter(12, LetterStatus::Discarded, 2, &"x".repeat(200)), None),
        ];
        let found = Listing { letters, total: 30, groups: Vec::new() };
        insta::assert_snapshot!(listing(&found, None, 0), @r"
        record         time                      module  stage      status                   tries  reason
        orders#0/3:7   2011-03-13T07:06:40.000Z  retail  transform  open, redrive requested  1      unit price 0 is not positive
        orders#0/3:12  2011-03-13T07:06:40.000Z  retail  transform  discarded                2      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..

        the newest 2 of 30 letters
        ");
    }

    #[test]
    fn groups_are_counted() {
        let groups = vec![("no description".to_owned(), 20), ("unit price 0 is not positive".to_owned(), 10)];
        let found = Listing { letters: Vec::new(), total: 31, groups };
        insta::assert_snapshot!(listing(&found, Some(By::Reason), 3), @r"
        letters  reason
        20       no description
        10       unit price 0 is not positive

        the largest 2 of 3 groups, 31 letters in all
        ");
        assert_eq!(listing(&Listing::default(), None, 0), "no letters\n");
    }

    #[test]
    fn a_record_is_shown_with_its_bytes_and_all_that_was_tried() {
        let rows = [
            (letter(7, LetterStatus::Open, 1, "unit price 0 is not positive"), None),
            (letter(7, LetterStatus::Open, 2, "no description"), None),
        ];
        insta::assert_snapshot!(history(&rows[0].0.identity.origin, &rows), @r#"
        orders#0/3:7
          time   2011-03-13T07:06:40.000Z
          key    00ff
          value  {"price":0}

        module retail: open
          micro-batch  status  tries  stage      digest        reason
          1            open    1      transform  0123456789ab  unit price 0 is not positive
          2            open    2      transform  0123456789ab  no description
        "#);
    }

    #[test]
    fn long_bytes_are_cut_between_characters() {
        let text = "ä".repeat(BYTES);
        assert!(
            shown("value", Some(text.as_bytes())).ends_with(&format!("ä\n         .. {} bytes in all\n", 2 * BYTES))
        );
        let odd = format!("a{text}");
        assert!(shown("value", Some(odd.as_bytes())).contains("ä\n         .. "));
        assert_eq!(shown("key", None), "  key    none\n");
    }
}
