//! The derives of `PacketFields` and `FlowFields`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Field, Index, Lifetime, LitInt, Meta, Result};

use crate::tables;
use crate::target::{self, Target};

/// Derives `PacketFields`.
pub(crate) fn packet(input: &DeriveInput) -> Result<TokenStream> {
    let target = Target::new(input, "PacketFields")?;
    let table = tables::packet();
    let mut view = View::new(target.lifetime());
    let mut payload_bytes = quote!(::core::option::Option::None);
    let mut packet_bytes = quote!(::core::option::Option::None);
    for field in &target.fields {
        let (ident, name) = target::name(field);
        if let Some(attribute) = attribute(field, "payload") {
            payload_bytes = count(attribute)?;
            view.bytes(field, "payload");
        } else if let Some(attribute) = attribute(field, "bytes") {
            packet_bytes = count(attribute)?;
            view.bytes(field, "bytes");
        } else if attribute(field, "newer").is_some() {
            view.newer(field);
        } else {
            let kind = kind(ident, &name, &table, "packet field")?;
            view.known(field, kind, record(&name));
        }
    }
    let View {
        lifetime,
        names,
        types,
        columns,
        rows,
        reads,
        bytes,
        payload,
        records,
        ..
    } = view;
    let reads = reads.into_iter().chain(bytes).chain(payload);
    let (name, generics) = (target.name, generics(&target));
    Ok(quote! {
        #[automatically_derived]
        impl<#lifetime> ::flowloom_sdk::PacketFields<#lifetime> for #name #generics {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            const PAYLOAD_BYTES: ::core::option::Option<u32> = #payload_bytes;
            const PACKET_BYTES: ::core::option::Option<u32> = #packet_bytes;
            type Columns = (#(#types,)*);

            fn columns(source: ::flowloom_sdk::__private::PacketColumns<#lifetime>) -> Self::Columns {
                (#(#columns,)*)
            }

            #[inline(always)]
            fn row(columns: &Self::Columns, row: usize) -> Self {
                Self { #(#rows),* }
            }

            #[inline]
            #[allow(unused_variables)]
            fn record(
                packet: &::flowloom_sdk::__private::feature::Packet,
                values: &mut ::flowloom_sdk::__private::EventValues<#lifetime>,
            ) -> Self {
                #(#reads)*
                Self { #(#records),* }
            }
        }
    })
}

/// Derives `FlowFields`.
pub(crate) fn flow(input: &DeriveInput) -> Result<TokenStream> {
    let target = Target::new(input, "FlowFields")?;
    let table = tables::flow();
    let mut view = View::new(target.lifetime());
    for field in &target.fields {
        let (ident, name) = target::name(field);
        if attribute(field, "newer").is_some() {
            view.newer(field);
        } else {
            let kind = kind(ident, &name, &table, "flow field")?;
            view.known(field, kind, None);
        }
    }
    let View {
        lifetime,
        names,
        types,
        columns,
        rows,
        reads,
        records,
        ..
    } = view;
    let (name, generics) = (target.name, generics(&target));
    Ok(quote! {
        #[automatically_derived]
        impl<#lifetime> ::flowloom_sdk::FlowFields<#lifetime> for #name #generics {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            type Columns = (#(#types,)*);

            fn columns(source: ::flowloom_sdk::__private::FlowColumns<#lifetime>) -> Self::Columns {
                (#(#columns,)*)
            }

            #[inline(always)]
            fn row(columns: &Self::Columns, row: usize) -> Self {
                Self { #(#rows),* }
            }

            #[inline]
            #[allow(unused_variables)]
            fn record(values: &mut ::flowloom_sdk::__private::EventValues<#lifetime>) -> Self {
                #(#reads)*
                Self { #(#records),* }
            }
        }
    })
}

/// The generated code for the fields of a struct.
struct View {
    lifetime: Lifetime,
    /// The names for the manifest. Name n belongs to column n and value n.
    names: Vec<String>,
    /// The types of the columns.
    types: Vec<TokenStream>,
    /// Expressions that find the columns in a batch.
    columns: Vec<TokenStream>,
    /// Expressions that read the struct's fields from the columns.
    rows: Vec<TokenStream>,
    /// Statements that take the values of an event, in the contract's order.
    reads: Vec<TokenStream>,
    /// The statement that takes the bytes of the packet, which follow the fields.
    bytes: Option<TokenStream>,
    /// The statement that takes the payload, which follows the bytes.
    payload: Option<TokenStream>,
    /// Expressions for the struct's fields, after these statements.
    records: Vec<TokenStream>,
}

impl View {
    fn new(lifetime: Lifetime) -> Self {
        View {
            lifetime,
            names: Vec::new(),
            types: Vec::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            reads: Vec::new(),
            bytes: None,
            payload: None,
            records: Vec::new(),
        }
    }

    /// Adds a field of the tables. The struct may hold it in a wider type.
    fn known(&mut self, field: &Field, kind: &str, record: Option<TokenStream>) {
        let lifetime = &self.lifetime;
        let kind = match kind {
            "&str" => quote!(&#lifetime str),
            "&[i64]" => quote!(&#lifetime [i64]),
            "Direction" => quote!(::flowloom_sdk::Direction),
            plain => {
                let plain = Ident::new(plain, Span::call_site());
                quote!(::core::primitive::#plain)
            }
        };
        self.add(field, &kind, record);
    }

    /// Adds a field that only the host knows. Its type in Flowloom is the type in the struct.
    fn newer(&mut self, field: &Field) {
        let kind = &field.ty;
        self.add(field, &quote!(#kind), None);
    }

    fn add(&mut self, field: &Field, kind: &TokenStream, record: Option<TokenStream>) {
        let (ident, name) = target::name(field);
        let (ty, lifetime) = (&field.ty, &self.lifetime);
        let (index, column) = (self.names.len(), Index::from(self.columns.len()));
        self.types
            .push(quote!(<#kind as ::flowloom_sdk::__private::FieldType<#lifetime>>::Column));
        self.columns
            .push(quote!(source.field::<#kind>(#index, #name)));
        self.rows.push(quote_spanned! { ty.span() =>
            #ident: <#ty as ::flowloom_sdk::Holds<#kind>>::hold(
                <#kind as ::flowloom_sdk::__private::FieldType<#lifetime>>::get(&columns.#column, row)
            )
        });
        let record = record.unwrap_or_else(|| {
            let read = format_ident!("value_{index}");
            self.reads.push(quote! {
                let #read = ::flowloom_sdk::__private::record::next::<#kind>(values, #name);
            });
            quote!(#read)
        });
        self.records.push(quote_spanned! { ty.span() =>
            #ident: <#ty as ::flowloom_sdk::Holds<#kind>>::hold(#record)
        });
        self.names.push(name);
    }

    /// Adds the payload or the bytes of the packet. They are not in the list of fields.
    ///
    /// `name` is `bytes` or `payload`.
    fn bytes(&mut self, field: &Field, name: &str) {
        let (ident, _) = target::name(field);
        let (column, read) = (format_ident!("{name}"), format_ident!("value_{name}"));
        let (lifetime, index) = (&self.lifetime, Index::from(self.columns.len()));
        self.types
            .push(quote!(::flowloom_sdk::__private::ByteColumn<#lifetime>));
        self.columns.push(quote!(source.#column()));
        self.rows.push(quote!(#ident: columns.#index.get(row)));
        let statement = match name {
            "bytes" => &mut self.bytes,
            _ => &mut self.payload,
        };
        *statement = Some(quote! {
            let #read = ::flowloom_sdk::__private::record::bytes(values, #name);
        });
        self.records.push(quote!(#ident: #read));
    }
}

/// Returns the expression that reads a packet field from the record `packet`, or `None` if the record
/// does not contain it.
fn record(name: &str) -> Option<TokenStream> {
    let ident = Ident::new(name, Span::call_site());
    Some(match name {
        "direction" => quote!(::flowloom_sdk::__private::record::direction(
            packet.direction
        )),
        "tcp_flags" => quote!(packet.tcp_flags.bits()),
        "syn" | "cwr" | "ece" | "urg" | "ack" | "psh" | "rst" | "fin" => {
            let flag = Ident::new(&name.to_uppercase(), Span::call_site());
            quote! {
                packet.tcp_flags.contains(::flowloom_sdk::__private::feature::TcpFlags::#flag)
            }
        }
        "time_ns" | "delta_time_ms" | "raw_size" | "ip_size" | "transport_size"
        | "payload_size" | "src_port" | "dst_port" | "protocol" => quote!(packet.#ident),
        _ => return None,
    })
}

/// Returns the type of a field. If the table does not contain the field, the error lists the table.
fn kind<'a>(ident: &Ident, name: &str, table: &[(String, &'a str)], what: &str) -> Result<&'a str> {
    if let Some((_, kind)) = table.iter().find(|(known, _)| known == name) {
        return Ok(kind);
    }
    let hint = match tables::nearest(name, table) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => String::new(),
    };
    let known: Vec<_> = table
        .iter()
        .map(|(name, kind)| format!("  {name}: {kind}"))
        .collect();
    Err(Error::new_spanned(
        ident,
        format!(
            "unknown {what} `{name}`{hint}\nto request a field of a newer Flowloom, add `#[newer]`; this SDK knows:\n{}",
            known.join("\n")
        ),
    ))
}

fn attribute<'a>(field: &'a Field, name: &str) -> Option<&'a Attribute> {
    field
        .attrs
        .iter()
        .find(|attribute| attribute.path().is_ident(name))
}

/// Returns the number in `#[payload(64)]`, or 0 for `#[payload]`.
fn count(attribute: &Attribute) -> Result<TokenStream> {
    match &attribute.meta {
        Meta::Path(_) => Ok(quote!(::core::option::Option::Some(0))),
        _ => {
            let count: LitInt = attribute.parse_args()?;
            count.base10_parse::<u32>()?;
            Ok(quote!(::core::option::Option::Some(#count)))
        }
    }
}

fn generics(target: &Target<'_>) -> TokenStream {
    if target.borrows() {
        let lifetime = target.lifetime();
        quote!(<#lifetime>)
    } else {
        TokenStream::new()
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn error_of(derived: Result<TokenStream>) -> String {
        derived.expect_err("the derive fails").to_string()
    }

    #[test]
    fn the_error_of_an_unknown_name_suggests_a_name_and_lists_the_table() {
        let error = error_of(packet(&parse_quote! { struct Packet { ip_sise: u32 } }));
        assert!(
            error.starts_with(
                "unknown packet field `ip_sise`; did you mean `ip_size`?\n\
             to request a field of a newer Flowloom, add `#[newer]`; this SDK knows:\n  time_ns: u64\n"
            ),
            "{error}"
        );
        let error = error_of(flow(&parse_quote! { struct AtEnd { entropy: f64 } }));
        assert!(
            error.starts_with("unknown flow field `entropy`\n"),
            "{error}"
        );
    }

    #[test]
    fn only_structs_with_named_fields_and_one_lifetime_are_accepted() {
        assert_eq!(
            error_of(packet(&parse_quote! { struct Packet(u32); })),
            "PacketFields needs a struct with named fields"
        );
        assert_eq!(
            error_of(packet(&parse_quote! { enum Packet {} })),
            "PacketFields can only be derived for structs"
        );
        assert_eq!(
            error_of(flow(&parse_quote! { struct AtEnd<'a, T> { id: u64 } })),
            "FlowFields can only be derived for structs with at most one lifetime"
        );
    }
}
