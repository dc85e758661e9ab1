//! Which values of a column differ, and how a value looks in a report.

use super::pairs::ColumnPair;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;

/// The most characters of a value that are shown.
const SHOWN: usize = 80;

/// Stands for a value that one of the modules hides.
pub(super) const HIDDEN: &str = "(hidden)";

/// The rows in which the matched values of a column differ; `None` where there are none.
pub(super) fn differing(pair: &ColumnPair, old: &ArrayRef, new: &ArrayRef) -> Option<BooleanBuffer> {
    if pair.types.is_some() {
        return by_text(old, new);
    }
    // Comparing buffers costs next to nothing, and mostly there is nothing to find.
    if old.as_ref() == new.as_ref() {
        return None;
    }
    let encode = |array: &ArrayRef| {
        pair.converter.convert_columns(std::slice::from_ref(array)).expect("the column is of the converter's type")
    };
    let (old, new) = (encode(old), encode(new));
    some(BooleanBuffer::collect_bool(old.num_rows(), |row| old.row(row) != new.row(row)))
}

/// Values of two types are the same where they read the same: `1.50` and `1.5`, `7` and `"7"`.
fn by_text(old: &ArrayRef, new: &ArrayRef) -> Option<BooleanBuffer> {
    let (before, after) = (Text::of(old), Text::of(new));
    some(BooleanBuffer::collect_bool(old.len(), |row| before.plain(row) != after.plain(row)))
}

fn some(rows: BooleanBuffer) -> Option<BooleanBuffer> {
    (rows.count_set_bits() > 0).then_some(rows)
}

/// The value at `row` for a person, cut and harmless; `None` is null.
#[must_use]
pub fn show(array: &ArrayRef, row: usize) -> Option<String> {
    let text = Text::of(array).at(row)?;
    let cut = text.char_indices().nth(SHOWN).map_or(text.len(), |(end, _)| end);
    let mut shown = text[..cut].replace(char::is_control, "\u{FFFD}");
    if cut < text.len() {
        shown.push('…');
    }
    Some(shown)
}

/// The values of a column as text.
struct Text<'a> {
    array: &'a ArrayRef,
    formatter: Option<ArrayFormatter<'a>>,
}

impl<'a> Text<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(true).with_null("null");
        Self { array, formatter: ArrayFormatter::try_new(array.as_ref(), &OPTIONS).ok() }
    }

    fn at(&self, row: usize) -> Option<String> {
        if self.array.is_null(row) {
            return None;
        }
        Some(self.formatter.as_ref().map_or_else(|| "?".to_owned(), |formatter| formatter.value(row).to_string()))
    }

    /// The same, without zeros behind the point that only a scale asks for.
    fn plain(&self, row: usize) -> Option<String> {
        let text = self.at(row)?;
        let has_scale =
            matches!(self.array.data_type(), DataType::Decimal128(_, _) | DataType::Float32 | DataType::Float64);
        if has_scale && text.contains('.') {
            return Some(text.trim_end_matches('0').trim_end_matches('.').to_owned());
        }
        Some(text)
    }
}
