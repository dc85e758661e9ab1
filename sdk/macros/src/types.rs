//! Looks at field types as they are written, to say early what to use instead of one that no column can have.

use syn::spanned::Spanned;
use syn::{Error, GenericArgument, PathArguments, PathSegment, Result, Type};

/// Refuses the types that are known not to work, with what to write instead.
pub(crate) fn check(field: &Type) -> Result<()> {
    match field {
        Type::Tuple(_) => Err(Error::new(field.span(), "a tuple has no names: use a struct")),
        Type::Array(_) => Err(Error::new(field.span(), "use `Vec<T>`, or `Vec<u8>` for bytes")),
        Type::Reference(reference) if reference.mutability.is_some() => {
            Err(Error::new(field.span(), "events and rows are values: use `&'a str` or `&'a [u8]`"))
        }
        Type::Path(path) => path.path.segments.last().map_or(Ok(()), check_segment),
        _ => Ok(()),
    }
}

fn check_segment(segment: &PathSegment) -> Result<()> {
    let name = segment.ident.to_string();
    let instead = match name.as_str() {
        "char" => "use `&str` or `String`",
        "usize" => "its width depends on the machine: use `u64` or `u32`",
        "isize" => "its width depends on the machine: use `i64` or `i32`",
        "i128" | "u128" => "use `Decimal<38, 0>`",
        "HashMap" | "BTreeMap" => "a map has no fixed columns: use a struct, or `Vec` of a struct with key and value",
        "HashSet" | "BTreeSet" | "VecDeque" => "use `Vec<T>`",
        "Box" | "Rc" | "Arc" | "Cell" | "RefCell" => "use the value itself",
        "SystemTime" | "Instant" | "DateTime" | "NaiveDateTime" => "use `Timestamp`",
        "Duration" => "use `i64` and say the unit in the name, as in `delay_seconds`",
        "Option" if inner(segment).is_some_and(is_option) => "a column knows one kind of null: use one `Option`",
        "Option" | "Vec" => return inner(segment).map_or(Ok(()), check),
        _ => return Ok(()),
    };
    Err(Error::new(segment.span(), format!("`{name}` cannot be a column: {instead}")))
}

fn inner(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    })
}

/// Whether the type is written `Option<..>`.
pub(crate) fn is_option(field: &Type) -> bool {
    last_name(field).is_some_and(|name| name == "Option")
}

/// The name of the type, without an `Option` around it.
pub(crate) fn value_name(field: &Type) -> Option<String> {
    match field {
        Type::Path(path) if is_option(field) => path.path.segments.last().and_then(inner).and_then(last_name),
        other => last_name(other),
    }
}

fn last_name(field: &Type) -> Option<String> {
    match field {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}
