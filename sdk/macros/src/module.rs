//! `module!`: the static that lists everything, and the exports that the host calls.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Ident, LitStr, Path, Result, Token, bracketed};

const FORM: &str = "`module!(owner = \"retail\", transforms = [clean], gold = [SalesByCountry])`";

/// What `module!` was given.
pub(crate) struct Declaration {
    owner: LitStr,
    name: Option<LitStr>,
    description: Option<LitStr>,
    transforms: Vec<Path>,
    gold: Vec<Path>,
}

impl Parse for Declaration {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut owner, mut name, mut description, mut transforms, mut gold) = (None, None, None, None, Vec::new());
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "owner" => owner = Some(input.parse()?),
                "name" => name = Some(input.parse()?),
                "description" => description = Some(input.parse()?),
                "transforms" => transforms = Some(paths(input)?),
                "gold" => gold = paths(input)?,
                other => {
                    let message = format!(
                        "unknown setting `{other}`: `module!` knows `owner`, `name`, `description`, `transforms` and `gold`"
                    );
                    return Err(Error::new(key.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |what: &str| Error::new(Span::call_site(), format!("the module needs {what}: write {FORM}"));
        Ok(Self {
            owner: owner.ok_or_else(|| missing("its `owner`, the domain"))?,
            name,
            description,
            transforms: transforms
                .filter(|list: &Vec<Path>| !list.is_empty())
                .ok_or_else(|| missing("its `transforms`"))?,
            gold,
        })
    }
}

fn paths(input: ParseStream<'_>) -> Result<Vec<Path>> {
    let list;
    bracketed!(list in input);
    Ok(Punctuated::<Path, Token![,]>::parse_terminated(&list)?.into_iter().collect())
}

impl Declaration {
    pub(crate) fn expand(&self) -> TokenStream {
        let Self { owner, .. } = self;
        let name = self.name.as_ref().map_or_else(|| quote!(::core::env!("CARGO_PKG_NAME")), |name| quote!(#name));
        let description = self
            .description
            .as_ref()
            .map_or_else(|| quote!(::core::env!("CARGO_PKG_DESCRIPTION")), |text| quote!(#text));
        let transforms =
            self.transforms.iter().map(|path| quote_spanned!(path.span()=> ::lakeward_sdk::glue::Entry::of::<#path>()));
        let gold = self.gold.iter().map(|path| quote_spanned!(path.span()=> <#path as ::lakeward_sdk::Gold>::describe));
        let exports = exports();
        quote! {
            /// This module: what it reads and writes, and its transforms.
            pub static MODULE: ::lakeward_sdk::Module = ::lakeward_sdk::Module {
                name: #name,
                version: ::core::env!("CARGO_PKG_VERSION"),
                owner: #owner,
                description: #description,
                transforms: &[#(#transforms),*],
                gold: &[#(#gold),*],
            };

            #exports
        }
    }
}

/// The exports of `sdk/wit/transform.wit`, flattened. What they return lives until the instance is dropped, so that
/// nothing is left to do after a return.
fn exports() -> TokenStream {
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use ::lakeward_sdk::glue::wall::{List, RawAnswer, describe, process};

            #[unsafe(export_name = "lakeward:transform/module@1.0.0#describe")]
            extern "C" fn export_describe() -> *const List {
                describe(&MODULE)
            }

            #[unsafe(export_name = "cabi_post_lakeward:transform/module@1.0.0#describe")]
            extern "C" fn after_describe(_: *const List) {}

            #[unsafe(export_name = "lakeward:transform/module@1.0.0#process")]
            unsafe extern "C" fn export_process(
                input: u32,
                rows: u32,
                nodes: usize,
                nodes_length: usize,
                buffers: usize,
                buffers_length: usize,
            ) -> *const RawAnswer {
                let (nodes, buffers) =
                    (List::from_parameters(nodes, nodes_length), List::from_parameters(buffers, buffers_length));
                // SAFETY: these are the parameters of the export, and only the host calls it.
                unsafe { process(&MODULE, input, rows, nodes, buffers) }
            }

            #[unsafe(export_name = "cabi_post_lakeward:transform/module@1.0.0#process")]
            extern "C" fn after_process(_: *const RawAnswer) {}
        };
    }
}
