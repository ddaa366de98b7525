//! Bindings that wit-bindgen generates from the contract in `wit/`.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../../../wit",
    world: "plugin",
    default_bindings_module: "crate::bindings",
    pub_export_macro: true,
});
