//! The macros of `flowloom-sdk`. That crate documents them.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod fields;
mod options;
mod outputs;
mod plugin;
mod suggest;
mod tables;
mod target;

/// Derives the trait `PacketFields` for a struct.
#[proc_macro_derive(PacketFields, attributes(payload, bytes, newer))]
pub fn packet_fields(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    fields::packet(&input).into()
}

/// Derives the trait `FlowFields` for a struct.
#[proc_macro_derive(FlowFields, attributes(newer))]
pub fn flow_fields(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    fields::flow(&input).into()
}

/// Derives the trait `Outputs` for a struct.
#[proc_macro_derive(Outputs)]
pub fn outputs(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    outputs::derive(&input).into()
}

/// Derives the trait `Options` for a struct.
#[proc_macro_derive(Options, attributes(option))]
pub fn options(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    options::derive(&input).into()
}

/// Completes `impl Plugin for …`, and exports the type as the plugin of this crate.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin::expand(&arguments.into(), item.into()).into()
}
