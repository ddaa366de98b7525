//! The derive of `Outputs`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Index, Result};

use crate::target::{self, Target};

/// The contract's maximum number of outputs per plugin.
const MOST: usize = 128;

/// Derives `Outputs`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
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
    let mut idents = Vec::new();
    let mut names = Vec::new();
    let mut types = Vec::new();
    let mut kinds = Vec::new();
    let mut indices = Vec::new();
    let mut descriptions = Vec::new();
    for (n, field) in target.fields.iter().enumerate() {
        let (ident, name) = target::name(field);
        if !allowed(&name) {
            return Err(Error::new_spanned(
                ident,
                format!("the output name `{name}` does not match [a-z][a-z0-9_]{{0,31}}"),
            ));
        }
        descriptions.push(target::description(field, "output")?);
        idents.push(ident);
        names.push(name);
        let ty = &field.ty;
        kinds.push(quote_spanned! { ty.span() =>
            <#ty as ::flowloom_sdk::__private::OutputField>::KIND
        });
        types.push(ty);
        indices.push(Index::from(n));
    }
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
            type Columns = (#(<#types as ::flowloom_sdk::__private::OutputField>::Column,)*);

            fn columns(flows: usize) -> Self::Columns {
                (#(<#types as ::flowloom_sdk::__private::OutputField>::column(flows),)*)
            }

            fn push(self, columns: &mut Self::Columns) {
                #(::flowloom_sdk::__private::OutputField::push(self.#idents, &mut columns.#indices);)*
            }

            fn finish(
                columns: Self::Columns,
            ) -> ::std::vec::Vec<::flowloom_sdk::__private::batch_feature::OutputColumn> {
                ::std::vec![#(
                    <#types as ::flowloom_sdk::__private::OutputField>::finish(columns.#indices)
                ),*]
            }

            fn values(self) -> ::std::vec::Vec<::flowloom_sdk::__private::feature::Value> {
                ::std::vec![#(::flowloom_sdk::__private::OutputField::value(self.#idents)),*]
            }
        }
    })
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
        derive(&input).expect_err("the derive fails").to_string()
    }

    #[test]
    fn an_output_needs_a_doc_comment_and_a_valid_name() {
        assert_eq!(
            error_of(parse_quote! { struct Out { mean: f64 } }),
            "output `mean` needs a doc comment: it is the description of the output"
        );
        assert_eq!(
            error_of(parse_quote! { struct Out { /** Mean. */ meanSize: f64 } }),
            "the output name `meanSize` does not match [a-z][a-z0-9_]{0,31}"
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
