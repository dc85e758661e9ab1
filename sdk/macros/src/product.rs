//! `#[derive(Product)]`: how a struct is written to columns, and the contract of the table that they become.

mod contract;

use crate::attributes::Settings;
use crate::record::{Record, RecordField};
pub(crate) use contract::identifier;
use contract::{Rule, Table};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Index, Result};

/// A field of a product.
struct ProductField<'a> {
    field: &'a RecordField<'a>,
    column: String,
    mask: Option<TokenStream>,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let record = Record::new(input, "Product")?;
    let mut fields = Vec::new();
    let mut rules = Vec::new();
    for field in &record.fields {
        let mut found = ProductField { field, column: field.name(), mask: None };
        let all = Settings::all(field.attributes, "product", &["expect", "on_violation", "name", "mask", "rename"])?;
        for settings in &all {
            if let Some(rename) = settings.text("rename")? {
                found.column = rename.value();
            }
            if let Some(mask) = settings.text("mask")? {
                found.mask = Some(contract::mask(mask)?);
            }
        }
        for settings in &all {
            rules.extend(Rule::read(settings, Some(&found.column))?);
        }
        if let Some(twice) = fields.iter().find(|other: &&ProductField<'_>| other.column == found.column) {
            return Err(Error::new(field.ident.span(), format!("the product has a column `{}` already", twice.column)));
        }
        fields.push(found);
    }
    let columns: Vec<_> = fields.iter().map(|field| field.column.as_str()).collect();
    let table = Table::read(&record, &columns, &mut rules)?;
    let (write, product) = (write(&record, &fields), product(&record, &fields, &table, &rules));
    Ok(quote!(#write #product))
}

fn write(record: &Record<'_>, fields: &[ProductField<'_>]) -> TokenStream {
    let ident = record.ident;
    let generics = record.lifetime.map(|lifetime| quote!(<#lifetime>));
    let glue = quote!(::lakeward_sdk::glue);
    let idents: Vec<_> = fields.iter().map(|field| field.field.ident).collect();
    let indices: Vec<_> = (0..fields.len()).map(Index::from).collect();
    let values: Vec<_> = fields.iter().map(|field| field.field.value).collect();
    let writes: Vec<_> =
        values.iter().map(|value| quote_spanned!(value.span()=> <#value as #glue::WriteColumn>)).collect();
    let abouts = fields.iter().map(|field| {
        let (name, description) = (&field.column, &field.field.description);
        let mask = field.mask.as_ref().map(|mask| quote!(mask: ::core::option::Option::Some(#mask),));
        quote!(#glue::About { name: #name, #mask description: #description, ..::core::default::Default::default() })
    });
    quote! {
        #[automatically_derived]
        impl #generics #glue::WriteColumn for #ident #generics {
            type Builder = (usize, (#(#writes::Builder,)*));

            fn data_type() -> #glue::manifest::DataType {
                #glue::manifest::DataType::Struct(::std::vec![#(#glue::write_column::<#values>(#abouts)),*])
            }

            fn builder(rows: usize) -> Self::Builder {
                (0, (#(#writes::builder(rows),)*))
            }

            #[inline]
            fn write_to(self, builder: &mut Self::Builder) {
                builder.0 += 1;
                #(#writes::write_to(self.#idents, &mut builder.1.#indices);)*
            }

            fn write_null(builder: &mut Self::Builder) {
                builder.0 += 1;
                #(#writes::write_null(&mut builder.1.#indices);)*
            }

            fn finish(builder: Self::Builder, validity: #glue::Validity, columns: &mut #glue::OwnedColumns) {
                columns.array(builder.0, validity);
                <Self as ::lakeward_sdk::Product>::finish_rows(builder, columns);
            }
        }

        #[automatically_derived]
        impl #generics #glue::WriteItem for #ident #generics {}
    }
}

fn product(record: &Record<'_>, fields: &[ProductField<'_>], table: &Table, rules: &[Rule]) -> TokenStream {
    let ident = record.ident;
    let generics = record.lifetime.map(|lifetime| quote!(<#lifetime>));
    let glue = quote!(::lakeward_sdk::glue);
    let (name, layer, partition_by, description) =
        (&table.name, &table.layer, &table.partition_by, &record.description);
    let indices = (0..fields.len()).map(Index::from);
    let writes = fields.iter().map(|field| {
        let value = field.field.value;
        quote!(<#value as #glue::WriteColumn>)
    });
    let renamed = fields.iter().filter(|field| field.column != field.field.name()).map(|field| {
        let (name, column) = (field.field.name(), &field.column);
        quote!(#name => #column,)
    });
    quote! {
        #[automatically_derived]
        impl #generics ::lakeward_sdk::Product for #ident #generics {
            const NAME: &'static str = #name;

            fn describe() -> #glue::manifest::Product {
                #glue::product(
                    <Self as #glue::WriteColumn>::data_type(),
                    Self::NAME,
                    #layer,
                    #description,
                    ::std::vec![#(#partition_by),*],
                    ::std::vec![#(#rules),*],
                )
            }

            fn column(field: &'static str) -> &'static str {
                match field {
                    #(#renamed)*
                    other => other,
                }
            }

            fn finish_rows(builder: Self::Builder, columns: &mut #glue::OwnedColumns) {
                #(#writes::finish(builder.1.#indices, ::core::default::Default::default(), columns);)*
            }
        }
    }
}
