//! A struct as the derives see it: named fields, doc comments, at most one lifetime.

use crate::attributes::description;
use crate::types;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, Result, Type};

/// The struct that a derive stands on.
pub(crate) struct Record<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) lifetime: Option<&'a Lifetime>,
    pub(crate) attributes: &'a [Attribute],
    pub(crate) description: String,
    pub(crate) fields: Vec<RecordField<'a>>,
}

/// One of its fields.
pub(crate) struct RecordField<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) value: &'a Type,
    pub(crate) attributes: &'a [Attribute],
    pub(crate) description: String,
}

impl RecordField<'_> {
    /// The field's name, `type` for `r#type`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }
}

impl<'a> Record<'a> {
    /// Reads the struct; `derive` is the derive's name.
    pub(crate) fn new(input: &'a DeriveInput, derive: &str) -> Result<Self> {
        let refuse = |span| {
            Err(Error::new(
                span,
                format!("`{derive}` is for structs with named fields: `struct Name {{ field: Type }}`"),
            ))
        };
        let Data::Struct(data) = &input.data else {
            return refuse(input.ident.span());
        };
        let Fields::Named(named) = &data.fields else {
            return refuse(input.ident.span());
        };
        if named.named.is_empty() {
            return refuse(input.ident.span());
        }
        let mut fields = Vec::new();
        for field in &named.named {
            types::check(&field.ty)?;
            let ident = field.ident.as_ref().expect("named fields have names");
            fields.push(RecordField {
                ident,
                value: &field.ty,
                attributes: &field.attrs,
                description: description(&field.attrs),
            });
        }
        Ok(Self {
            ident: &input.ident,
            lifetime: lifetime(input, derive)?,
            attributes: &input.attrs,
            description: description(&input.attrs),
            fields,
        })
    }
}

fn lifetime<'a>(input: &'a DeriveInput, derive: &str) -> Result<Option<&'a Lifetime>> {
    let mut found = None;
    for parameter in &input.generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) if found.is_none() => found = Some(&lifetime.lifetime),
            GenericParam::Lifetime(lifetime) => {
                let message =
                    format!("`{derive}` borrows from one chunk: use one lifetime, `struct {}<'a>`", input.ident);
                return Err(Error::new(lifetime.span(), message));
            }
            other => {
                let message =
                    format!("`{derive}` needs to know its columns: a struct cannot have type or const parameters");
                return Err(Error::new(other.span(), message));
            }
        }
    }
    Ok(found)
}
