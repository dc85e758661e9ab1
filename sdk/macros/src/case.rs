//! How names are written: `snake_case` in Rust, often otherwise in records.

use syn::{Error, LitStr, Result};

/// A way to write the words of a field's name.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
}

impl Case {
    pub(crate) fn parse(text: &LitStr) -> Result<Self> {
        match text.value().as_str() {
            "PascalCase" => Ok(Self::Pascal),
            "camelCase" => Ok(Self::Camel),
            "snake_case" => Ok(Self::Snake),
            "SCREAMING_SNAKE_CASE" => Ok(Self::ScreamingSnake),
            "kebab-case" => Ok(Self::Kebab),
            other => Err(Error::new(
                text.span(),
                format!(
                    "unknown case `{other}`: write `PascalCase`, `camelCase`, `snake_case`, `SCREAMING_SNAKE_CASE` or `kebab-case`"
                ),
            )),
        }
    }

    /// Writes the field `name` so.
    pub(crate) fn apply(self, name: &str) -> String {
        let words = name.split('_').filter(|word| !word.is_empty());
        match self {
            Self::Snake => name.to_owned(),
            Self::ScreamingSnake => name.to_uppercase(),
            Self::Kebab => name.replace('_', "-"),
            Self::Pascal => words.map(capitalized).collect(),
            Self::Camel => words
                .enumerate()
                .map(|(index, word)| if index == 0 { word.to_owned() } else { capitalized(word) })
                .collect(),
        }
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `SalesByCountry` as `sales_by_country`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_writes_the_same_words() {
        let cases = [Case::Pascal, Case::Camel, Case::Snake, Case::ScreamingSnake, Case::Kebab];
        let written = cases.map(|case| case.apply("invoice_no"));
        assert_eq!(written, ["InvoiceNo", "invoiceNo", "invoice_no", "INVOICE_NO", "invoice-no"]);
    }

    #[test]
    fn a_struct_lends_its_name_to_the_product() {
        assert_eq!(snake("SalesByCountry"), "sales_by_country");
        assert_eq!(snake("Sale"), "sale");
    }
}
