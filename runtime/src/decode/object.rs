//! Objects: which column each key belongs to, and what happens to the fields that are not there.

use super::builder::Builder;
use super::fault::{Fault, Result};
use super::keys::Keys;
use super::nested::decode_value;
use super::scan::Cursor;
use arrow_array::ArrayRef;
use hashbrown::HashMap;

/// The target of a key that nobody reads.
const NOBODY: u32 = u32::MAX;

/// The columns of a payload or of a nested record.
#[derive(Debug)]
pub(super) struct Object {
    fields: Vec<Field>,
    keys: Keys,
    /// The first field of each key.
    targets: HashMap<Box<[u8]>, u32>,
    /// The number of the object at hand; a field that was seen in it carries the same.
    generation: u64,
    /// Faults of single fields, where a fault does not end the object; see [`Object::tolerate`].
    faults: Option<Vec<(usize, Box<Fault>)>>,
}

/// A declared field.
#[derive(Debug)]
pub(super) struct Field {
    source: Box<str>,
    nullable: bool,
    builder: Builder,
    /// The next field that reads the same key, in another way.
    twin: Option<u32>,
    seen: u64,
}

impl Field {
    pub(super) fn new(source: &str, nullable: bool, builder: Builder) -> Self {
        Self { source: source.into(), nullable, builder, twin: None, seen: 0 }
    }
}

impl Object {
    pub(super) fn new(mut fields: Vec<Field>) -> Self {
        let mut targets: HashMap<Box<[u8]>, u32> = HashMap::new();
        for index in (0..fields.len()).rev() {
            let field = &mut fields[index];
            field.twin = targets.insert(field.source.as_bytes().into(), index as u32);
        }
        Self { keys: Keys::new(fields.len()), fields, targets, generation: 0, faults: None }
    }

    /// From now on a fault in a field fills the field's place and is kept for [`Object::take_faults`]; only a payload that is
    /// not JSON ends an object.
    pub(super) fn tolerate(&mut self) {
        self.faults = Some(Vec::new());
    }

    /// The faults of the object at hand, with the index of the field.
    pub(super) fn take_faults(&mut self) -> impl Iterator<Item = (usize, Box<Fault>)> {
        self.faults.iter_mut().flat_map(|faults| faults.drain(..))
    }

    /// Takes the object that starts at the cursor. After a fault the columns may hold part of it.
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>) -> Result {
        if cursor.peek() != b'{' {
            return Err(cursor.wrong("an object"));
        }
        cursor.open()?;
        cursor.skip_space();
        self.generation += 1;
        self.keys.start();
        let mut present = 0;
        if cursor.peek() != b'}' {
            loop {
                let target = match self.keys.take(cursor) {
                    Some(target) => {
                        cursor.skip_space();
                        target
                    }
                    None => self.look_up(cursor)?,
                };
                if target == NOBODY {
                    cursor.skip_value()?;
                } else {
                    present += self.field(target, cursor)?;
                }
                cursor.skip_space();
                match cursor.peek() {
                    b',' => cursor.at += 1,
                    b'}' => break,
                    _ => return Err(cursor.unexpected("\",\" or \"}\"")),
                }
                cursor.skip_space();
            }
        }
        cursor.at += 1;
        cursor.depth -= 1;
        if present < self.fields.len() { self.fill() } else { Ok(()) }
    }

    /// Takes a key that was not expected.
    #[cold]
    fn look_up(&mut self, cursor: &mut Cursor<'_>) -> Result<u32> {
        if cursor.peek() != b'"' {
            return Err(cursor.unexpected("a field name"));
        }
        let start = cursor.at;
        let name = cursor.string()?;
        let plain = cursor.at - start == name.len() + 2;
        let target = self.targets.get(name.as_ref()).copied().unwrap_or(NOBODY);
        if plain {
            self.keys.learn(&name, target);
        }
        cursor.colon()?;
        Ok(target)
    }

    /// Takes the value of a field, once for every column that reads it; the number of columns that had none yet.
    #[inline]
    fn field(&mut self, target: u32, cursor: &mut Cursor<'_>) -> Result<usize> {
        let start = cursor.at;
        let mut index = target;
        let mut present = 0;
        loop {
            let field = &mut self.fields[index as usize];
            let twin = field.twin;
            let taken = if field.seen == self.generation {
                Err(twice())
            } else {
                field.seen = self.generation;
                present += 1;
                decode_value(&mut field.builder, field.nullable, cursor)
            };
            if let Err(fault) = taken {
                self.fault(index, fault, cursor, start)?;
            }
            let Some(twin) = twin else { return Ok(present) };
            index = twin;
            cursor.at = start;
        }
    }

    /// A field has a fault: ends the object, or skips the value.
    #[cold]
    fn fault(&mut self, index: u32, fault: Box<Fault>, cursor: &mut Cursor<'_>, start: usize) -> Result {
        let fault = fault.in_field(&self.fields[index as usize].source);
        let Some(faults) = &mut self.faults else { return Err(fault) };
        // Whether the payload is JSON must not depend on who reads the field. Only the payload's own object tolerates, and
        // its values stand at depth 1.
        *cursor = Cursor { at: start, depth: 1, ..*cursor };
        cursor.skip_value()?;
        faults.push((index as usize, fault));
        Ok(())
    }

    /// Fills the places of the fields that the object did not have.
    #[cold]
    fn fill(&mut self) -> Result {
        for (index, field) in self.fields.iter_mut().enumerate() {
            if field.seen == self.generation {
                continue;
            }
            if !field.nullable {
                let fault = Fault::missing().in_field(&field.source);
                match &mut self.faults {
                    Some(faults) => faults.push((index, fault)),
                    None => return Err(fault),
                }
            }
            field.builder.push_absent(field.nullable);
        }
        Ok(())
    }

    /// Pushes what stands for a missing object.
    pub(super) fn push_absent(&mut self) {
        for field in &mut self.fields {
            field.builder.push_absent(field.nullable);
        }
    }

    /// Makes every column `length` values long where a tolerated fault left it one shorter.
    pub(super) fn even_out(&mut self, length: usize) {
        for field in &mut self.fields {
            let whole = field.builder.len();
            if whole < length {
                field.builder.truncate(whole);
                field.builder.push_absent(field.nullable);
            }
        }
    }

    pub(super) fn truncate(&mut self, length: usize) {
        for field in &mut self.fields {
            field.builder.truncate(length);
        }
    }

    /// The columns, in the order of the fields; they are empty then.
    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.fields.iter_mut().map(|field| field.builder.finish()).collect()
    }
}

#[cold]
fn twice() -> Box<Fault> {
    Fault::value("stands twice in one object")
}
