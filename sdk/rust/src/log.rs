//! Macros that write lines to Flowloom's log: [`error!`](crate::error), [`warn!`](crate::warn),
//! [`info!`](crate::info), [`debug!`](crate::debug), [`dbg!`](crate::dbg).
//!
//! `println!`, `eprintln!` and `dbg!` of the standard library write nothing in WebAssembly.

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An operation failed.
    Error,
    /// Something unexpected happened; the plugin continues.
    Warn,
    /// Useful information for the operator.
    Info,
    /// Details for the author of the plugin.
    Debug,
}

/// Writes one line to Flowloom's log. Flowloom truncates long lines. It drops and counts lines that
/// exceed the rate limit. In a native test, the line goes to standard error.
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

/// Logs a failed operation. Takes the arguments of `format!`.
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($arg)+)) };
}

/// Logs something unexpected. Takes the arguments of `format!`.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($arg)+)) };
}

/// Logs information for the operator. Takes the arguments of `format!`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($arg)+)) };
}

/// Logs details for the author of the plugin. Takes the arguments of `format!`.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($arg)+)) };
}

/// Logs the place, the text and the value of an expression as information, and returns the value, as `dbg!` of the
/// standard library does.
///
/// ```
/// let sizes = [40, 1500];
/// let sum: u32 = flowloom_sdk::dbg!(sizes.iter().sum());
/// assert_eq!(sum, 1540);
/// ```
#[macro_export]
macro_rules! dbg {
    ($value:expr $(,)?) => {
        match $value {
            value => {
                $crate::info!(
                    "[{}:{}:{}] {} = {:?}",
                    ::std::file!(),
                    ::std::line!(),
                    ::std::column!(),
                    ::std::stringify!($value),
                    &value
                );
                value
            }
        }
    };
}
