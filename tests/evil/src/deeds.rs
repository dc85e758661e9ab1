//! The hostile part: one deed for each command.

use crate::abi::{List, Output, Reject, log};
use crate::echo::{Echoes, Events};
use std::hint::black_box;

/// Obeys the first command that is not `ok`, or echoes all rows.
pub(crate) fn act(events: &Events) -> (Vec<Output>, Vec<Reject>) {
    let mut echoes = Echoes::new();
    let mut rejects = Vec::new();
    let mut lie = None;
    for row in 0..events.rows {
        match events.command(row) {
            "reject" => rejects.push(Reject { origin: row as u32, reason: List::of(b"told to reject".to_vec()) }),
            command => {
                if command != "ok" {
                    attack(command);
                    lie = lie.or(Some(command));
                }
                echoes.push(row, events.id(row), command);
            }
        }
    }
    if let Some(lie) = lie {
        tell(lie, &mut echoes, events.rows);
    }
    // Small in the module's memory, 32 GiB to whoever copies it out without counting.
    let copies = if lie == Some("huge") { 4096 } else { 1 };
    (vec![echoes.output(); copies], rejects)
}

/// Deeds that end the call, or should.
fn attack(command: &str) {
    match command {
        "loop" => loop {
            black_box(());
        },
        "memory" => loop {
            black_box(vec![1_u8; 1 << 20]).leak();
        },
        "panic" => {
            log("the module panicked on purpose");
            core::arch::wasm32::unreachable();
        }
        "stack" => {
            black_box(dive(black_box(1)));
        }
        "log" => {
            for line in 0..1_000_000 {
                log(&format!("line {line}"));
            }
        }
        _ => {}
    }
}

/// Deeds that hand over rows which are not what they say.
fn tell(lie: &str, echoes: &mut Echoes, rows: usize) {
    let last = echoes.offsets.len() - 1;
    match lie {
        "huge" => {
            echoes.text = vec![b'x'; 8 << 20];
            echoes.offsets[last] = 8 << 20;
        }
        "offsets" => echoes.offsets[last] = i32::MAX,
        "backwards" => echoes.offsets[last] = -1,
        "utf8" => {
            let end = echoes.text.len() - 1;
            echoes.text[end] = 0xff;
        }
        "nulls" => echoes.null_count = 1,
        "origin" => echoes.origins[last - 1] = rows as u32,
        "order" => {
            // A single row cannot be out of order, so it becomes two.
            echoes.push(0, 0, "again");
            let last = echoes.origins.len() - 1;
            echoes.origins[last - 1] = 1;
            echoes.origins[last] = 0;
        }
        "product" => echoes.product = 7,
        "missing" => echoes.missing = 1,
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "running out of stack is the point")]
fn dive(depth: u64) -> u64 {
    black_box(dive(black_box(depth + 1))) + 1
}
