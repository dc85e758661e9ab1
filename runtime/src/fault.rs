//! A tool for tests: ends the process at a chosen point, as a power cut would.
//!
//! `LAKEWARD_FAULT=silver.after:2` sends the process SIGKILL when it passes the point `silver.after` for the second time. Without the
//! variable a point costs one atomic load, and nothing happens.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the point and how often it is to be passed, with a colon between.
pub const VARIABLE: &str = "LAKEWARD_FAULT";

/// Every point, in the order in which a micro-batch passes them.
///
/// | point                    | where |
/// |--------------------------|-------|
/// | `upload.before`, `.after`| around the writing of a micro-batch's files |
/// | `file.written`           | a data file is in the store, no log names it yet |
/// | `bronze.*`, `silver.*`, `dead_letters.*`, `state.*`, `commits.*` | around each commit of a table of that kind |
/// | `commits.file`           | the file with the row of the commits table is written, its commit is not |
/// | `entry.put`              | a log entry is in the store, the writer has not looked at the reply |
/// | `gold.before`, `.after`  | around the publication of each gold table |
/// | `checkpoint.before`, `.after` | around the writing of a log's checkpoint |
/// | `rewind.before`, `.after` | around the commit that takes each table of a module back |
pub const POINTS: [&str; 21] = [
    "upload.before",
    "file.written",
    "upload.after",
    "bronze.before",
    "bronze.after",
    "silver.before",
    "entry.put",
    "silver.after",
    "dead_letters.before",
    "dead_letters.after",
    "state.before",
    "state.after",
    "commits.file",
    "commits.before",
    "commits.after",
    "gold.before",
    "gold.after",
    "checkpoint.before",
    "checkpoint.after",
    "rewind.before",
    "rewind.after",
];

/// A point at which this process is to end.
#[derive(Debug)]
struct Armed {
    point: &'static str,
    /// Passes that are left; the last one is the end.
    left: AtomicU64,
}

/// Passes a point: the end of the process, where the variable says so.
pub(crate) fn point(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let Some(armed) = ARMED.get_or_init(|| armed(&std::env::var(VARIABLE).ok()?)) else { return };
    if armed.point == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        // Nobody is left to hear of a failure; the process that asked for its end would see that it lives on.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

fn armed(text: &str) -> Option<Armed> {
    let parsed = parse(text);
    match &parsed {
        Some(armed) => tracing::warn!(point = armed.point, passes = ?armed.left, "the process will be killed here"),
        None => tracing::error!(variable = VARIABLE, text, "not a point and a number: nothing will happen"),
    }
    parsed
}

fn parse(text: &str) -> Option<Armed> {
    let (name, passes) = text.split_once(':')?;
    let point = POINTS.into_iter().find(|point| *point == name)?;
    Some(Armed { point, left: AtomicU64::new(passes.parse().ok().filter(|passes| *passes > 0)?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_point_and_a_number_above_0_arm() {
        let armed = parse("silver.after:2").unwrap();
        assert_eq!((armed.point, armed.left.into_inner()), ("silver.after", 2));
        for wrong in ["", "silver.after", "silver.after:", "silver.after:0", "silver.after:x", "silver:1"] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn every_point_is_passed_somewhere() {
        let passed = concat!(
            include_str!("pipeline/commit.rs"),
            include_str!("pipeline/committer.rs"),
            include_str!("pipeline/gold.rs"),
            include_str!("pipeline/rewind.rs"),
            include_str!("sink/log.rs"),
            include_str!("sink/table.rs"),
        );
        for point in POINTS {
            assert!(passed.contains(&format!("\"{point}\"")), "{point} is passed nowhere");
        }
    }
}
