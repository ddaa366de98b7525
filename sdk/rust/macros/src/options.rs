//! The derive of `Options`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Expr, ExprUnary, Field, Lit, Result, UnOp};

use crate::target::{self, Errors, Target};

/// Derives `Options`.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    derived(input).unwrap_or_else(|error| {
        let members = quote! {
            const SPECS: &'static [::flowloom_sdk::OptionSpec] = &[];

            fn parse(
                _: &[(::std::string::String, ::std::string::String)],
            ) -> ::std::result::Result<Self, ::std::string::String> {
                ::core::unreachable!()
            }
        };
        target::failed(
            input,
            error,
            (quote!(::flowloom_sdk::Options), false),
            members,
        )
    })
}

fn derived(input: &DeriveInput) -> Result<TokenStream> {
    let target = Target::owned(input, "Options")?;
    let mut errors = Errors::default();
    let mut idents = Vec::new();
    let mut takes = Vec::new();
    let mut specs = Vec::new();
    for field in &target.fields {
        let (ident, key) = target::name(field);
        let ty = &field.ty;
        let described = target::description(field, "option", "Smallest payload to use, in bytes.");
        let (Some(description), Some(default)) =
            (errors.take(described), errors.take(default(field)))
        else {
            continue;
        };
        // The compiler reports a type that cannot be an option once, if all its uses are in one place.
        let [kind, accepts, optional, take] = ["KIND", "ACCEPTS", "OPTIONAL", "take"].map(|item| {
            let item = Ident::new(item, ty.span());
            quote_spanned!(ty.span() => <#ty as ::flowloom_sdk::OptionValue>::#item)
        });
        let default = match default {
            Some(text) => quote!(::core::option::Option::Some(#text)),
            None => quote! {
                if #optional {
                    ::core::option::Option::Some("")
                } else {
                    ::core::option::Option::None
                }
            },
        };
        specs.push(quote! {
            ::flowloom_sdk::OptionSpec {
                key: #key,
                kind: #kind,
                accepts: #accepts,
                default: #default,
                description: #description,
            }
        });
        idents.push(ident);
        takes.push(take);
    }
    errors.result()?;
    let name = target.name;
    let indices = 0..idents.len();
    Ok(quote! {
        #[automatically_derived]
        impl ::flowloom_sdk::Options for #name {
            const SPECS: &'static [::flowloom_sdk::OptionSpec] = &[#(#specs),*];

            fn parse(
                given: &[(::std::string::String, ::std::string::String)],
            ) -> ::std::result::Result<Self, ::std::string::String> {
                let given = ::flowloom_sdk::__private::Given::new(given, Self::SPECS)?;
                ::std::result::Result::Ok(Self { #(#idents: #takes(&given, #indices)?),* })
            }
        }
    })
}

/// Returns the value in `#[option(default = …)]` in the form in which an operator would give it.
fn default(field: &Field) -> Result<Option<String>> {
    let mut found = None;
    for attribute in &field.attrs {
        if !attribute.path().is_ident("option") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error("unknown key: `option` accepts only `default`"));
            }
            found = Some(text(&meta.value()?.parse()?)?);
            Ok(())
        })?;
    }
    Ok(found)
}

fn text(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Ok(text.value()),
            Lit::Int(number) => Ok(number.base10_digits().to_owned()),
            Lit::Float(number) => Ok(number.base10_digits().to_owned()),
            Lit::Bool(truth) => Ok(truth.value.to_string()),
            other => Err(Error::new(other.span(), NOT_A_LITERAL)),
        },
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr,
            ..
        }) => Ok(format!("-{}", text(expr)?)),
        other => Err(Error::new_spanned(other, NOT_A_LITERAL)),
    }
}

const NOT_A_LITERAL: &str = "the default must be a literal: a number, a string, true or false";
