//! Bindings to the contract in `wit/`.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated; the contract in wit/ has the documentation"
)]

wasmtime::component::bindgen!({
    path: "wit",
    world: "dual-plugin",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use self::flowloom::plugin::{log, manifest};
pub(crate) use exports::flowloom::plugin::{batch_feature, feature};

/// The version of the contract that this host supports.
pub const CONTRACT_VERSION: &str = "0.1.0";
