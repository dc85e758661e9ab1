//! Columns under construction whose values have one width, and the nulls of every column.

use super::fault::{Fault, Result};
use super::number::Short;
use super::scan::Cursor;
use arrow_array::{ArrowPrimitiveType, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use lakeward_manifest::text;

/// Which values of a column are null: their places, ascending. A column without nulls costs nothing so.
#[derive(Debug, Default)]
pub(super) struct Nulls(Vec<u32>);

impl Nulls {
    pub(super) fn push(&mut self, place: usize) {
        self.0.push(u32::try_from(place).expect("a chunk's arena ends before 4 GiB, and every value takes a byte"));
    }

    /// Forgets the nulls from `length` on.
    pub(super) fn truncate(&mut self, length: usize) {
        self.0.truncate(self.0.partition_point(|&place| (place as usize) < length));
    }

    /// The validity bitmap of `length` values; none when no value is null.
    pub(super) fn finish(&mut self, length: usize) -> Option<NullBuffer> {
        if self.0.is_empty() {
            return None;
        }
        let mut bits = vec![0xff_u8; length.div_ceil(8)];
        for place in self.0.drain(..) {
            bits[place as usize / 8] &= !(1 << (place % 8));
        }
        if let Some(last) = bits.last_mut().filter(|_| length % 8 != 0) {
            *last &= (1 << (length % 8)) - 1;
        }
        Some(NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, length)))
    }
}

/// A column of values of one width.
#[derive(Debug, Default)]
pub(super) struct Values<T> {
    values: Vec<T>,
    nulls: Nulls,
}

impl<T: Copy + Default> Values<T> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        self.values.push(value);
    }

    /// Pushes what stands for a missing value: null, or zero in a column without nulls.
    pub(super) fn push_absent(&mut self, nullable: bool) {
        if nullable {
            self.nulls.push(self.values.len());
        }
        self.values.push(T::default());
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
        self.nulls.truncate(length);
    }

    /// The values and the validity; the column is empty then, with room for as many values again.
    pub(super) fn finish(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let length = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(length));
        (values, self.nulls.finish(length))
    }

    /// [`Self::finish`] as an array.
    pub(super) fn finish_array<A: ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<A>
    where
        T: arrow_buffer::ArrowNativeType,
    {
        let (values, nulls) = self.finish();
        PrimitiveArray::new(ScalarBuffer::from(values), nulls)
    }
}

/// An integer type of a column.
pub(super) trait Integer: Copy + Default + TryFrom<i64> + TryFrom<i128> {
    /// The name in the manifest.
    const NAME: &str;
}

/// A floating-point type of a column.
pub(super) trait Float: Copy + Default + std::str::FromStr {
    /// The name in the manifest.
    const NAME: &str;
    /// The nearest value of a short number.
    fn short(number: Short) -> Option<Self>;
    fn is_finite(self) -> bool;
}

macro_rules! integers {
    ($($type:ty: $name:literal),*) => {
        $(impl Integer for $type {
            const NAME: &str = $name;
        })*
    };
}

integers!(i8: "int8", i16: "int16", i32: "int32", i64: "int64", u8: "uint8", u16: "uint16", u32: "uint32", u64: "uint64");

impl Float for f32 {
    const NAME: &str = "float32";

    /// None: rounding twice, to 64 bits and then to 32, may give a neighbour.
    fn short(_: Short) -> Option<Self> {
        None
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl Float for f64 {
    const NAME: &str = "float64";

    #[inline]
    fn short(number: Short) -> Option<Self> {
        Some(number.float())
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl<T: Integer> Values<T> {
    /// Takes an integer, in whatever way it is written (`6`, `6.0`, `6e0`).
    #[inline]
    pub(super) fn integer(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let start = cursor.at;
        if let Some(value) = cursor.short_number().and_then(Short::integer)
            && let Ok(value) = T::try_from(value)
        {
            self.values.push(value);
            return Ok(());
        }
        cursor.at = start;
        self.long_integer(cursor)
    }

    #[inline(never)]
    fn long_integer(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let start = cursor.at;
        let value = match cursor.long_integer() {
            Some(value) => T::try_from(value).ok(),
            None => match cursor.number() {
                Some(number) => text::decimal(number, 38, 0).and_then(|value| T::try_from(value).ok()),
                None => return Err(cursor.wrong("an integer")),
            },
        };
        let Some(value) = value else {
            cursor.at = start;
            return Err(cursor.wrong(T::NAME));
        };
        self.values.push(value);
        Ok(())
    }
}

impl<T: Float> Values<T> {
    /// Takes a number as the nearest float.
    #[inline]
    pub(super) fn float(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let start = cursor.at;
        if let Some(value) = cursor.short_number().and_then(T::short) {
            self.values.push(value);
            return Ok(());
        }
        cursor.at = start;
        let Some(number) = cursor.number() else {
            return Err(cursor.wrong("a number"));
        };
        // A JSON number is ASCII and within the syntax that `FromStr` takes.
        let value = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).filter(|value: &T| value.is_finite());
        let Some(value) = value else {
            cursor.at = start;
            return Err(cursor.wrong(T::NAME));
        };
        self.values.push(value);
        Ok(())
    }
}

/// A column of exact decimals.
#[derive(Debug)]
pub(super) struct Decimals {
    pub(super) values: Values<i128>,
    pub(super) precision: u8,
    pub(super) scale: u8,
    /// 10^`precision`, where that is less than what the fast way can give.
    limit: i64,
}

impl Decimals {
    pub(super) fn new(precision: u8, scale: u8) -> Self {
        Self { values: Values::default(), precision, scale, limit: 10_i64.checked_pow(precision.into()).unwrap_or(i64::MAX) }
    }

    /// Takes a number, or a string that holds one.
    #[inline]
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let start = cursor.at;
        if let Some(value) = cursor.short_number().and_then(|number| number.decimal(self.scale))
            && value.unsigned_abs() < self.limit.unsigned_abs()
        {
            self.values.push(value.into());
            return Ok(());
        }
        cursor.at = start;
        self.long(cursor)
    }

    #[inline(never)]
    fn long(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let start = cursor.at;
        let number = match cursor.peek() {
            b'"' => cursor.string()?,
            _ => cursor.number().ok_or_else(|| cursor.wrong("a decimal number"))?.into(),
        };
        let Some(value) = text::decimal(&number, self.precision, self.scale) else {
            cursor.at = start;
            return Err(self.unfit(cursor));
        };
        self.values.push(value);
        Ok(())
    }

    #[cold]
    fn unfit(&self, cursor: &Cursor<'_>) -> Box<Fault> {
        cursor.wrong(&format!("decimal({},{})", self.precision, self.scale))
    }
}
