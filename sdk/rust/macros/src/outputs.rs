//! The derive of `Outputs`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Index, Result, Type};

use crate::target::{self, Errors, Shape, Target};

/// The contract's maximum number of outputs per plugin.
const MOST: usize = 128;

/// Derives `Outputs`.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    derived(input).unwrap_or_else(|error| {
        let members = quote! {
            const OUTPUTS: &'static [::flowloom_sdk::Output] = &[];
            type Columns = ();

            fn columns(_: usize) {}

            fn push(self, (): &mut ()) {}

            fn finish(
                (): (),
            ) -> ::std::vec::Vec<::flowloom_sdk::__private::batch_feature::OutputColumn> {
                ::core::unreachable!()
            }

            fn values(self) -> ::std::vec::Vec<::flowloom_sdk::__private::feature::Value> {
                ::core::unreachable!()
            }
        };
        target::failed(
            input,
            error,
            (quote!(::flowloom_sdk::Outputs), false),
            members,
        )
    })
}

fn derived(input: &DeriveInput) -> Result<TokenStream> {
    let target = Target::owned(input, "Outputs")?;
    if target.fields.len() > MOST {
        return Err(Error::new_spanned(
            target.name,
            format!(
                "a plugin has at most {MOST} outputs, but this struct has {}",
                target.fields.len()
            ),
        ));
    }
    let mut errors = Errors::default();
    let mut idents = Vec::new();
    let mut names = Vec::new();
    let mut items = Vec::new();
    let mut indices = Vec::new();
    let mut descriptions = Vec::new();
    for (n, field) in target.fields.iter().enumerate() {
        let (ident, name) = target::name(field);
        let ty = &field.ty;
        if !allowed(&name) {
            errors.add(Error::new_spanned(
                ident,
                format!("the output name `{name}` must have at most 32 characters: lower case letters, digits and `_`, a letter first"),
            ));
        }
        let described = target::description(field, "output", "Mean of ip_size, bytes.");
        descriptions.extend(errors.take(described));
        if let Some(replacement) = replacement(ty) {
            errors.add(Error::new_spanned(
                ty,
                format!(
                    "output `{name}` cannot have the type `{}`; use {replacement}\n\
                     outputs are {TYPES}, or an Option of one of these",
                    target::text(ty)
                ),
            ));
        }
        idents.push(ident);
        names.push(name);
        // The compiler reports a type that cannot be an output once, if all its uses are in one place.
        items.push(
            ["KIND", "Column", "column", "push", "finish", "value"].map(|item| {
                let item = Ident::new(item, ty.span());
                quote_spanned!(ty.span() => <#ty as ::flowloom_sdk::__private::OutputField>::#item)
            }),
        );
        indices.push(Index::from(n));
    }
    errors.result()?;
    let item = |n: usize| items.iter().map(move |items| &items[n]);
    let [kinds, types, columns, push, finish, value] =
        [0, 1, 2, 3, 4, 5].map(item).map(Vec::from_iter);
    let name = target.name;
    Ok(quote! {
        #[automatically_derived]
        impl ::flowloom_sdk::Outputs for #name {
            const OUTPUTS: &'static [::flowloom_sdk::Output] = &[#(
                ::flowloom_sdk::Output {
                    name: #names,
                    kind: #kinds,
                    description: #descriptions,
                }
            ),*];
            type Columns = (#(#types,)*);

            fn columns(flows: usize) -> Self::Columns {
                (#(#columns(flows),)*)
            }

            fn push(self, columns: &mut Self::Columns) {
                #(#push(self.#idents, &mut columns.#indices);)*
            }

            fn finish(
                columns: Self::Columns,
            ) -> ::std::vec::Vec<::flowloom_sdk::__private::batch_feature::OutputColumn> {
                ::std::vec![#(
                    #finish(columns.#indices)
                ),*]
            }

            fn values(self) -> ::std::vec::Vec<::flowloom_sdk::__private::feature::Value> {
                ::std::vec![#(#value(self.#idents)),*]
            }
        }
    })
}

/// The types of outputs, for the text of an error.
const TYPES: &str = "bool, i64, u32 and smaller integers, f64, f32, String, Bytes, Vec<i64>, Vec<f64>, \
                     Vec<String>, Json";

/// Returns what to use instead of a type that cannot be an output. Returns `None` for other types: the
/// compiler knows whether they can.
fn replacement(ty: &Type) -> Option<String> {
    let (name, how) = match target::shape(ty) {
        Shape::Name(name) => match name.as_str() {
            "u64" | "usize" | "u128" | "isize" | "i128" => (
                "i64",
                ": convert it (`value as i64`, or `i64::try_from(value).ok()` for an Option<i64>)",
            ),
            "char" | "str" | "IpAddr" | "Ipv4Addr" | "Ipv6Addr" => {
                ("String", ": convert it (`value.to_string()`)")
            }
            _ => return None,
        },
        Shape::Reference(inner) => return replacement(inner),
        Shape::Slice(item) => (list(item)?, ": convert it (`value.to_vec()`)"),
        Shape::Of(name, item) if name == "Vec" => match list(item)? {
            "Bytes" => ("Bytes", ": convert it (`Bytes(value)`)"),
            list => (list, ""),
        },
        Shape::Of(name, item) if name == "Option" => return replacement(item),
        Shape::Of(name, _)
            if matches!(
                name.as_str(),
                "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet"
            ) =>
        {
            ("Json", ", the text of a JSON value")
        }
        Shape::Of(..) | Shape::Other => return None,
    };
    Some(format!("`{name}`{how}"))
}

/// Returns the type of an output for a list of items that are not `i64`, `f64` or `String`.
fn list(item: &Type) -> Option<&'static str> {
    match target::shape(item) {
        Shape::Name(name) => match name.as_str() {
            "u8" => Some("Bytes"),
            "i8" | "i16" | "i32" | "u16" | "u32" | "u64" | "usize" | "isize" | "bool" => {
                Some("Vec<i64>")
            }
            "f32" => Some("Vec<f64>"),
            "char" => Some("Vec<String>"),
            _ => None,
        },
        Shape::Reference(_) => Some("Vec<String>"),
        _ => None,
    }
}

fn allowed(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn error_of(input: DeriveInput) -> String {
        derived(&input).expect_err("the derive fails").to_string()
    }

    #[test]
    fn an_output_needs_a_doc_comment_and_a_valid_name() {
        assert_eq!(
            error_of(parse_quote! { struct Out { mean: f64 } }),
            "output `mean` needs a doc comment, which is its description; \
             write for example `/// Mean of ip_size, bytes.` above it"
        );
        assert_eq!(
            error_of(parse_quote! { struct Out { /** Mean. */ meanSize: f64 } }),
            "the output name `meanSize` must have at most 32 characters: \
             lower case letters, digits and `_`, a letter first"
        );
    }

    #[test]
    fn there_are_at_most_128_outputs() {
        let fields = (0..129).map(|n| quote::format_ident!("o{n}"));
        assert_eq!(
            error_of(parse_quote! { struct Out { #(/** One. */ #fields: bool),* } }),
            "a plugin has at most 128 outputs, but this struct has 129"
        );
    }
}
