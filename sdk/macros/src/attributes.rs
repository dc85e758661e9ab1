//! Reads attributes such as `#[product(mask = "hash", name = "sales")]`, and says what it knows when it reads something else.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Result, Token};

/// One attribute: its settings, in order.
pub(crate) struct Settings {
    pub(crate) span: Span,
    settings: Vec<Setting>,
}

/// `key`, `key = "text"` or `key = path`.
struct Setting {
    key: Ident,
    value: Value,
}

enum Value {
    None,
    Text(LitStr),
    Path(Path),
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.parse()?;
        if !input.peek(Token![=]) {
            return Ok(Self { key, value: Value::None });
        }
        input.parse::<Token![=]>()?;
        let value = if input.peek(LitStr) { Value::Text(input.parse()?) } else { Value::Path(input.parse()?) };
        Ok(Self { key, value })
    }
}

impl Settings {
    /// The attributes called `name`, which may hold the settings `known` and no other.
    pub(crate) fn all(attributes: &[Attribute], name: &str, known: &[&str]) -> Result<Vec<Self>> {
        attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident(name))
            .map(|it| Self::one(it, name, known))
            .collect()
    }

    fn one(attribute: &Attribute, name: &str, known: &[&str]) -> Result<Self> {
        let known_list = known.join("`, `");
        let Meta::List(list) = &attribute.meta else {
            return Err(Error::new(attribute.span(), format!("write `#[{name}(..)]` with one of `{known_list}`")));
        };
        let parsed = list.parse_args_with(Punctuated::<Setting, Token![,]>::parse_terminated)?;
        let settings: Vec<_> = parsed.into_iter().collect();
        for (index, setting) in settings.iter().enumerate() {
            if !known.iter().any(|known| setting.key == known) {
                let key = &setting.key;
                let message = format!("unknown setting `{key}`: `#[{name}(..)]` knows `{known_list}` here");
                return Err(Error::new(key.span(), message));
            }
            if settings[..index].iter().any(|earlier| earlier.key == setting.key) {
                return Err(Error::new(setting.key.span(), format!("`{}` is set twice", setting.key)));
            }
        }
        Ok(Self { span: attribute.span(), settings })
    }

    fn find(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// Whether the setting stands there, with or without a value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The setting's text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&LitStr>> {
        match self.find(key) {
            None => Ok(None),
            Some(Setting { value: Value::Text(text), .. }) => Ok(Some(text)),
            Some(setting) => Err(Error::new(setting.key.span(), format!("write `{key} = \"..\"`"))),
        }
    }

    /// The setting's path, such as a type or a field.
    pub(crate) fn path(&self, key: &str) -> Result<Option<&Path>> {
        match self.find(key) {
            None => Ok(None),
            Some(Setting { value: Value::Path(path), .. }) => Ok(Some(path)),
            Some(setting) => {
                Err(Error::new(setting.key.span(), format!("write `{key} = ..` with a name, without quotes")))
            }
        }
    }

    /// The span of a setting that stands alone, such as `time`.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<Span>> {
        match self.find(key) {
            None => Ok(None),
            Some(Setting { key, value: Value::None }) => Ok(Some(key.span())),
            Some(setting) => Err(Error::new(setting.key.span(), format!("write `{key}` alone, without a value"))),
        }
    }
}

/// The doc comment, its lines joined to one paragraph; a blank line ends it.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.skip_while(String::is_empty).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
