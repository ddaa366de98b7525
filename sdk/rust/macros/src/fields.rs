//! The derives of `PacketFields` and `FlowFields`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Field, Index, Lifetime, LitInt, Meta, Result, Type};

use crate::target::{self, Errors, Shape, Target};
use crate::{suggest, tables};

/// Derives `PacketFields`.
pub(crate) fn packet(input: &DeriveInput) -> TokenStream {
    derived_packet(input).unwrap_or_else(|error| {
        let members = quote! {
            const NAMES: &'static [&'static str] = &[];
            const PAYLOAD_BYTES: ::core::option::Option<u32> = ::core::option::Option::None;
            const PACKET_BYTES: ::core::option::Option<u32> = ::core::option::Option::None;
            type Columns = ();

            fn columns(_: ::flowloom_sdk::__private::PacketColumns<'_>) {}

            fn row((): &(), _: usize) -> Self {
                ::core::unreachable!()
            }

            fn record(
                _: &::flowloom_sdk::__private::feature::Packet,
                _: &mut ::flowloom_sdk::__private::EventValues<'_>,
            ) -> Self {
                ::core::unreachable!()
            }
        };
        target::failed(
            input,
            error,
            (quote!(::flowloom_sdk::PacketFields), true),
            members,
        )
    })
}

