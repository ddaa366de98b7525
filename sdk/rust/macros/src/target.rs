//! The struct to which a derive is applied.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::{
    Data, DeriveInput, Error, Expr, Field, Fields, GenericParam, Lifetime, Lit, Meta, Result,
};

/// A struct with named fields.
pub(crate) struct Target<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) fields: Vec<&'a Field>,
    lifetime: Option<&'a Lifetime>,
}

impl<'a> Target<'a> {
    /// Parses a struct that may have one lifetime, for data that it borrows from an event.
    pub(crate) fn new(input: &'a DeriveInput, derive: &str) -> Result<Self> {
        let fields = match &input.data {
            Data::Struct(data) => match &data.fields {
                Fields::Named(fields) => fields.named.iter().collect(),
                Fields::Unit => Vec::new(),
                Fields::Unnamed(_) => {
                    return Err(Error::new_spanned(
                        &data.fields,
                        format!("{derive} needs a struct with named fields"),
                    ));
                }
            },
            _ => {
                return Err(Error::new_spanned(
                    &input.ident,
                    format!("{derive} can only be derived for structs"),
                ));
            }
        };
        let mut lifetime = None;
        for parameter in &input.generics.params {
            match parameter {
                GenericParam::Lifetime(found) if lifetime.is_none() => {
                    lifetime = Some(&found.lifetime);
                }
                other => {
                    return Err(Error::new_spanned(
                        other,
                        format!(
                            "{derive} can only be derived for structs with at most one lifetime"
                        ),
                    ));
                }
            }
        }
        Ok(Target {
            name: &input.ident,
            fields,
            lifetime,
        })
    }

    /// Parses a struct that may not have a lifetime.
    pub(crate) fn owned(input: &'a DeriveInput, derive: &str) -> Result<Self> {
        let target = Self::new(input, derive)?;
        match target.lifetime {
            Some(lifetime) => Err(Error::new_spanned(
                lifetime,
                format!("{derive} can only be derived for structs without lifetimes"),
            )),
            None => Ok(target),
        }
    }

    /// Returns the lifetime of the struct, or a new one.
    pub(crate) fn lifetime(&self) -> Lifetime {
        self.lifetime
            .cloned()
            .unwrap_or_else(|| Lifetime::new("'a", Span::call_site()))
    }

    /// Returns whether the struct has a lifetime.
    pub(crate) fn borrows(&self) -> bool {
        self.lifetime.is_some()
    }
}

/// Returns the identifier of a field and its name in Flowloom.
pub(crate) fn name(field: &Field) -> (&Ident, String) {
    let ident = field.ident.as_ref().expect("the struct has named fields");
    (ident, ident.unraw().to_string())
}

/// Returns the doc comment of a field as one line. A field without one is an error.
pub(crate) fn description(field: &Field, what: &str) -> Result<String> {
    let mut words = Vec::new();
    for attribute in &field.attrs {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(line) = &literal.lit
        {
            words.extend(line.value().split_whitespace().map(str::to_owned));
        }
    }
    if words.is_empty() {
        let (ident, name) = name(field);
        return Err(Error::new_spanned(
            ident,
            format!("{what} `{name}` needs a doc comment: it is the description of the {what}"),
        ));
    }
    Ok(words.join(" "))
}
