//! The meter: from packets to flows.
//!
//! [`Ingress`] decodes packets. A [`MeterWorker`] counts them in its flow table and ends flows. A [`Meter`]
//! consists of both. Several workers can share one ingress, or several [`BlockIngress`]es that decode blocks of packets
//! at the same time.

mod block_ingress;
mod boundary;
#[cfg(test)]
mod call_tests;
mod classifier;
mod counters;
mod extension;
mod ingress;
#[expect(
    clippy::module_inception,
    reason = "the meter is the type that this module is about"
)]
mod meter;
mod overload;
mod part;
mod settings;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod worker;

pub use block_ingress::{BlockIngress, IngressTotals};
pub use boundary::Boundary;
pub use classifier::{Classifier, NoClassifier};
pub use counters::Counters;
pub use extension::{Extension, NoExtension};
pub use ingress::Ingress;
pub use meter::Meter;
pub use overload::OverloadLevel;
pub use part::{Part, Shard};
pub use settings::{AccountingMode, DEFAULT_DISSECTIONS, IdentityColumns, QUEUE_BYTES, Settings};
pub use worker::{FlowReceiver, MeterWorker};
