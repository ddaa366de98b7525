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

/// Completes `impl Plugin for …`, and exports the type as the plugin of this crate.
///
/// It adds the associated types that the implementation does not have, as `()`: no options, no packet
/// fields, no flow fields at `init`, `update` or `expire`, no state, no outputs. All else stays as it is. Use the
/// attribute once per crate. The crate must be a `cdylib`. The version of the plugin is the version of
/// the crate.
///
/// ```
/// use flowloom_sdk::{Outputs, Plugin};
///
/// /// Counts packets. It needs no data of them.
/// struct Count;
///
/// #[derive(Outputs)]
/// struct Out {
///     /// Packets of the flow.
///     packets: i64,
/// }
///
/// #[flowloom_sdk::plugin]
/// impl Plugin for Count {
///     const DESCRIPTION: &'static str = "Counts packets.";
///     type State = i64;
///     type Outputs = Out;
///
///     fn open((): ()) -> Result<Self, String> {
///         Ok(Count)
///     }
///
///     fn init(&mut self, _: &(), _: &()) -> i64 {
///         1
///     }
///
///     fn update(&mut self, packets: &mut i64, _: &(), _: &()) {
///         *packets += 1;
///     }
///
///     fn expire(&mut self, packets: i64, _: &()) -> Out {
///         Out { packets }
///     }
/// }
/// # fn main() {}
/// ```
///
/// A method that uses a type which the implementation does not have is a compile error. The text says what
/// to add:
///
/// ```compile_fail
/// # use flowloom_sdk::{Outputs, Plugin};
/// # struct Count;
/// # #[derive(Outputs)]
/// # struct Out {}
/// #[flowloom_sdk::plugin]
/// impl Plugin for Count {
///     const DESCRIPTION: &'static str = "Counts packets.";
///     type Outputs = Out;
///
///     // `init` returns `i64`, but the plugin has no `type State`; add `type State = i64;`
///     fn init(&mut self, _: &(), _: &()) -> i64 {
///         1
///     }
/// #     fn open((): ()) -> Result<Self, String> { Ok(Count) }
/// #     fn update(&mut self, packets: &mut i64, _: &(), _: &()) {}
/// #     fn expire(&mut self, packets: i64, _: &()) -> Out { Out {} }
/// }
/// # fn main() {}
/// ```
pub use flowloom_sdk_macros::plugin;

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
