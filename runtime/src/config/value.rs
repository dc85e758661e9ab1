//! How single settings are written: durations, sizes, locations, addresses; each refused with the form that is taken.

use super::sections::ParkAfter;
use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use toml::Spanned;

/// Passwords and keys, which are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The shortest secret taken, in bytes: hashed customer numbers are guessed by trying, unless the secret cannot be.
const MIN_SECRET: usize = 16;

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Options that are passed on to another system, as text. Nested tables are taken as dotted names, so that
/// `security.protocol = "SSL"` needs no quotes. Printed by name only: values may be passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<String, String>,
    /// Where each value stands: its line, from 1; while the file is read, its first byte.
    at: BTreeMap<String, usize>,
}

impl Properties {
    /// The names with their values, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The line of the configuration on which `name` is set, from 1.
    #[must_use]
    pub fn line(&self, name: &str) -> Option<usize> {
        self.at.get(name).copied()
    }

    /// Turns bytes into lines.
    pub(super) fn locate(&mut self, line: impl Fn(usize) -> usize) {
        self.at.values_mut().for_each(|at| *at = line(*at));
    }

    fn flatten(&mut self, prefix: &str, table: BTreeMap<String, Spanned<Property>>) {
        for (name, property) in table {
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            let start = property.span().start;
            match property.into_inner() {
                Property::Scalar(value) => {
                    self.at.insert(name.clone(), start);
                    self.values.insert(name, value);
                }
                Property::Table(table) => self.flatten(&name, table),
            }
        }
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut properties = Self::default();
        properties.flatten("", Deserialize::deserialize(deserializer)?);
        Ok(properties)
    }
}

/// A value of a property: a scalar, or a table of more of them.
enum Property {
    Scalar(String),
    Table(BTreeMap<String, Spanned<Property>>),
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Property;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Property, E> {
                Ok(Property::Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Property, E> {
                Ok(Property::Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Property, E> {
                Ok(Property::Scalar(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Property, E> {
                Ok(Property::Scalar(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Property, A::Error> {
                let mut table = BTreeMap::new();
                while let Some((name, property)) = map.next_entry()? {
                    table.insert(name, property);
                }
                Ok(Property::Table(table))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Reads text with `parse`; `expected` completes "invalid value, expected ..".
fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);
    impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
            (self.1)(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self.0))
        }
    }
    deserializer.deserialize_str(Text(expected, parse))
}

/// A duration of at least 1 ms.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    text(deserializer, "a duration with its unit, such as \"10s\" or \"500ms\"", |value| {
        humantime::parse_duration(value).ok().filter(|duration| *duration >= Duration::from_millis(1))
    })
}

/// A duration of at least 100 ms.
pub(super) fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    text(deserializer, "a duration of at least 100 ms with its unit, such as \"5s\" or \"500ms\"", |value| {
        humantime::parse_duration(value).ok().filter(|duration| *duration >= Duration::from_millis(100))
    })
}

/// A size in bytes, more than 0.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    text(deserializer, "a size with its unit, such as \"64 MiB\"", bytes)
}

/// A size in bytes that a 32-bit memory can have.
pub(super) fn wasm_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    text(deserializer, "a size from \"64 KiB\" to \"4 GiB\" with its unit", |value| {
        bytes(value).filter(|bytes| (64 << 10..=4 << 30).contains(bytes))
    })
}

/// A share of the records, or `off`.
pub(super) fn park_after_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ParkAfter, D::Error> {
    text(deserializer, "a share of the records, such as \"50%\", or \"off\"", |value| {
        if value == "off" { Some(ParkAfter::Never) } else { value.parse().ok().map(ParkAfter::Share) }
    })
}

/// The same, where it may be left out.
pub(super) fn park_after<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ParkAfter>, D::Error> {
    park_after_all(deserializer).map(Some)
}

/// A bare number would be taken as bytes, which nobody means.
fn bytes(value: &str) -> Option<u64> {
    let has_unit = value.trim_end().ends_with(|c: char| c.is_ascii_alphabetic());
    value.parse::<ByteSize>().ok().filter(|size| has_unit && size.0 > 0).map(|size| size.0)
}

/// A name that can stand in paths and in ids.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer, "a name of letters, digits, `_`, `-` and `.`", |value| is_name(value).then(|| value.to_owned()))
}

/// Whether the name can stand in paths and in ids; Kafka's rule for topics too.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=249).contains(&name.len()) && name.chars().all(plain) && name != "." && name != ".."
}

/// A section per name.
pub(super) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Name(#[serde(deserialize_with = "name")] String);
    let sections = BTreeMap::<Name, T>::deserialize(deserializer)?;
    Ok(sections.into_iter().map(|(Name(name), section)| (name, section)).collect())
}

/// A place for tables: a folder, or a URL of a scheme that the object store knows.
pub(super) fn location<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const SCHEMES: [&str; 6] = ["file", "s3", "s3a", "gs", "az", "abfss"];
    let expected = "a folder, or a URL that starts with file://, s3://, s3a://, gs://, az:// or abfss://";
    text(deserializer, expected, |value| {
        let known = value.split_once("://").is_none_or(|(scheme, rest)| SCHEMES.contains(&scheme) && !rest.is_empty());
        (known && !value.trim().is_empty()).then(|| value.to_owned())
    })
}

/// Text that counts as absent where it is empty, as an unset variable with an empty default leaves it.
pub(super) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text(deserializer, "text", |value| Some(Some(value.trim().to_owned()).filter(|value| !value.is_empty())))
}

/// An address to listen on; `None` for `off`.
pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    text(deserializer, "an IP address with a port, such as \"127.0.0.1:8080\", or \"off\"", |value| {
        if value == "off" { Some(None) } else { value.parse().ok().map(Some) }
    })
}

/// A token, which may not be left out: who forgets it must not find the door open.
pub(super) fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    let token = secret(deserializer)?;
    token.ok_or_else(|| de::Error::custom("the token is empty; `openssl rand -hex 32` makes a good one"))
}

/// A secret; `None` where it is empty.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let Some(secret) = non_empty(deserializer)? else { return Ok(None) };
    if secret.len() < MIN_SECRET {
        return Err(de::Error::custom(format!(
            "the secret has {} bytes, at least {MIN_SECRET} are needed",
            secret.len()
        )));
    }
    Ok(Some(Secret(secret)))
}
