//! What one call of a module may use. Constants of a call whatever its size, so that a verdict does not depend on chunking.

use std::time::Duration;

/// Lines of a module's log that are kept per call.
pub(super) const LOG_LINES: usize = 20;

/// Bytes of a log line or a reason that are kept.
pub(super) const TEXT_BYTES: usize = 1024;

/// Calls of `log` after which a call is stopped.
pub(super) const LOG_CALLS: usize = 10_000;

/// The bounds of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Units of work (about one WebAssembly instruction each). More lets a record do more; a runaway record costs this much before it is found.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory: usize,
    /// Bytes that a call may give back.
    pub output: usize,
    /// Wall-clock time, the backstop for what fuel does not see.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 1_000_000_000, memory: 64 << 20, output: 64 << 20, timeout: Duration::from_secs(10) }
    }
}

/// Cuts a guest's text to what is kept, and makes control characters visible, since it ends in logs and terminals.
pub(super) fn clean(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut clean = String::with_capacity(end);
    for character in text[..end].chars() {
        if character.is_control() { clean.extend(character.escape_default()) } else { clean.push(character) }
    }
    if end < text.len() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_text_is_short_and_harmless() {
        assert_eq!(clean("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        let long = clean(&"é".repeat(2000));
        assert!(long.len() <= TEXT_BYTES + 4 && long.ends_with('…'));
    }
}
