//! Columns of lists. (Those of structs are written by the derives.)

use super::text::{offsets, range};
use super::{Cursor, Head, Malformed, OwnedColumns, ReadColumn, ReadItem, Validity, WriteColumn, WriteItem};
use lakeward_manifest::{Column, DataType};

fn list_of(data_type: DataType, nullable: bool) -> DataType {
    DataType::List(Box::new(Column {
        name: "item".to_owned(),
        source: None,
        data_type,
        nullable,
        format: None,
        mask: None,
        description: String::new(),
    }))
}

impl<'a, T: ReadItem<'a>> ReadColumn<'a> for Vec<T> {
    type Column = (&'a [[u8; 4]], T::Column);

    fn data_type() -> DataType {
        list_of(T::data_type(), T::NULLABLE)
    }

    fn open(cursor: &mut Cursor<'a>, head: Head<'a>) -> Result<Self::Column, Malformed> {
        Ok((offsets(cursor, head)?, cursor.column::<T>()?))
    }

    #[inline]
    fn get((offsets, items): &Self::Column, row: usize) -> Self {
        let (start, end) = range(offsets, row);
        (start..end).map(|item| T::get(items, item)).collect()
    }
}

impl<'a, T: ReadItem<'a>> ReadItem<'a> for Vec<T> {}

/// Offsets and items while they are filled.
#[derive(Debug)]
pub struct ListBuilder<B> {
    offsets: Vec<[u8; 4]>,
    length: u32,
    items: B,
}

impl<T: WriteItem> WriteColumn for Vec<T> {
    type Builder = ListBuilder<T::Builder>;

    fn data_type() -> DataType {
        list_of(T::data_type(), T::NULLABLE)
    }

    fn builder(rows: usize) -> Self::Builder {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push([0; 4]);
        ListBuilder { offsets, length: 0, items: T::builder(rows) }
    }

    #[inline]
    fn write_to(self, builder: &mut Self::Builder) {
        builder.length += self.len() as u32;
        builder.offsets.push(builder.length.to_le_bytes());
        for item in self {
            item.write_to(&mut builder.items);
        }
    }

    fn write_null(builder: &mut Self::Builder) {
        builder.offsets.push(builder.length.to_le_bytes());
    }

    fn finish(builder: Self::Builder, validity: Validity, columns: &mut OwnedColumns) {
        columns.array(builder.offsets.len() - 1, validity);
        columns.buffers.push(builder.offsets.into_flattened());
        T::finish(builder.items, Validity::default(), columns);
    }
}

impl<T: WriteItem> WriteItem for Vec<T> {}
