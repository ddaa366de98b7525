//! The result of a read from a source, and the request to end it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowloom_core::meter::Boundary;
use flowloom_core::time::Time;

use super::Packets;

/// The result of one read from a source.
pub(crate) enum SourceEvent<'a> {
    /// Some packets.
    Packets(Packets<'a>),
    /// The source has no packets at the moment. The meter delivers what it holds back.
    ///
    /// If there is a time, all packets that were captured before it have been returned.
    Pause(Option<Time>),
    /// A new capture begins, or the clock stepped back.
    Boundary(Boundary),
    /// The source has no further packets.
    End,
}

/// The result of one of several threads' turn to read from a source.
pub(crate) enum BlockEvent<'a> {
    /// Some packets were moved to the thread's block.
    Moved,
    /// The same as without turns. Packets must be processed before the turn ends.
    Here(SourceEvent<'a>),
}

/// Ends a source from another thread, as if it had no further packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
