//! The struct to which a derive is applied.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{
    Data, DeriveInput, Error, Expr, Field, Fields, GenericArgument, GenericParam, Lifetime, Lit,
    Meta, PathArguments, Result, Type,
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

/// Returns the error, and an implementation of the trait that is never called. Without it, the compiler would
/// also report that the trait is not implemented.
///
/// `trait_path` is followed by a lifetime if `borrows`.
pub(crate) fn failed(
    input: &DeriveInput,
    error: Error,
    (trait_path, borrows): (TokenStream, bool),
    members: TokenStream,
) -> TokenStream {
    let error = error.into_compile_error();
    let name = &input.ident;
    let mut lifetimes = input.generics.lifetimes().map(|found| &found.lifetime);
    let of_struct = lifetimes.next();
    let unclear = lifetimes.next().is_some()
        || input.generics.params.len() > 1
        || of_struct.is_none() && !input.generics.params.is_empty();
    if unclear || of_struct.is_some() && !borrows {
        return error;
    }
    let new = Lifetime::new("'a", Span::call_site());
    let parameters = borrows.then(|| {
        let lifetime = of_struct.unwrap_or(&new);
        quote!(<#lifetime>)
    });
    let arguments = of_struct.map(|lifetime| quote!(<#lifetime>));
    quote! {
        #error
        impl #parameters #trait_path #parameters for #name #arguments {
            #members
        }
    }
}

/// Returns the identifier of a field and its name in Flowloom.
pub(crate) fn name(field: &Field) -> (&Ident, String) {
    let ident = field.ident.as_ref().expect("the struct has named fields");
    (ident, ident.unraw().to_string())
}

/// Returns the doc comment of a field as one line. A field without one is an error, which shows `example`.
pub(crate) fn description(field: &Field, what: &str, example: &str) -> Result<String> {
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
            format!(
                "{what} `{name}` needs a doc comment, which is its description; \
                 write for example `/// {example}` above it"
            ),
        ));
    }
    Ok(words.join(" "))
}

/// Collects errors, so that the compiler shows all of them.
#[derive(Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Returns the value, or adds the error.
    pub(crate) fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Returns a type in which the lifetimes `'_` are `'a`.
pub(crate) fn borrowed(ty: &Type) -> Type {
    let mut ty = ty.clone();
    if let Type::Path(path) = &mut ty {
        for segment in &mut path.path.segments {
            if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                for argument in &mut arguments.args {
                    if let GenericArgument::Lifetime(lifetime) = argument
                        && lifetime.ident == "_"
                    {
                        lifetime.ident = Ident::new("a", lifetime.ident.span());
                    }
                }
            }
        }
    }
    ty
}

/// Formats a type as authors write it.
pub(crate) fn text(ty: &Type) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (tokens, written) in [
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ::", "::"),
        (":: ", "::"),
        (" ,", ","),
        (" ;", ";"),
        ("& ", "&"),
    ] {
        text = text.replace(tokens, written);
    }
    text
}

/// A type, as far as its tokens show it. A path is its last segment: `std::net::IpAddr` is `IpAddr`.
pub(crate) enum Shape<'a> {
    /// A name without arguments.
    Name(String),
    /// A name with one type as argument: `Vec<u8>`.
    Of(String, &'a Type),
    /// A slice or an array.
    Slice(&'a Type),
    Reference(&'a Type),
    Other,
}

/// Returns the shape of a type.
pub(crate) fn shape(ty: &Type) -> Shape<'_> {
    match ty {
        Type::Reference(reference) => Shape::Reference(&reference.elem),
        Type::Slice(slice) => Shape::Slice(&slice.elem),
        Type::Array(array) => Shape::Slice(&array.elem),
        Type::Paren(inner) => shape(&inner.elem),
        Type::Group(inner) => shape(&inner.elem),
        Type::Path(path) => match path.path.segments.last() {
            Some(last) => match &last.arguments {
                PathArguments::None => Shape::Name(last.ident.to_string()),
                PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                    Some(GenericArgument::Type(ty)) => Shape::Of(last.ident.to_string(), ty),
                    _ => Shape::Other,
                },
                PathArguments::Parenthesized(_) => Shape::Other,
            },
            None => Shape::Other,
        },
        _ => Shape::Other,
    }
}
