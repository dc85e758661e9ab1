//! The columns of a product, before and after: by name, with an eye for renames.

use super::{Compatibility, Way};
use crate::columns::table_type;
use arrow_schema::DataType as ArrowType;
use lakeward_manifest::{Column, Mask};

/// The columns of one product in both modules.
pub(super) struct Columns<'a> {
    pub(super) path: &'a str,
    pub(super) old: &'a [Column],
    pub(super) new: &'a [Column],
}

impl Columns<'_> {
    pub(super) fn compare(&self, found: &mut Compatibility) {
        for (place, column) in self.new.iter().enumerate() {
            match self.old.iter().find(|before| before.name == column.name) {
                Some(before) => self.both(found, before, column),
                None => match self.renamed(place) {
                    Some(before) => self.rename(found, before, column),
                    None => self.added(found, column),
                },
            }
        }
        for (place, before) in self.old.iter().enumerate() {
            let is_there = self.new.iter().any(|column| column.name == before.name);
            let is_renamed = self.new.get(place).is_some_and(|_| self.renamed(place).is_some());
            if !is_there && !is_renamed {
                self.gone(found, before);
            }
        }
    }

    /// The column that is gone from this place in favour of a new one of its type.
    fn renamed(&self, place: usize) -> Option<&Column> {
        let (before, column) = (self.old.get(place)?, self.new.get(place)?);
        let is_gone = !self.new.iter().any(|other| other.name == before.name);
        let is_new = !self.old.iter().any(|other| other.name == column.name);
        (is_gone && is_new && same_type(before, column)).then_some(before)
    }

    fn rename(&self, found: &mut Compatibility, before: &Column, column: &Column) {
        let what = format!(
            "it stands where {} stood, with its type: a rename, after which the rows so far have no {} and those to come no {}; \
             if it is something else, remove the one in one release and add the other in the next",
            before.name, column.name, before.name
        );
        found.breaks(Some(self.path), Some(&column.name), what, &Way::ALL);
    }

    fn added(&self, found: &mut Compatibility, column: &Column) {
        let (path, name) = (Some(self.path), Some(column.name.as_str()));
        let alike = self.old.iter().find(|before| before.name.eq_ignore_ascii_case(&column.name));
        if let Some(before) = alike {
            let what = format!("the table has a column {}, and upper and lower case are the same there", before.name);
            found.breaks(path, name, what, &Way::ALL);
        } else if column.nullable {
            let what = format!("a new {}: the commit that first carries it adds it to the table", shown(column));
            found.add(path, name, what);
        } else {
            let what = format!(
                "a new {} that is never null, but the rows so far have no value for it; make it nullable{}",
                shown(column),
                self.hint(column, self.old, self.new)
            );
            found.breaks(path, name, what, &Way::ALL);
        }
    }

    fn gone(&self, found: &mut Compatibility, before: &Column) {
        let (path, name) = (Some(self.path), Some(before.name.as_str()));
        let hint = self.hint(before, self.new, self.old);
        if before.nullable {
            let what = format!("gone: the table keeps it, and the rows to come have null in it{hint}");
            found.change(path, name, what);
        } else if !self.new.iter().any(|column| column.name.eq_ignore_ascii_case(&before.name)) {
            let what = format!("gone, but the table promises a value in every row{hint}");
            found.breaks(path, name, what, &Way::ALL);
        }
    }

    /// A column of the other side that could be this one under another name.
    fn hint(&self, column: &Column, others: &[Column], own: &[Column]) -> String {
        let lonely = |other: &&Column| !own.iter().any(|column| column.name == other.name);
        match others.iter().filter(lonely).find(|other| same_type(column, other)) {
            Some(other) => format!(" ({} has its type: a rename is a column gone and a new one)", other.name),
            None => String::new(),
        }
    }

    fn both(&self, found: &mut Compatibility, old: &Column, new: &Column) {
        let (path, name) = (Some(self.path), Some(new.name.as_str()));
        let (was, is) = (table_type(&old.data_type), table_type(&new.data_type));
        if was != is {
            let what = if widens(&was, &is) {
                format!(
                    "widened from {} to {}: not every reader takes a table whose types were widened in place",
                    old.data_type, new.data_type
                )
            } else {
                format!(
                    "it was {} and is {}: files of both types cannot stand in one table",
                    old.data_type, new.data_type
                )
            };
            found.breaks(path, name, what, &Way::ALL);
        } else if old.data_type != new.data_type {
            let what = format!("{} becomes {}, which is the same in the table", old.data_type, new.data_type);
            found.change(path, name, what);
        }
        if !old.nullable && new.nullable {
            found.breaks(path, name, "it may be null now, but the table promises a value in every row", &Way::ALL);
        } else if old.nullable && !new.nullable {
            found.change(path, name, "never null from here on; the table's column stays nullable");
        }
        if old.mask != new.mask {
            let what = match (old.mask, new.mask) {
                (None, Some(mask)) => format!("{} now, but the rows so far show it", mask_text(mask)),
                (Some(mask), None) => format!("no longer {}: what was hidden would be seen", mask_text(mask)),
                (was, is) => format!(
                    "it was {} and is {}: values so far and to come no longer join",
                    was.map_or("plain", mask_text),
                    is.map_or("plain", mask_text)
                ),
            };
            found.breaks(path, name, what, &Way::ALL);
        }
    }
}

fn shown(column: &Column) -> String {
    format!("{}{}", if column.nullable { "nullable " } else { "" }, column.data_type)
}

fn same_type(one: &Column, other: &Column) -> bool {
    table_type(&one.data_type) == table_type(&other.data_type)
}

fn mask_text(mask: Mask) -> &'static str {
    match mask {
        Mask::Redact => "redacted",
        Mask::Hash => "hashed",
        Mask::Truncate { .. } => "truncated",
    }
}

/// Whether Delta Lake's feature `typeWidening` allows the step ("Supported Type Changes" of the protocol), of the types that tables have.
fn widens(was: &ArrowType, is: &ArrowType) -> bool {
    use ArrowType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64};
    match (was, is) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (Float32 | Int8 | Int16 | Int32, Float64) => true,
        (Decimal128(old, old_scale), Decimal128(new, new_scale)) => {
            let digits = i16::from(*new) - i16::from(*old);
            let places = i16::from(*new_scale) - i16::from(*old_scale);
            places >= 0 && digits >= places
        }
        (Int8 | Int16 | Int32, Decimal128(precision, scale)) => i16::from(*precision) - i16::from(*scale) >= 10,
        (Int64, Decimal128(precision, scale)) => i16::from(*precision) - i16::from(*scale) >= 20,
        _ => false,
    }
}
