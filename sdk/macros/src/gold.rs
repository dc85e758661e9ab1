//! `#[derive(Gold)]`: keys, windows and measures of an aggregate.

use crate::attributes::Settings;
use crate::case::snake;
use crate::product::identifier;
use crate::record::{Record, RecordField};
use crate::units::{duration_ms, tumbling_ms};
use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Ident, Meta, Path, Result, Token};

const FORM: &str = "`#[gold(from = Sale, time = sold_at, window = \"tumbling 1h\")]`";
const FIELDS: &str = "`#[key]`, `#[count]`, `#[sum(column)]`, `#[min(column)]`, `#[max(column)]`, `#[average(column)]` or `#[distinct(column)]`";

/// What `#[gold(..)]` says.
struct Aggregate {
    from: Path,
    time: Ident,
    width_ms: u64,
    lateness_ms: u64,
    name: String,
    partition_by: TokenStream,
}

/// What a field is.
struct Role<'a> {
    field: &'a RecordField<'a>,
    function: Option<TokenStream>,
    /// The column that is read; none for `count`.
    column: Option<Ident>,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let record = Record::new(input, "Gold")?;
    if let Some(lifetime) = record.lifetime {
        return Err(Error::new(
            lifetime.span(),
            "a gold product is declared, not built: use `String` instead of `&str`",
        ));
    }
    let aggregate = Aggregate::read(&record)?;
    let roles = record.fields.iter().map(Role::read).collect::<Result<Vec<_>>>()?;
    if roles.iter().all(|role| role.function.is_none()) {
        return Err(Error::new(
            record.ident.span(),
            "a gold product measures something: add a field with `#[count]` or `#[sum(column)]`",
        ));
    }
    let (ident, description) = (record.ident, &record.description);
    let Aggregate { from, time, width_ms, lateness_ms, name, partition_by } = &aggregate;
    let (keys, measures): (Vec<_>, Vec<_>) = roles.iter().partition(|role| role.function.is_none());
    let (keys, measures) = (keys.into_iter().map(Role::key), measures.into_iter().map(Role::measure));
    let used = roles.iter().filter_map(|role| role.column.as_ref()).chain([time]);
    let idents = record.fields.iter().map(|field| field.ident);
    let time_name = time.unraw().to_string();
    Ok(quote! {
        #[automatically_derived]
        impl ::lakeward_sdk::Gold for #ident {
            fn describe() -> ::lakeward_sdk::glue::manifest::Gold {
                // The columns must be fields of the product, and a field that only the host fills is not dead.
                let _: fn(&#from, &Self) = |row, gold| {
                    #(let _ = &row.#used;)*
                    #(let _ = &gold.#idents;)*
                };
                let column = |field| ::std::string::String::from(<#from as ::lakeward_sdk::Product>::column(field));
                ::lakeward_sdk::glue::manifest::Gold {
                    name: ::std::string::String::from(#name),
                    description: ::std::string::String::from(#description),
                    from: ::std::string::String::from(<#from as ::lakeward_sdk::Product>::NAME),
                    time: column(#time_name),
                    window: ::lakeward_sdk::glue::manifest::Window::Tumbling { width_ms: #width_ms },
                    lateness_ms: #lateness_ms,
                    partition_by: ::lakeward_sdk::glue::manifest::Granularity::#partition_by,
                    keys: ::std::vec![#(#keys),*],
                    measures: ::std::vec![#(#measures),*],
                }
            }
        }
    })
}

impl Aggregate {
    fn read(record: &Record<'_>) -> Result<Self> {
        let known = ["from", "time", "window", "lateness", "name", "partition_by"];
        let mut all = Settings::all(record.attributes, "gold", &known)?.into_iter();
        let missing = |what: &str, span| Error::new(span, format!("a gold product needs {what}: write {FORM}"));
        let settings = all.next().ok_or_else(|| missing("its source, time and windows", record.ident.span()))?;
        if let Some(second) = all.next() {
            return Err(Error::new(second.span, "write one `#[gold(..)]`"));
        }
        let span = settings.span;
        let time = settings
            .path("time")?
            .ok_or_else(|| missing("`time`, the timestamp that places a row in its window", span))?;
        let window = settings.text("window")?.ok_or_else(|| missing("`window`", span))?;
        Ok(Self {
            from: settings.path("from")?.ok_or_else(|| missing("`from`, the product it aggregates", span))?.clone(),
            time: time
                .get_ident()
                .cloned()
                .ok_or_else(|| Error::new(time.span(), "`time` is a field of the product, such as `sold_at`"))?,
            width_ms: tumbling_ms(window)?,
            lateness_ms: settings.text("lateness")?.map_or(Ok(0), duration_ms)?,
            name: settings.text("name")?.map_or_else(|| Ok(snake(&record.ident.to_string())), identifier)?,
            partition_by: match settings.text("partition_by")? {
                None => quote!(Day),
                Some(text) => match text.value().as_str() {
                    "day" => quote!(Day),
                    "month" => quote!(Month),
                    "year" => quote!(Year),
                    other => {
                        return Err(Error::new(
                            text.span(),
                            format!("unknown part `{other}`: write `day`, `month` or `year`"),
                        ));
                    }
                },
            },
        })
    }
}

impl<'a> Role<'a> {
    fn read(field: &'a RecordField<'a>) -> Result<Self> {
        let mut found = None;
        for attribute in field.attributes {
            let Some(name) = attribute.path().get_ident().map(Ident::to_string) else { continue };
            let role = match name.as_str() {
                "key" => Self { field, function: None, column: Some(key_column(attribute, field)?) },
                "count" => {
                    attribute.meta.require_path_only().map_err(|_| {
                        Error::new(attribute.span(), "`#[count]` counts rows: write it without a column")
                    })?;
                    Self { field, function: Some(quote!(Count)), column: None }
                }
                "sum" => Self { field, function: Some(quote!(Sum)), column: Some(column(attribute, &name)?) },
                "min" => Self { field, function: Some(quote!(Min)), column: Some(column(attribute, &name)?) },
                "max" => Self { field, function: Some(quote!(Max)), column: Some(column(attribute, &name)?) },
                "average" => Self { field, function: Some(quote!(Average)), column: Some(column(attribute, &name)?) },
                "distinct" => {
                    let (column, function) = distinct(attribute)?;
                    Self { field, function: Some(function), column: Some(column) }
                }
                _ => continue,
            };
            if found.replace(role).is_some() {
                return Err(Error::new(
                    attribute.span(),
                    "a field is one thing: another attribute says what it is already",
                ));
            }
        }
        found.ok_or_else(|| Error::new(field.ident.span(), format!("say what `{}` is: {FIELDS}", field.ident)))
    }

    fn key(&self) -> TokenStream {
        let (name, description) = (self.field.name(), &self.field.description);
        let column = self.column.as_ref().map(|column| column.unraw().to_string());
        quote!(::lakeward_sdk::glue::manifest::Key {
            name: ::std::string::String::from(#name),
            column: column(#column),
            description: ::std::string::String::from(#description),
        })
    }

    fn measure(&self) -> TokenStream {
        let (name, description, value, function) =
            (self.field.name(), &self.field.description, self.field.value, &self.function);
        let column = match self.column.as_ref().map(|column| column.unraw().to_string()) {
            Some(column) => quote!(::core::option::Option::Some(column(#column))),
            None => quote!(::core::option::Option::None),
        };
        quote!(::lakeward_sdk::glue::manifest::Measure {
            name: ::std::string::String::from(#name),
            function: ::lakeward_sdk::glue::manifest::Function::#function,
            column: #column,
            data_type: <#value as ::lakeward_sdk::glue::WriteColumn>::data_type(),
            description: ::std::string::String::from(#description),
        })
    }
}

/// The column of `#[key]`, which is the field's own name, or of `#[key(column)]`.
fn key_column(attribute: &Attribute, field: &RecordField<'_>) -> Result<Ident> {
    match &attribute.meta {
        Meta::Path(_) => Ok(field.ident.clone()),
        _ => column(attribute, "key"),
    }
}

fn column(attribute: &Attribute, name: &str) -> Result<Ident> {
    attribute
        .parse_args()
        .map_err(|_| Error::new(attribute.span(), format!("name one column of the product: `#[{name}(column)]`")))
}

fn distinct(attribute: &Attribute) -> Result<(Ident, TokenStream)> {
    let form = || {
        Error::new(
            attribute.span(),
            "write `#[distinct(column)]` for an exact count or `#[distinct(column, sketch)]` for an estimate",
        )
    };
    let words = attribute.parse_args_with(Punctuated::<Ident, Token![,]>::parse_terminated).map_err(|_| form())?;
    match words.into_iter().collect::<Vec<_>>().as_slice() {
        [column] => Ok((column.clone(), quote!(Distinct))),
        [column, sketch] if sketch == "sketch" => Ok((column.clone(), quote!(DistinctSketch))),
        _ => Err(form()),
    }
}
