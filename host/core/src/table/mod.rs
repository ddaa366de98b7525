//! The live flows of a meter: an index by flow key, records in slots, and a timing wheel for timeouts.

mod flow_table;
mod hash_index;
mod prefetch;
mod slab;
mod timing_wheel;

pub(crate) use flow_table::{Analyses, FlowTable, Lookup, Timeouts};
pub use prefetch::prefetch_all;
pub use slab::SegmentedVec;
