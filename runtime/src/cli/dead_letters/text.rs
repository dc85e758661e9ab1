//! Dead letters for a person.

use super::super::table::Table;
use crate::letters::answer::{Bytes, History, Listed, Requested, Row};
use crate::sink::redrives::Action;
use std::fmt::Write;

/// Letters of a reason that a line of the list shows.
const REASON: usize = 100;

/// Bytes of a key or value that are shown.
const BYTES: usize = 16 << 10;

/// Hexadecimal digits show as many bytes to a line.
const LINE: usize = 32;

/// A table of letters, or of groups `by` something.
pub(super) fn listing(listed: &Listed, by: Option<&str>) -> String {
    if listed.total == 0 {
        return "no letters\n".to_owned();
    }
    let mut table = Table::new(0);
    let (shown, all, first, what) = if let (Some(by), Some(groups)) = (by, &listed.groups) {
        table.row(["letters", by]);
        for group in groups {
            let letters = group["letters"].to_string();
            table.row([letters.as_str(), &shortened(group[by].as_str().unwrap_or_default())]);
        }
        (groups.len(), listed.group_count.unwrap_or_default(), "largest", "groups")
    } else {
        table.row(["record", "time", "module", "stage", "status", "tries", "reason"]);
        let letters = listed.letters.as_deref().unwrap_or_default();
        for row in letters {
            let (tries, status) = (row.tries.to_string(), status(row));
            let cells = [&row.record, time(row), &row.module, &row.stage, &status, &tries];
            table.row(cells.into_iter().chain([shortened(&row.reason).as_str()]));
        }
        (letters.len(), listed.total, "newest", "letters")
    };
    let more =
        if all > shown as u64 { format!("the {first} {shown} of {all} {what}") } else { format!("{all} {what}") };
    let letters = if by.is_some() { format!(", {} letters in all", listed.total) } else { String::new() };
    format!("{table}\n{more}{letters}\n")
}

/// All rows about a record.
pub(super) fn history(history: &History) -> String {
    let mut text = format!("{}\n", history.record);
    let bytes = history.rows.iter().find(|of| of.row.request.is_none()).or(history.rows.first());
    if let Some(of) = bytes {
        text += &format!("  time   {}\n", time(&of.row));
        for (name, bytes) in [("key", &of.key), ("value", &of.value)] {
            text += &shown(name, bytes.as_ref());
        }
    }
    let is_same = |left: &Row, right: &Row| left.module == right.module && left.late_for() == right.late_for();
    for rows in history.rows.chunk_by(|left, right| is_same(&left.row, &right.row)) {
        let (first, newest) = (&rows[0].row, &rows[rows.len() - 1].row);
        let late = first.late_for().map(|product| format!(", late for {product}")).unwrap_or_default();
        writeln!(text, "\nmodule {}{late}: {}", first.module, status(newest)).expect("writing to a string cannot fail");
        let mut table = Table::new(2);
        table.row(["micro-batch", "status", "tries", "stage", "digest", "reason"]);
        for row in rows.iter().map(|of| &of.row) {
            let (micro_batch, tries) = (row.micro_batch.to_string(), row.tries.to_string());
            let digest = row.module_digest.get(..12).unwrap_or(&row.module_digest);
            table.row([&micro_batch, row.status.as_str(), &tries, &row.stage, digest, &row.reason]);
        }
        text += &table.to_string();
    }
    text
}

/// What was requested, or would be.
pub(super) fn receipt(action: Action, receipt: &Requested) -> String {
    let mut text = String::new();
    for letter in &receipt.first {
        text += letter;
        text += "\n";
    }
    if receipt.letters > receipt.first.len() as u64 {
        text += &format!("and {} more\n", receipt.letters - receipt.first.len() as u64);
    }
    if receipt.left_out > 0 {
        text += &format!("{} others are requested already\n", receipt.left_out);
    }
    let verb = action.name();
    match &receipt.request {
        Some(id) => text + &format!("request {id} to {verb} {} letters; a running pipeline does it\n", receipt.letters),
        None => {
            text + &format!("nothing was requested; without --dry-run it is to {verb} {} letters\n", receipt.letters)
        }
    }
}

fn status(row: &Row) -> String {
    match &row.requested {
        Some(action) => format!("{}, {action} requested", row.status),
        None => row.status.clone(),
    }
}

