//! The order in which keys are expected: that of the records before.
//!
//! Producers write the keys of a topic in one order, so the next key is nearly always known, and comparing it in place is
//! all that a key costs. Keys that nobody reads are expected too. A key out of order is looked up and from then on expected
//! at its new place, so the list becomes a common order of all shapes of record that the topic has.

use super::scan::Cursor;

/// Expected keys that are tried before a key is looked up: as many fields may be left out at once.
const LOOKAHEAD: usize = 8;

/// Longer keys are looked up each time.
const LONGEST: usize = 32;

/// A key as it stands in a payload, with its quotes and its colon.
#[derive(Debug)]
struct Key {
    /// The first sixteen bytes, zeros behind a shorter key.
    head: u128,
    /// Which bits of them belong to the key.
    mask: u128,
    /// The last sixteen bytes of a key longer than that.
    tail: u128,
    length: usize,
    /// What the key means to the object.
    target: u32,
}

impl Key {
    fn new(text: &[u8], target: u32) -> Self {
        let block = |bytes: &[u8]| {
            let mut block = [0; 16];
            block[..bytes.len()].copy_from_slice(bytes);
            u128::from_le_bytes(block)
        };
        let short = text.len().min(16);
        Self {
            head: block(&text[..short]),
            mask: u128::MAX >> (8 * (16 - short)),
            tail: block(&text[text.len() - short..]),
            length: text.len(),
            target,
        }
    }

    #[inline]
    fn is_at(&self, cursor: &Cursor<'_>, block: u128) -> bool {
        (block ^ self.head) & self.mask == 0
            && (self.length <= 16 || cursor.block(cursor.at + self.length - 16) == self.tail)
    }
}

/// The keys of an object in the order in which they are expected.
#[derive(Debug)]
pub(super) struct Keys {
    expected: Vec<Key>,
    /// Where in the order the object at hand is.
    next: usize,
    /// More keys than this are not learned: the records have no order then.
    limit: usize,
}

impl Keys {
    /// Keys of an object with `fields` declared fields.
    pub(super) fn new(fields: usize) -> Self {
        Self { expected: Vec::new(), next: 0, limit: 2 * fields + 64 }
    }

    /// A new object begins.
    #[inline]
    pub(super) fn start(&mut self) {
        self.next = 0;
    }

    /// Takes the key at the cursor and its colon, if it is one that is expected, and says what it means.
    #[inline]
    pub(super) fn take(&mut self, cursor: &mut Cursor<'_>) -> Option<u32> {
        let block = cursor.block(cursor.at);
        let ahead = self.expected.get(self.next..)?;
        let skipped = ahead.iter().take(LOOKAHEAD).position(|key| key.is_at(cursor, block))?;
        let key = &ahead[skipped];
        cursor.at += key.length;
        self.next += skipped + 1;
        Some(key.target)
    }

    /// Expects a key, without quotes and escapes, where one was just looked up.
    #[cold]
    pub(super) fn learn(&mut self, name: &[u8], target: u32) {
        let length = name.len() + 3;
        if length > LONGEST {
            return;
        }
        if self.expected.len() >= self.limit {
            self.expected.clear();
            self.next = 0;
        }
        let mut text = [b'"'; LONGEST];
        text[1..=name.len()].copy_from_slice(name);
        text[length - 1] = b':';
        self.expected.insert(self.next.min(self.expected.len()), Key::new(&text[..length], target));
        self.next += 1;
    }
}
