//! The honest part: reading events and echoing rows.

use crate::abi::{List, Node, Output};

/// The events of a call, as they lie in the host's buffers.
pub(crate) struct Events {
    pub(crate) rows: usize,
    pub(crate) ids: &'static [u8],
    pub(crate) offsets: &'static [u8],
    pub(crate) text: &'static [u8],
}

impl Events {
    /// The id of a row.
    pub(crate) fn id(&self, row: usize) -> i64 {
        i64::from_le_bytes(self.ids[8 * row..8 * row + 8].try_into().expect("eight bytes are eight bytes"))
    }

    /// The command of a row.
    pub(crate) fn command(&self, row: usize) -> &'static str {
        let command = &self.text[self.offset(row)..self.offset(row + 1)];
        std::str::from_utf8(command).expect("the host passes valid UTF-8")
    }

    fn offset(&self, index: usize) -> usize {
        let bytes = self.offsets[4 * index..4 * index + 4].try_into().expect("four bytes are four bytes");
        u32::from_le_bytes(bytes) as usize
    }
}

/// Rows of the product `echoes` before they are handed over, so that a lie can be put in.
pub(crate) struct Echoes {
    pub(crate) product: u32,
    pub(crate) origins: Vec<u32>,
    pub(crate) ids: Vec<i64>,
    pub(crate) offsets: Vec<i32>,
    pub(crate) text: Vec<u8>,
    pub(crate) null_count: u32,
    /// Buffers left out at the end.
    pub(crate) missing: usize,
}

impl Echoes {
    pub(crate) fn new() -> Self {
        Self {
            product: 0,
            origins: Vec::new(),
            ids: Vec::new(),
            offsets: vec![0],
            text: Vec::new(),
            null_count: 0,
            missing: 0,
        }
    }

    /// Adds a row that came from input row `origin`.
    pub(crate) fn push(&mut self, origin: usize, id: i64, text: &str) {
        self.origins.push(origin as u32);
        self.ids.push(id);
        self.text.extend_from_slice(text.as_bytes());
        self.offsets.push(self.text.len() as i32);
    }

    /// The rows as they cross the wall.
    pub(crate) fn output(self) -> Output {
        let rows = self.ids.len() as u32;
        let empty = || List::of(Vec::<u8>::new());
        let ids = self.ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>();
        let offsets = self.offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>();
        let mut buffers = vec![empty(), List::of(ids), empty(), List::of(offsets), List::of(self.text)];
        buffers.truncate(buffers.len() - self.missing);
        let node = || Node { length: rows, null_count: self.null_count };
        Output {
            product: self.product,
            rows,
            nodes: List::of(vec![node(), node()]),
            origins: List::of(self.origins),
            buffers: List::of(buffers),
        }
    }
}
