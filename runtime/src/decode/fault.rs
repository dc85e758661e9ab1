//! Why a payload is not what an input declares.

use std::fmt;

/// The outcome of reading something; a fault is boxed so that the good way stays narrow.
pub(super) type Result<T = ()> = std::result::Result<T, Box<Fault>>;

/// What is wrong, and in which field.
#[derive(Debug)]
pub(super) struct Fault {
    /// `lines[2].price`; empty for the payload itself.
    path: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The payload is not JSON; it says where, and the field does not matter.
    Syntax(String),
    /// A value is not what the column holds.
    Value(String),
    Missing,
}

impl Fault {
    #[cold]
    pub(super) fn syntax(reason: String) -> Box<Self> {
        Box::new(Self { path: String::new(), kind: Kind::Syntax(reason) })
    }

    #[cold]
    pub(super) fn value(reason: impl Into<String>) -> Box<Self> {
        Box::new(Self { path: String::new(), kind: Kind::Value(reason.into()) })
    }

    #[cold]
    pub(super) fn missing() -> Box<Self> {
        Box::new(Self { path: String::new(), kind: Kind::Missing })
    }

    /// Says that it happened in a field of an object.
    #[cold]
    pub(super) fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        let point = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{point}{}", self.path);
        self
    }

    /// Says that it happened in an item of a list.
    #[cold]
    pub(super) fn in_item(mut self: Box<Self>, index: usize) -> Box<Self> {
        let point = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{point}{}", self.path);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Syntax(reason) => f.write_str(reason),
            Kind::Value(reason) if self.path.is_empty() => f.write_str(reason),
            Kind::Value(reason) => write!(f, "field {:?}: {reason}", self.path),
            Kind::Missing => write!(f, "required field {:?} is missing", self.path),
        }
    }
}
