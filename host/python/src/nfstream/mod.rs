//! Runs with the interface of NFStream: its flows, its packets, and its plugins.
//!
//! | module | contents |
//! |---|---|
//! | `flow` | the class `NFlow`: a flow whose attributes can be written, live or ended |
//! | `packet` | the class `NFPacket` |
//! | `plugins` | calls of `on_init`, `on_update` and `on_expire` |

mod flow;
mod packet;
mod plugins;

pub(crate) use flow::NFlow;
pub(crate) use packet::NFPacket;
pub(crate) use plugins::{Argument, EndedFlows, Plugins};
