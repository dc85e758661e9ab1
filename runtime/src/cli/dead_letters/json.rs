//! Dead letters for a machine: one line.

use super::args::By;
use super::text::time;
use crate::letters::{Letter, Listing, Origin, Receipt};
use crate::sink::redrives::Action;
use serde_json::{Value, json};

/// A list, or groups.
pub(super) fn listing(listing: &Listing, by: Option<By>) -> String {
    let letters: Vec<Value> = listing.letters.iter().map(|(letter, requested)| row(letter, *requested)).collect();
    let line = match by {
        None => json!({"total": listing.total, "letters": letters}),
        Some(by) => {
            let group = |(group, letters): &(String, u64)| json!({by.name(): group, "letters": letters});
            json!({"total": listing.total, "groups": listing.groups.iter().map(group).collect::<Vec<_>>()})
        }
    };
    format!("{line}\n")
}

/// All rows about a record.
pub(super) fn history(origin: &Origin, history: &[(Letter, Option<Action>)]) -> String {
    let rows = history.iter().map(|(letter, requested)| {
        let mut row = row(letter, *requested);
        row["key"] = bytes(letter.key.as_deref());
        row["value"] = bytes(letter.value.as_deref());
        row
    });
    format!("{}\n", json!({"record": origin.to_string(), "rows": rows.collect::<Vec<_>>()}))
}

/// What was requested, or would be.
pub(super) fn receipt(receipt: &Receipt) -> String {
    let Receipt { id, letters, left_out, .. } = receipt;
    format!("{}\n", json!({"request": id, "letters": letters, "left_out": left_out}))
}

fn row(letter: &Letter, requested: Option<Action>) -> Value {
    json!({
        "record": letter.identity.origin.to_string(),
        "timestamp": letter.timestamp_ms.map(|ms| time(Some(ms))),
        "module": letter.identity.module,
        "module_digest": letter.digest,
        "product": letter.product,
        "stage": letter.stage,
        "reason": letter.reason,
        "status": letter.status.name(),
        "tries": letter.tries,
        "request": letter.request,
        "requested": requested.map(Action::name),
        "micro_batch": letter.micro_batch,
    })
}

/// `{"text": ".."}` if the bytes are UTF-8, `{"hex": ".."}` otherwise.
fn bytes(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()}),
    }
}
