//! Columns as they cross the wall: the Arrow layout, flattened in pre-order into nodes and buffers (`sdk/wit`).
//!
//! Reading borrows the host's buffers; writing fills one buffer after the other and hands them over. Values are read
//! as little-endian bytes (`from_le_bytes`), which compiles to one load whatever the alignment, so that no cast is needed.

mod flat;
mod nested;
mod text;

use lakeward_manifest::DataType;

/// Length and null count of one array, as the wall carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Node {
    /// Values, nulls included.
    pub length: u32,
    /// Nulls among them.
    pub null_count: u32,
}

/// The events of a chunk, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// Rows in every column.
    pub rows: usize,
    /// The nodes of all columns.
    pub nodes: &'a [Node],
    /// The buffers of all columns.
    pub buffers: &'a [&'a [u8]],
}

/// The rows of a product, owned.
#[derive(Debug, Default)]
pub struct OwnedColumns {
    /// Rows in every column.
    pub rows: usize,
    /// The nodes of all columns.
    pub nodes: Vec<Node>,
    /// The buffers of all columns.
    pub buffers: Vec<Vec<u8>>,
}

impl OwnedColumns {
    /// Adds the node and the validity of an array.
    pub fn array(&mut self, length: usize, validity: Validity) {
        self.nodes.push(Node { length: length as u32, null_count: validity.nulls });
        self.buffers.push(validity.bits);
    }
}

/// Which values of an array that is being written are there: empty bits when all of them.
#[derive(Debug, Default)]
pub struct Validity {
    bits: Vec<u8>,
    nulls: u32,
}

#[cfg(not(target_family = "wasm"))]
impl Validity {
    pub(crate) fn of(valid: impl Iterator<Item = bool>) -> Self {
        let mut validity = Self::default();
        for (index, valid) in valid.enumerate() {
            if index % 8 == 0 {
                validity.bits.push(0);
            }
            validity.bits[index / 8] |= u8::from(valid) << (index % 8);
            validity.nulls += u32::from(!valid);
        }
        validity
    }

    pub(crate) fn into_bits(self) -> Vec<u8> {
        self.bits
    }
}

/// Takes a chunk apart, array by array.
#[derive(Debug)]
pub struct Cursor<'a> {
    nodes: std::slice::Iter<'a, Node>,
    buffers: std::slice::Iter<'a, &'a [u8]>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(columns: Columns<'a>) -> Self {
        Self { nodes: columns.nodes.iter(), buffers: columns.buffers.iter() }
    }

    /// Opens the next array as a column of `T`.
    ///
    /// # Errors
    /// When the buffers are not those of such a column.
    pub fn column<T: ReadColumn<'a>>(&mut self) -> Result<T::Column, Malformed> {
        let node = self.nodes.next().ok_or(Malformed("a column is missing"))?;
        let validity = self.buffer()?;
        let length = node.length as usize;
        if !validity.is_empty() && validity.len() < length.div_ceil(8) {
            return Err(Malformed("a validity buffer is too short"));
        }
        T::open(self, Head { length, validity })
    }

    fn buffer(&mut self) -> Result<&'a [u8], Malformed> {
        self.buffers.next().copied().ok_or(Malformed("a buffer is missing"))
    }

    /// The next buffer, as `length` values of `WIDTH` bytes.
    fn values<const WIDTH: usize>(&mut self, length: usize) -> Result<&'a [[u8; WIDTH]], Malformed> {
        self.buffer()?.as_chunks::<WIDTH>().0.get(..length).ok_or(Malformed("a buffer is too short"))
    }
}

/// What precedes the values of an array.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Values in the array.
    length: usize,
    /// One bit a value, least significant first; empty when all values are there.
    validity: &'a [u8],
}

impl Head<'_> {
    pub(crate) fn of_rows(rows: usize) -> Self {
        Self { length: rows, validity: &[] }
    }
}

/// The host's buffers do not follow the layout that the manifest describes. It never happens with a host of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

/// A type that a field of an event can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an event",
    label = "not a type that a column can have",
    note = "a field is a `bool`, `i8` to `i64`, `u8` to `u64`, `f32`, `f64`, `Decimal<P, S>`, `&str` or `String`, `&[u8]` or `Vec<u8>`, \
            `Date`, `Timestamp`, `Uuid`, an `Option` or `Vec` of these, or a struct that derives `Event`"
)]
pub trait ReadColumn<'a>: Sized {
    /// The typed view of the column's buffers, made once a chunk.
    type Column;
    /// Whether values may be absent.
    const NULLABLE: bool = false;

    /// The type in the manifest.
    fn data_type() -> DataType;

    /// Takes the column's buffers, after its node and validity.
    ///
    /// # Errors
    /// When they are not those of such a column.
    fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self::Column, Malformed>;

    /// The value of a row. Under a null of an enclosing value, any value.
    fn get(column: &Self::Column, row: usize) -> Self;
}

/// A type that a list in an event can hold: all of them but `u8`, since `Vec<u8>` is binary.
pub trait ReadItem<'a>: ReadColumn<'a> {}

/// A type that a field of a product can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a product",
    label = "not a type that a column can have",
    note = "a field is a `bool`, `i8` to `i64`, `u8` to `u64`, `f32`, `f64`, `Decimal<P, S>`, `&str` or `String`, `&[u8]` or `Vec<u8>`, \
            `Date`, `Timestamp`, `Uuid`, an `Option` or `Vec` of these, or a struct that derives `Product`"
)]
pub trait WriteColumn: Sized {
    /// The buffers while they are filled.
    type Builder;
    /// Whether values may be absent.
    const NULLABLE: bool = false;

    /// The type in the manifest.
    fn data_type() -> DataType;

    /// Empty buffers with room for `rows` values.
    fn builder(rows: usize) -> Self::Builder;

    /// Appends a value.
    fn write_to(self, builder: &mut Self::Builder);

    /// Appends what stands under a null.
    fn write_null(builder: &mut Self::Builder);

    /// Hands the array over: node, validity, values, children.
    fn finish(builder: Self::Builder, validity: Validity, columns: &mut OwnedColumns);
}

/// A type that a list in a product can hold: all of them but `u8`, since `Vec<u8>` is binary.
pub trait WriteItem: WriteColumn {}
