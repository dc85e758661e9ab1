//! `#[transform]`: gives the function a type of its own name that the module can list.

use crate::attributes::description;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, Error, GenericParam, Generics, Ident, Result, Token, Type, Visibility, parenthesized};

const FORM: &str = "`fn clean(line: OrderLine<'_>) -> Result<Option<Sale<'_>>, Reject>`";

/// A function's head; the body is left alone.
struct Head {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    ident: Ident,
    event: Type,
    answer: Type,
}

pub(crate) fn expand(attribute: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new(attribute.span(), "`#[transform]` takes no settings; the topic stands on the event"));
    }
    let head = Head::parse_before_body.parse2(item.clone())?;
    let Head { attributes, visibility, ident, event, answer } = head;
    let name = ident.to_string();
    let doc = format!("The transform `{name}`: {}", description(&attributes));
    let describe = quote_spanned!(event.span()=> ::lakeward_sdk::glue::describe(#ident, #name));
    let products = quote_spanned!(answer.span()=> ::lakeward_sdk::glue::products(#ident, names));
    let run = quote_spanned!(event.span()=> ::lakeward_sdk::glue::run(#ident, events));
    Ok(quote! {
        // In a module the function has one caller, the loop over a chunk: in place, its event and its row need not go through memory.
        #[cfg_attr(target_family = "wasm", inline(always))]
        #item

        #[doc = #doc]
        #[allow(non_camel_case_types, clippy::allow_attributes)]
        #visibility enum #ident {}

        #[automatically_derived]
        impl ::lakeward_sdk::Transform for #ident {
            const NAME: &'static str = #name;

            fn describe() -> ::lakeward_sdk::glue::Described {
                #describe
            }

            fn products(names: &mut ::std::vec::Vec<&'static str>) {
                #products;
            }

            fn run(
                events: ::lakeward_sdk::glue::Columns<'_>,
            ) -> ::core::result::Result<::lakeward_sdk::glue::Outcome, ::std::string::String> {
                #run
            }
        }
    })
}

impl Head {
    fn parse_before_body(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        if !input.peek(Token![fn]) {
            return Err(input.error(format!("`#[transform]` stands on a plain function: {FORM}")));
        }
        input.parse::<Token![fn]>()?;
        let ident: Ident = input.parse()?;
        let generics: Generics = input.parse()?;
        if let Some(parameter) =
            generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
        {
            return Err(Error::new(
                parameter.span(),
                format!("a transform reads one event type: it cannot be generic; write {FORM}"),
            ));
        }
        let arguments;
        let parentheses = parenthesized!(arguments in input);
        let one = || Error::new(parentheses.span.join(), format!("a transform takes one event: {FORM}"));
        if arguments.is_empty() {
            return Err(one());
        }
        let event = event_type(&arguments)?;
        if !arguments.is_empty() {
            return Err(one());
        }
        if !input.peek(Token![->]) {
            return Err(Error::new(ident.span(), format!("a transform returns rows: {FORM}")));
        }
        input.parse::<Token![->]>()?;
        let answer = Type::without_plus(input)?;
        input.parse::<TokenStream>()?;
        Ok(Self { attributes, visibility, ident, event, answer })
    }
}

/// Reads `pattern: Type` and a comma. The pattern ends at the first colon that is not part of `::`.
fn event_type(arguments: ParseStream<'_>) -> Result<Type> {
    loop {
        if arguments.peek(Token![::]) {
            arguments.parse::<Token![::]>()?;
        } else if arguments.peek(Token![:]) {
            arguments.parse::<Token![:]>()?;
            let event = arguments.parse()?;
            if arguments.peek(Token![,]) {
                arguments.parse::<Token![,]>()?;
            }
            return Ok(event);
        } else if arguments.peek(Token![self]) {
            return Err(
                arguments.error(format!("a transform has no state and so no `self`: make it a function, {FORM}"))
            );
        } else {
            match arguments.parse()? {
                TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                    return Err(Error::new(group.span(), format!("a transform takes one event: {FORM}")));
                }
                _ => {}
            }
        }
    }
}

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Self::parse_before_body(input)
    }
}