fn time(row: &Row) -> &str {
    row.timestamp.as_deref().unwrap_or("-")
}

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}..", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// Bytes as text if they are UTF-8 without control characters, in hexadecimal digits otherwise.
fn shown(name: &str, bytes: Option<&Bytes>) -> String {
    let (text, digits, length) = match bytes {
        None => return format!("  {name:5}  none\n"),
        Some(Bytes::Text(text)) if text.chars().all(|letter| !letter.is_control() || letter.is_whitespace()) => {
            (Some(text), String::new(), text.len())
        }
        Some(Bytes::Text(text)) => {
            (None, text.bytes().take(BYTES).map(|byte| format!("{byte:02x}")).collect(), text.len())
        }
        Some(Bytes::Hex(digits)) => (None, digits.clone(), digits.len() / 2),
    };
    let more = if length > BYTES { format!("\n         .. {length} bytes in all") } else { String::new() };
    match text {
        Some(text) => {
            let start = &text[..text.floor_char_boundary(BYTES)];
            format!("  {name:5}  {}{more}\n", start.replace('\n', "\n         "))
        }
        None => {
            let digits = &digits.as_bytes()[..digits.len().min(2 * BYTES)];
            let lines: Vec<_> = digits.chunks(2 * LINE).map(String::from_utf8_lossy).collect();
            format!("  {name:5}  {}{more}\n", lines.join("\n         "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letters::answer::Try;

    fn row(offset: i64, status: &str, tries: i32, reason: &str) -> Row {
        Row {
            record: format!("orders#0/3:{offset}"),
            timestamp: Some("2011-03-13T07:06:40.000Z".to_owned()),
            module: "retail".to_owned(),
            module_digest: "0123456789abcdef".to_owned(),
            product: None,
            stage: "transform".to_owned(),
            reason: reason.to_owned(),
            status: status.to_owned(),
            tries,
            request: (tries > 1).then_some(5),
            requested: None,
            micro_batch: i64::from(tries),
        }
    }

    #[test]
    fn a_list_says_how_many_there_are() {
        let asked = Row { requested: Some("redrive".to_owned()), ..row(7, "open", 1, "unit price 0 is not positive") };
        let letters = Some(vec![asked, row(12, "discarded", 2, &"x".repeat(200))]);
        let found = Listed { letters, total: 30, ..Listed::default() };
        insta::assert_snapshot!(listing(&found, None), @r"
        record         time                      module  stage      status                   tries  reason
        orders#0/3:7   2011-03-13T07:06:40.000Z  retail  transform  open, redrive requested  1      unit price 0 is not positive
        orders#0/3:12  2011-03-13T07:06:40.000Z  retail  transform  discarded                2      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..

        the newest 2 of 30 letters
        ");
    }

    #[test]
    fn groups_are_counted() {
        let group = |reason: &str, letters: u64| {
            [("reason".to_owned(), reason.into()), ("letters".to_owned(), letters.into())].into()
        };
        let groups = Some(vec![group("no description", 20), group("unit price 0 is not positive", 10)]);
        let found = Listed { total: 31, groups, group_count: Some(3), ..Listed::default() };
        insta::assert_snapshot!(listing(&found, Some("reason")), @r"
        letters  reason
        20       no description
        10       unit price 0 is not positive

        the largest 2 of 3 groups, 31 letters in all
        ");
        assert_eq!(listing(&Listed::default(), None), "no letters\n");
    }

    #[test]
    fn a_record_is_shown_with_its_bytes_and_all_that_was_tried() {
        let (key, value) = (Some(Bytes::Hex("00ff".to_owned())), Some(Bytes::Text("{\"price\":0}".to_owned())));
        let of = |row| Try { row, key: key.clone(), value: value.clone() };
        let rows = [row(7, "open", 1, "unit price 0 is not positive"), row(7, "open", 2, "no description")];
        let found = History { record: rows[0].record.clone(), rows: rows.map(of).into() };
        insta::assert_snapshot!(history(&found), @r#"
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
        let of = |text: String| shown("value", Some(&Bytes::Text(text)));
        assert!(of(text.clone()).ends_with(&format!("ä\n         .. {} bytes in all\n", 2 * BYTES)));
        assert!(of(format!("a{text}")).contains("ä\n         .. "));
        assert!(of("bell \u{7}".to_owned()).contains("62656c6c2007"));
        assert_eq!(shown("key", None), "  key    none\n");
    }
}
