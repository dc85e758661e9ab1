//! What a product promises beyond its columns: name, layer, partitioning, rules, masks.

use crate::attributes::Settings;
use crate::case::snake;
use crate::record::Record;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Error, LitStr, Result};

/// The table of a product.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) layer: TokenStream,
    pub(super) partition_by: Vec<TokenStream>,
}

impl Table {
    /// Reads the struct's attributes: one with `expect` is a rule on rows, the others are about the table.
    pub(super) fn read(record: &Record<'_>, columns: &[&str], rules: &mut Vec<Rule>) -> Result<Self> {
        let mut table = Self {
            name: snake(&record.ident.to_string()),
            layer: quote!(::lakeward_sdk::glue::manifest::Layer::Silver),
            partition_by: Vec::new(),
        };
        let known = ["name", "layer", "partition_by", "expect", "on_violation"];
        for settings in Settings::all(record.attributes, "product", &known)? {
            if let Some(rule) = Rule::read(&settings, None)? {
                if settings.has("layer") || settings.has("partition_by") {
                    let message = "a rule stands in an attribute of its own: `#[product(expect = \"..\", on_violation = \"..\")]`";
                    return Err(Error::new(settings.span, message));
                }
                rules.push(rule);
                continue;
            }
            if let Some(name) = settings.text("name")? {
                table.name = identifier(name)?;
            }
            if let Some(layer) = settings.text("layer")?.filter(|layer| layer.value() != "silver") {
                return Err(Error::new(
                    layer.span(),
                    "a transform writes `silver` products; gold comes from `#[derive(Gold)]`",
                ));
            }
            if let Some(text) = settings.text("partition_by")? {
                table.partition_by = partition_by(text, columns)?;
            }
        }
        Ok(table)
    }
}

/// A name that can stand in a path and a URL.
pub(crate) fn identifier(text: &LitStr) -> Result<String> {
    let name = text.value();
    let mut letters = name.bytes();
    let starts_well = letters.next().is_some_and(|first| first.is_ascii_lowercase());
    if starts_well && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_') {
        return Ok(name);
    }
    Err(Error::new(
        text.span(),
        format!("`{name}` stands in paths and URLs: write it in lower case with `_`, as in `sales_by_country`"),
    ))
}

/// Reads `day(x)`, `month(x)`, `year(x)`, `x`, several separated by commas.
fn partition_by(text: &LitStr, columns: &[&str]) -> Result<Vec<TokenStream>> {
    let value = text.value();
    let parts = value.split(',').map(|part| {
        let part = part.trim();
        let (by, column) = match part.strip_suffix(')').and_then(|open| open.split_once('(')) {
            Some(("day", column)) => (quote!(Day), column.trim()),
            Some(("month", column)) => (quote!(Month), column.trim()),
            Some(("year", column)) => (quote!(Year), column.trim()),
            Some((other, _)) => {
                return Err(Error::new(
                    text.span(),
                    format!("unknown part `{other}`: write `day(x)`, `month(x)`, `year(x)` or `x`"),
                ));
            }
            None => (quote!(Value), part),
        };
        if !columns.contains(&column) {
            return Err(Error::new(text.span(), format!("the product has no column `{column}`")));
        }
        Ok(quote!(::lakeward_sdk::glue::manifest::PartitionBy {
            column: ::std::string::String::from(#column),
            by: ::lakeward_sdk::glue::manifest::Granularity::#by,
        }))
    });
    parts.collect()
}

/// A rule on a column or on rows.
pub(super) struct Rule {
    name: String,
    column: Option<String>,
    expression: String,
    on_violation: TokenStream,
}

impl Rule {
    /// The rule of an attribute that has `expect`.
    pub(super) fn read(settings: &Settings, column: Option<&str>) -> Result<Option<Self>> {
        let violation = settings.text("on_violation")?;
        let Some(expect) = settings.text("expect")? else {
            return match (violation, column.and(settings.text("name")?)) {
                (Some(text), _) => {
                    Err(Error::new(text.span(), "`on_violation` needs the rule: `expect = \"value >= 0\"`"))
                }
                (None, Some(text)) => Err(Error::new(
                    text.span(),
                    "`name` names a rule: add `expect = \"value >= 0\"`, or write `rename` for the column",
                )),
                (None, None) => Ok(None),
            };
        };
        let expression = expect.value();
        if expression.trim().is_empty() {
            return Err(Error::new(expect.span(), "write the condition of a good row, such as `value >= 0`"));
        }
        let name = match settings.text("name")? {
            Some(name) => name.value(),
            None => column.map_or_else(|| expression.clone(), |column| name_of_value(&expression, column)),
        };
        let on_violation = on_violation(violation)?;
        Ok(Some(Self { name, column: column.map(str::to_owned), expression, on_violation }))
    }
}

/// The expression with the column's name in the place of `value`.
fn name_of_value(expression: &str, column: &str) -> String {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = expression.split_inclusive(|letter| !is_word(letter)).map(|part| {
        let word = part.trim_end_matches(|letter| !is_word(letter));
        if word == "value" { part.replacen(word, column, 1) } else { part.to_owned() }
    });
    words.collect()
}

fn on_violation(text: Option<&LitStr>) -> Result<TokenStream> {
    let Some(text) = text else {
        return Ok(quote!(Warn));
    };
    match text.value().as_str() {
        "warn" => Ok(quote!(Warn)),
        "drop" => Ok(quote!(Drop)),
        "dead_letter" => Ok(quote!(DeadLetter)),
        "stop" => Ok(quote!(Stop)),
        other => Err(Error::new(
            text.span(),
            format!("unknown violation `{other}`: write `warn`, `drop`, `dead_letter` or `stop`"),
        )),
    }
}

impl ToTokens for Rule {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, column, expression, on_violation } = self;
        let column = match column {
            Some(column) => quote!(::core::option::Option::Some(::std::string::String::from(#column))),
            None => quote!(::core::option::Option::None),
        };
        tokens.extend(quote!(::lakeward_sdk::glue::manifest::Expectation {
            name: ::std::string::String::from(#name),
            column: #column,
            expression: ::std::string::String::from(#expression),
            on_violation: ::lakeward_sdk::glue::manifest::OnViolation::#on_violation,
        }));
    }
}

/// Reads `redact`, `hash` or `truncate(4)`.
pub(super) fn mask(text: &LitStr) -> Result<TokenStream> {
    let mask = quote!(::lakeward_sdk::glue::manifest::Mask);
    let value = text.value();
    match value.as_str() {
        "redact" => return Ok(quote!(#mask::Redact)),
        "hash" => return Ok(quote!(#mask::Hash)),
        _ => {}
    }
    let keep =
        value.strip_prefix("truncate(").and_then(|rest| rest.strip_suffix(')')).map(|keep| keep.trim().parse::<u32>());
    match keep {
        Some(Ok(keep)) => Ok(quote!(#mask::Truncate { keep: #keep })),
        _ => Err(Error::new(text.span(), format!("unknown mask `{value}`: write `redact`, `hash` or `truncate(4)`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::name_of_value;

    #[test]
    fn a_rule_on_a_column_is_named_after_it() {
        assert_eq!(name_of_value("value >= 0 and other_value < value", "total"), "total >= 0 and other_value < total");
    }
}
