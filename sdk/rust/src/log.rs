//! Lines for Flowloom's log: [`error!`](crate::error), [`warn!`](crate::warn),
//! [`info!`](crate::info), [`debug!`](crate::debug).

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is odd.
    Warn,
    /// Worth knowing.
    Info,
    /// For the plugin's author.
    Debug,
}

/// Writes one line. Flowloom shortens long lines, and drops and counts what comes too fast. In a
/// native test it goes to standard error.
pub fn write(level: Level, line: &str) {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::flowloom::plugin::log;
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
        };
        log::write(level, line);
    }
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?}: {line}");
}

/// Logs that something failed; takes what `format!` takes.
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)+)) };
}

/// Logs that something is odd; takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)+)) };
}

/// Logs something worth knowing; takes what `format!` takes.
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)+)) };
}

/// Logs something for the plugin's author; takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)+)) };
}
