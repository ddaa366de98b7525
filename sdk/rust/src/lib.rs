#![doc = include_str!("../README.md")]
#![allow(
    clippy::test_attr_in_doctest,
    reason = "the README shows a complete crate, including its test"
)]

// The derives refer to this crate as `flowloom_sdk`, as they do in an author's crate.
extern crate self as flowloom_sdk;

#[doc(hidden)]
pub mod bindings;
mod chosen;
mod event;
mod export;
mod fields;
mod flows;
mod instance;
pub mod log;
mod options;
mod outputs;
mod plugin;

pub use bindings::flowloom::plugin::manifest::Available;
pub use chosen::Chosen;
pub use fields::{Direction, FlowFields, Holds, PacketFields};
pub use flowloom_sdk_macros::{FlowFields, Options, Outputs, PacketFields};
pub use options::{OptionSpec, OptionValue, Options};
pub use outputs::{Bytes, Json, Output, OutputType, Outputs};
pub use plugin::Plugin;

/// Items that the macros use. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::exports::flowloom::plugin::{batch_feature, feature};
    pub use crate::bindings::flowloom::plugin::manifest;
    pub use crate::fields::{
        ByteColumn, EventValues, FieldType, FlowColumns, PacketColumns, record,
    };
    pub use crate::instance::Instance;
    pub use crate::options::Given;
    pub use crate::outputs::OutputField;
}
