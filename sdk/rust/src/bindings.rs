//! The bindings that wit-bindgen generates from the contract in `wit/`.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "dual-plugin",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "flowloom_sdk::__private::bindings",
    additional_derives: [PartialEq],
});
