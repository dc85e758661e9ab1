//! `#[derive(Event)]`: how a struct is read from columns.

use crate::attributes::Settings;
use crate::case::Case;
use crate::record::{Record, RecordField};
use crate::types;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Index, Lifetime, Result, Type};

struct EventField<'a> {
    field: &'a RecordField<'a>,
    source: String,
    format: Option<String>,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let record = Record::new(input, "Event")?;
    let mut topic = None;
    let mut case = Case::Snake;
    for settings in Settings::all(record.attributes, "event", &["topic", "rename_all"])? {
        topic = settings.text("topic")?.cloned().or(topic);
        if let Some(text) = settings.text("rename_all")? {
            case = Case::parse(text)?;
        }
    }
    let mut time = None;
    let mut fields = Vec::new();
    for field in &record.fields {
        let (field, is_time) = event_field(field, case)?;
        match is_time {
            Some(span) if time.is_some() => {
                return Err(Error::new(span, "an event happens once: another field has `time` already"));
            }
            Some(span) if topic.is_none() => {
                return Err(Error::new(
                    span,
                    "`time` belongs to the event of a topic; add `#[event(topic = \"..\")]` to the struct",
                ));
            }
            Some(_) => time = Some(field.field.name()),
            None => {}
        }
        fields.push(field);
    }
    let read = read(&record, &fields);
    let event = topic.map(|topic| {
        let (ident, name, description) = (record.ident, record.ident.to_string(), &record.description);
        let (life, arguments) = lifetimes(&record);
        let time = time
            .map_or_else(|| quote!(::core::option::Option::None), |time| quote!(::core::option::Option::Some(#time)));
        quote! {
            #[automatically_derived]
            impl<#life> ::lakeward_sdk::Event<#life> for #ident #arguments {
                const TOPIC: &'static str = #topic;
                const NAME: &'static str = #name;
                const DESCRIPTION: &'static str = #description;
                const EVENT_TIME: ::core::option::Option<&'static str> = #time;
            }
        }
    });
    Ok(quote!(#read #event))
}

/// The lifetime of the chunk, and the struct's own arguments.
fn lifetimes(record: &Record<'_>) -> (Lifetime, Option<TokenStream>) {
    match record.lifetime {
        Some(lifetime) => (lifetime.clone(), Some(quote!(<#lifetime>))),
        None => (Lifetime::new("'chunk", Span::call_site()), None),
    }
}

fn event_field<'a>(field: &'a RecordField<'a>, case: Case) -> Result<(EventField<'a>, Option<Span>)> {
    if let Type::Reference(reference) = field.value
        && reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static")
    {
        return Err(Error::new(
            reference.span(),
            "an event borrows from its chunk: give the struct a lifetime, `struct Name<'a>`, and use `&'a`",
        ));
    }
    let mut found = EventField { field, source: case.apply(&field.name()), format: None };
    let mut time = None;
    for settings in Settings::all(field.attributes, "event", &["rename", "time", "format"])? {
        if let Some(rename) = settings.text("rename")? {
            found.source = rename.value();
        }
        if let Some(format) = settings.text("format")? {
            if !matches!(types::value_name(field.value).as_deref(), Some("Timestamp" | "Date")) {
                return Err(Error::new(format.span(), "`format` is for a `Timestamp` or a `Date`"));
            }
            found.format = Some(format.value());
        }
        if let Some(span) = settings.flag("time")? {
            if types::value_name(field.value).as_deref() != Some("Timestamp") || types::is_option(field.value) {
                return Err(Error::new(
                    field.value.span(),
                    "the field with `time` is a `Timestamp`, which every event has",
                ));
            }
            time = Some(span);
        }
    }
    Ok((found, time))
}

fn read(record: &Record<'_>, fields: &[EventField<'_>]) -> TokenStream {
    let ident = record.ident;
    let (life, arguments) = lifetimes(record);
    let glue = quote!(::lakeward_sdk::glue);
    let values: Vec<_> = fields.iter().map(|field| field.field.value).collect();
    let idents = fields.iter().map(|field| field.field.ident);
    let indices = (0..fields.len()).map(Index::from);
    let abouts = fields.iter().map(|field| {
        let (name, description) = (field.field.name(), &field.field.description);
        let source = (field.source != name).then(|| { let source = &field.source; quote!(source: ::core::option::Option::Some(#source),) });
        let format = field.format.as_ref().map(|format| quote!(format: ::core::option::Option::Some(#format),));
        quote!(#glue::About { name: #name, #source #format description: #description, ..::core::default::Default::default() })
    });
    let reads = values.iter().map(|value| quote_spanned!(value.span()=> <#value as #glue::ReadColumn<#life>>));
    let gets = reads.clone().zip(indices).map(|(read, index)| quote!(#read::get(&columns.#index, row)));
    let columns = reads.map(|read| quote!(#read::Column));
    quote! {
        #[automatically_derived]
        impl<#life> #glue::ReadColumn<#life> for #ident #arguments {
            type Column = (#(#columns,)*);

            fn data_type() -> #glue::manifest::DataType {
                #glue::manifest::DataType::Struct(::std::vec![#(#glue::read_column::<#values>(#abouts)),*])
            }

            fn open(
                cursor: &mut #glue::Cursor<#life>,
                _: #glue::Head<#life>,
            ) -> ::core::result::Result<Self::Column, #glue::Malformed> {
                ::core::result::Result::Ok((#(cursor.column::<#values>()?,)*))
            }

            #[inline]
            fn get(columns: &Self::Column, row: usize) -> Self {
                Self { #(#idents: #gets),* }
            }
        }

        #[automatically_derived]
        impl<#life> #glue::ReadItem<#life> for #ident #arguments {}
    }
}
