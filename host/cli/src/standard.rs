//! Standard input, output and error, which may be closed or lose their reader.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{OFlags, fcntl_getfl};

use super::exit::Failure;

/// Bit `n` is set if descriptor `n` (0 to 2) was closed when the process started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Before `main`, Rust's runtime opens /dev/null in place of closed descriptors, and this cannot be told from a
/// /dev/null of the caller. Therefore this function runs before the runtime.
#[used]
#[allow(unsafe_code, reason = "there is no safe way to run before the runtime")]
// SAFETY: the C library calls the functions of this section once, while there is one thread. The function
// uses nothing that needs the runtime.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    for descriptor in 0..3 {
        #[allow(unsafe_code, reason = "the safe forms take descriptors that are open")]
        // SAFETY: F_GETFD only reads a descriptor's flags. It fails if the descriptor is not open.
        let is_closed = unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1;
        CLOSED.fetch_or(u8::from(is_closed) << descriptor, Ordering::Relaxed);
    }
}

fn was_closed(descriptor: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & 1 << descriptor != 0
}

/// Returns the standard descriptor that a path names, as /dev/stdout does.
fn named(path: &Path) -> Option<u8> {
    let path = path.to_str()?;
    match path {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => {
            let number = path
                .strip_prefix("/dev/fd/")
                .or_else(|| path.strip_prefix("/proc/self/fd/"))?;
            number.parse().ok().filter(|number| *number < 3)
        }
    }
}

const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// Rejects a path that names a closed descriptor. The runtime has opened /dev/null there.
pub(super) fn check_path(path: &Path) -> Result<(), Failure> {
    match named(path) {
        Some(descriptor) if was_closed(descriptor) => Err(Failure::failed(format_args!(
            "cannot open {}: {} is closed",
            path.display(),
            NAMES[usize::from(descriptor)]
        ))),
        _ => Ok(()),
    }
}

/// Fails if standard input is closed.
pub(super) fn check_input() -> Result<(), Failure> {
    match was_closed(0) {
        true => Err(Failure::failed(
            "cannot read from standard input: it is closed",
        )),
        false => Ok(()),
    }
}

/// Fails if standard error is closed.
pub(super) fn check_error() -> Result<(), Failure> {
    match was_closed(2) {
        true => Err(Failure::failed(
            "cannot write to standard error: it is closed",
        )),
        false => Ok(()),
    }
}

/// Returns whether a path is another name of standard output.
pub(super) fn is_output(path: &Path) -> bool {
    named(path) == Some(1)
}

/// Returns standard output without a buffer. If the descriptor does not allow writing, `io::stdout` ignores the
/// error.
pub(super) fn output() -> Result<File, Failure> {
    if was_closed(1) {
        return Err(Failure::failed(
            "cannot write to standard output: it is closed",
        ));
    }
    let out = io::stdout();
    let flags = fcntl_getfl(&out).map_err(|error| write_failure(&error.into()))?;
    if flags & OFlags::RWMODE == OFlags::RDONLY {
        return Err(Failure::failed(
            "cannot write to standard output: it is open for reading only",
        ));
    }
    let out = out.as_fd().try_clone_to_owned();
    out.map(File::from).map_err(|error| write_failure(&error))
}

/// Returns the failure for an error of standard output.
pub(super) fn write_failure(error: &io::Error) -> Failure {
    Failure::failed(format_args!("cannot write to standard output: {error}"))
}

/// Writes text to standard output. A reader that went away has read enough.
pub(super) fn print(text: impl Display) -> Result<(), Failure> {
    match write!(output()?, "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(write_failure(&error)),
        _ => Ok(()),
    }
}

/// Writes a line to standard error. Errors are ignored, because they cannot be reported.
pub(super) fn print_error(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_known_by_their_paths() {
        for (path, descriptor) in [
            ("/dev/stdout", Some(1)),
            ("/dev/fd/0", Some(0)),
            ("/proc/self/fd/2", Some(2)),
            ("/dev/fd/3", None),
            ("/dev/fd/256", None),
            ("/dev/null", None),
            ("stdout", None),
        ] {
            assert_eq!(named(Path::new(path)), descriptor, "{path}");
        }
    }
}