fn derived_packet(input: &DeriveInput) -> Result<TokenStream> {
    let target = Target::new(input, "PacketFields")?;
    let mut errors = Errors::default();
    let mut view = View::new(target.lifetime());
    let mut payload_bytes = quote!(::core::option::Option::None);
    let mut packet_bytes = quote!(::core::option::Option::None);
    for field in &target.fields {
        let (_, name) = target::name(field);
        if let Some(attribute) = attribute(field, "payload") {
            payload_bytes = errors.take(count(attribute)).unwrap_or_default();
            view.bytes(field, "payload");
        } else if let Some(attribute) = attribute(field, "bytes") {
            packet_bytes = errors.take(count(attribute)).unwrap_or_default();
            view.bytes(field, "bytes");
        } else if attribute(field, "newer").is_some() {
            view.newer(field);
        } else {
            match known(field, Of::Packets) {
                Ok(kind) => view.known(field, kind, record(&name)),
                Err(error) => errors.add(error),
            }
        }
    }
    errors.result()?;
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
pub(crate) fn flow(input: &DeriveInput) -> TokenStream {
    derived_flow(input).unwrap_or_else(|error| {
        let members = quote! {
            const NAMES: &'static [&'static str] = &[];
            type Columns = ();

            fn columns(_: ::flowloom_sdk::__private::FlowColumns<'_>) {}

            fn row((): &(), _: usize) -> Self {
                ::core::unreachable!()
            }

            fn record(_: &mut ::flowloom_sdk::__private::EventValues<'_>) -> Self {
                ::core::unreachable!()
            }
        };
        target::failed(
            input,
            error,
            (quote!(::flowloom_sdk::FlowFields), true),
            members,
        )
    })
}

fn derived_flow(input: &DeriveInput) -> Result<TokenStream> {
    let target = Target::new(input, "FlowFields")?;
    let mut errors = Errors::default();
    let mut view = View::new(target.lifetime());
    for field in &target.fields {
        if attribute(field, "newer").is_some() {
            view.newer(field);
        } else {
            match known(field, Of::Flows) {
                Ok(kind) => view.known(field, kind, None),
                Err(error) => errors.add(error),
            }
        }
    }
    errors.result()?;
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

/// What the fields of a struct describe.
#[derive(Clone, Copy)]
enum Of {
    Packets,
    Flows,
}

impl Of {
    fn other(self) -> Self {
        match self {
            Of::Packets => Of::Flows,
            Of::Flows => Of::Packets,
        }
    }

    fn table(self) -> Vec<Row> {
        match self {
            Of::Packets => tables::packet(),
            Of::Flows => tables::flow(),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Of::Packets => "packet field",
            Of::Flows => "flow field",
        }
    }

    fn derive(self) -> &'static str {
        match self {
            Of::Packets => "PacketFields",
            Of::Flows => "FlowFields",
        }
    }
}

/// The name and the type of a field in Flowloom.
type Row = (String, &'static str);

/// Returns the type in Flowloom of a field of the tables.
///
/// # Errors
///
/// Returns an error if the tables do not have the field, or if the struct has a type that cannot hold it.
fn known(field: &Field, of: Of) -> Result<&'static str> {
    let (ident, name) = target::name(field);
    let table = of.table();
    let Some((_, kind)) = table.iter().find(|(known, _)| *known == name) else {
        return Err(Error::new_spanned(ident, unknown(field, &name, of, &table)));
    };
    let holders = tables::holders(kind);
    if is_common(&field.ty) && !holders.iter().any(|holder| is(&field.ty, holder)) {
        return Err(Error::new_spanned(
            &field.ty,
            format!(
                "{} `{name}` has the type `{kind}` in Flowloom and cannot be read as `{}`; use {}",
                of.what(),
                target::text(&field.ty),
                suggest::either(holders)
            ),
        ));
    }
    Ok(kind)
}

/// Returns the text of the error about a field that the table does not have.
fn unknown(field: &Field, name: &str, of: Of, table: &[Row]) -> String {
    let what = of.what();
    if let Of::Packets = of
        && let Shape::Reference(bytes) = target::shape(&field.ty)
        && let Shape::Slice(_) = target::shape(bytes)
    {
        return format!(
            "`{name}` needs `#[payload(64)]` for the first 64 bytes of the payload, or `#[bytes(64)]` for those \
             of the packet from its IP header on"
        );
    }
    let other = of.other();
    if other.table().iter().any(|(known, _)| known == name) {
        return format!(
            "`{name}` is a {}, not a {what}; request it in a struct with `#[derive({})]`",
            other.what(),
            other.derive()
        );
    }
    let names = table.iter().map(|(known, _)| known.as_str());
    let directed: Vec<_> = names
        .clone()
        .filter(|known| {
            tables::DIRECTIONS
                .iter()
                .any(|direction| known.strip_prefix(direction) == Some(&format!("_{name}")))
        })
        .collect();
    let near = if directed.is_empty() {
        suggest::nearest(name, names).into_iter().collect()
    } else {
        directed
    };
    let hint = match near[..] {
        [] => String::new(),
        _ => format!("; did you mean {}?", suggest::either(&near)),
    };
    format!(
        "unknown {what} `{name}`{hint}\n\
         `flowloom fields` lists all fields; `#[newer]` requests a field that only a newer Flowloom has"
    )
}

/// Returns whether authors often use a type for a field. Another type may be an alias of one that can hold
/// the field: the compiler knows.
fn is_common(ty: &Type) -> bool {
    const NAMES: &[&str] = &[
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "usize",
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "isize",
        "f32",
        "f64",
        "bool",
        "char",
        "String",
        "Direction",
        "IpAddr",
        "Ipv4Addr",
        "Ipv6Addr",
        "Duration",
        "SystemTime",
    ];
    match target::shape(ty) {
        Shape::Name(name) => NAMES.contains(&name.as_str()),
        Shape::Of(name, _) => matches!(name.as_str(), "Option" | "Vec"),
        Shape::Reference(_) | Shape::Slice(_) => true,
        Shape::Other => false,
    }
}

/// Returns whether a type is this one, whatever its lifetime is.
fn is(ty: &Type, holder: &str) -> bool {
    let name =
        |ty: &Type, name: &str| matches!(target::shape(ty), Shape::Name(found) if found == name);
    match target::shape(ty) {
        Shape::Name(found) => found == holder,
        Shape::Of(of, item) => of == "Vec" && holder == "Vec<i64>" && name(item, "i64"),
        Shape::Reference(inner) => match target::shape(inner) {
            Shape::Name(found) => found == "str" && holder == "&'a str",
            Shape::Slice(item) => holder == "&'a [i64]" && name(item, "i64"),
            _ => false,
        },
        Shape::Slice(_) | Shape::Other => false,
    }
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
    fn only_structs_with_named_fields_and_one_lifetime_are_accepted() {
        assert_eq!(
            error_of(derived_packet(&parse_quote! { struct Packet(u32); })),
            "PacketFields needs a struct with named fields"
        );
        assert_eq!(
            error_of(derived_packet(&parse_quote! { enum Packet {} })),
            "PacketFields can only be derived for structs"
        );
        assert_eq!(
            error_of(derived_flow(
                &parse_quote! { struct AtEnd<'a, T> { id: u64 } }
            )),
            "FlowFields can only be derived for structs with at most one lifetime"
        );
    }
}
