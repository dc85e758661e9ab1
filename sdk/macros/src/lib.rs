//! The macros of `lakeward-sdk`. See its documentation; nothing here is used directly.

mod attributes;
mod case;
mod event;
mod gold;
mod module;
mod product;
mod record;
mod transform;
mod types;
mod units;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;

/// Makes a struct an event, read from columns.
///
/// On the struct, `#[event(topic = "orders", rename_all = "PascalCase")]`. Without `topic` it is a nested struct of an event.
/// On a field, `#[event(rename = "CustomerID")]` for its name in the record, `#[event(time)]` for when the event happened,
/// `#[event(format = "%Y-%m-%d %H:%M:%S")]` for how a date or timestamp is written.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).and_then(|input| event::expand(&input)))
}

/// Makes a struct the row of a data product, written to columns.
///
/// On the struct, `#[product(name = "sales", partition_by = "month(sold_at)")]`, and `#[product(expect = "quantity <> 0",
/// on_violation = "drop", name = "no empty lines")]` for a rule on rows, once a rule.
/// On a field, `#[product(rename = "..")]`, `#[product(mask = "hash")]` (or `redact`, `truncate(4)`), and
/// `#[product(expect = "value >= 0", on_violation = "dead_letter")]` for a rule on its values.
/// A violation is a `warn` unless it says `drop`, `dead_letter` or `stop`.
#[proc_macro_derive(Product, attributes(product))]
pub fn derive_product(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).and_then(|input| product::expand(&input)))
}

/// Makes a struct a gold product, which the host keeps over a data product.
///
/// On the struct, `#[gold(from = Sale, time = sold_at, window = "tumbling 1h", lateness = "10m", partition_by = "day")]`.
/// Every field is a `#[key]` or a measure: `#[count]`, `#[sum(column)]`, `#[min(column)]`, `#[max(column)]`,
/// `#[average(column)]`, `#[distinct(column)]` or `#[distinct(column, sketch)]`.
#[proc_macro_derive(Gold, attributes(gold, key, count, sum, min, max, average, distinct))]
pub fn derive_gold(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).and_then(|input| gold::expand(&input)))
}

/// Makes a function a transform; the function stays what it is.
#[proc_macro_attribute]
pub fn transform(attribute: TokenStream, item: TokenStream) -> TokenStream {
    answer(transform::expand(&attribute.into(), item.into()))
}

/// Declares the module: `module!(owner = "retail", transforms = [clean], gold = [SalesByCountry]);`
///
/// Its name and description are the package's, unless `name = ".."` or `description = ".."` say otherwise. It makes the static
/// `MODULE` for tests, and the exports that the host calls.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    answer(syn::parse(input).map(|module: module::Declaration| module.expand()))
}

fn answer(expanded: syn::Result<Tokens>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}
