//! nDPI's state of a flow.

use std::fmt;
use std::ptr::NonNull;

use crate::common::RawFlow;
use crate::details::Protocol;
use crate::library::{Api, Library};
use crate::v50::RawProtocol;

/// nDPI's state of a flow.
pub struct Flow {
    pub(crate) api: &'static Api,
    pub(crate) raw: NonNull<RawFlow>,
    /// The last result.
    pub(crate) known: Protocol,
    /// The last result of nDPI 5.0.
    pub(crate) last: RawProtocol,
    /// The IP version and the transport protocol of the first packet that has one.
    pub(crate) first: Option<(u8, u8)>,
}

#[allow(unsafe_code, reason = "the compiler cannot know this of a C library")]
// SAFETY: nDPI keeps no state of a flow in the thread that created it, nor in a module.
unsafe impl Send for Flow {}

impl Flow {
    /// Creates the state of a new flow, or returns `None` if there is no memory. It takes
    /// [`Library::flow_size`] bytes, without the texts that it points to.
    pub fn new(library: &Library) -> Option<Self> {
        let api = library.api();
        Some(Self {
            api,
            raw: NonNull::new(api.common.new_flow(api.flow_size))?,
            known: Protocol::default(),
            last: RawProtocol::default(),
            first: None,
        })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        #[allow(unsafe_code, reason = "this is a call of a C library")]
        // SAFETY: this is the only reference to the flow.
        unsafe {
            self.api.common.free_flow(self.raw.as_ptr());
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").finish_non_exhaustive()
    }
}
