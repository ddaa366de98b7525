//! The source of a run: files or an interface.

use std::path::{Path, PathBuf};

use flowloom_core::meter::OverloadLevel;

use super::{
    BlockEvent, CaptureError, Dropped, Files, Interface, LiveCapture, PacketBlock, SourceEvent,
    StopSignal,
};

/// The source of a run.
pub(crate) enum PacketSource {
    Files(Box<Files>, StopSignal),
    Live(Box<LiveCapture>),
}

impl PacketSource {
    /// Reads the next packets. A read from an interface or a pipe waits at most 100 ms.
    pub(crate) fn read(&mut self) -> Result<SourceEvent<'_>, CaptureError> {
        match self {
            Self::Files(files, stop) => {
                if stop.is_stopped() {
                    files.stop();
                }
                files.next()
            }
            Self::Live(live) => live.read(),
        }
    }

    /// Returns whether it is faster if several threads read in turn. A pipe, a store or an interface may return few packets at
    /// a time, which one thread collects.
    pub(crate) fn suits_several_readers(&self) -> bool {
        match self {
            Self::Files(files, _) => files.are_local(),
            Self::Live(_) => false,
        }
    }

    /// Reads the next packets in the turn of one of several threads. The others have `others` turns before its next one.
    pub(crate) fn read_block(
        &mut self,
        block: &mut PacketBlock,
        others: usize,
    ) -> Result<BlockEvent<'_>, CaptureError> {
        match self {
            Self::Files(files, stop) => {
                if stop.is_stopped() {
                    files.stop();
                }
                files.next_block(block, others)
            }
            Self::Live(live) => Ok(BlockEvent::Here(live.read()?)),
        }
    }

    /// Returns the overload level. It is always normal for files, because they can wait.
    pub(crate) fn overload(&self) -> OverloadLevel {
        match self {
            Self::Files(..) => OverloadLevel::Normal,
            Self::Live(live) => live.overload(),
        }
    }

    pub(crate) fn packets_read(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.packets_read(),
            Self::Live(live) => live.packets_read(),
        }
    }

    pub(crate) fn packets_filtered(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.packets_filtered(),
            // The kernel drops these packets and does not count them.
            Self::Live(_) => 0,
        }
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.bytes_read(),
            Self::Live(live) => live.bytes_read(),
        }
    }

    pub(crate) fn total_bytes(&self) -> Option<u64> {
        match self {
            Self::Files(files, _) => files.total_bytes(),
            Self::Live(_) => None,
        }
    }

    /// Returns the number of captures that were begun so far.
    pub(crate) fn captures(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.captures(),
            Self::Live(_) => 1,
        }
    }

    /// Returns the number of files that were skipped because they cannot be read.
    pub(crate) fn files_skipped(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.skipped().len() as u64,
            Self::Live(_) => 0,
        }
    }

    /// Returns how often the clock of live packets stepped back.
    pub(crate) fn clock_steps(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.clock_steps(),
            Self::Live(live) => live.clock_steps(),
        }
    }

    /// Returns the packets that an interface lost, or `None` for files.
    pub(crate) fn dropped(&self) -> Option<Dropped> {
        match self {
            Self::Files(..) => None,
            Self::Live(live) => Some(live.dropped()),
        }
    }
}

/// Returns the interface that `sources` names, or `None` if they are files.
///
/// An interface name is a single word that is not the name of a file.
///
/// # Errors
///
/// Returns an error if a single source is neither a file nor an interface, or if an interface is
/// named together with other sources.
pub fn interface(sources: &[PathBuf]) -> Result<Option<Interface>, CaptureError> {
    let is_word = |source: &Path| {
        let text = source.to_str()?;
        (text != "-" && !text.contains('/') && !source.exists()).then(|| text.to_owned())
    };
    let Some(word) = sources.iter().find_map(|source| is_word(source)) else {
        return Ok(None);
    };
    match Interface::named(&word) {
        Ok(interface) if sources.len() == 1 => Ok(Some(interface)),
        Ok(interface) => Err(CaptureError::InterfaceAmongOthers {
            interface: interface.name,
        }),
        // A name with an extension is most likely that of a file. Opening it reports a better
        // error.
        Err(_) if sources.len() > 1 || Path::new(&word).extension().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}
