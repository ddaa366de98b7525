//! Where a run's packets come from: files, or an interface.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flowloom_core::meter::{Boundary, OverloadLevel};
use flowloom_core::time::Time;

use super::{CaptureError, Dropped, Files, Interface, Live, Packets};

/// Files or an interface.
pub(crate) enum Origin {
    Files(Box<Files>, Stop),
    Live(Box<Live>),
}

/// What came of a reading.
pub(crate) enum Read<'a> {
    /// Some packets.
    Packets(Packets<'a>),
    /// Nothing more is there right now: what waits for more to come is to be delivered. All packets
    /// that were captured before the time, if there is one, were handed out.
    Pause(Option<Time>),
    /// Something begins anew.
    Boundary(Boundary),
    /// There is nothing more, ever.
    End,
}

/// Ends a reading from outside, as if there was nothing more to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Origin {
    pub(crate) fn read(&mut self) -> Result<Read<'_>, CaptureError> {
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

    /// What is to be given up for packets not to be lost; nothing for files, which wait.
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
            // The kernel keeps them out, and does not count them.
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

    /// How many captures were begun so far.
    pub(crate) fn captures(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.captures(),
            Self::Live(_) => 1,
        }
    }

    /// How many files were left out because they cannot be read.
    pub(crate) fn files_skipped(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.skipped().len() as u64,
            Self::Live(_) => 0,
        }
    }

    /// How often the clock of live packets stepped back.
    pub(crate) fn clock_steps(&self) -> u64 {
        match self {
            Self::Files(files, _) => files.clock_steps(),
            Self::Live(live) => live.clock_steps(),
        }
    }

    /// What was captured and not handed out, if this is an interface.
    pub(crate) fn dropped(&self) -> Option<Dropped> {
        match self {
            Self::Files(..) => None,
            Self::Live(live) => Some(live.dropped()),
        }
    }
}

/// The interface that is meant, if it is not files: a single word that is no file's name.
///
/// # Errors
///
/// There is neither a file nor an interface of that name.
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
        // With an extension it was meant to be a file, and files say what is wrong with it.
        Err(_) if sources.len() > 1 || Path::new(&word).extension().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}
