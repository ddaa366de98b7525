//! Actions that a plugin must not take.

use std::hint::black_box;

use crate::bindings::flowloom::plugin::log::{self, Level};

/// Logs the message of a panic, as the SDK does.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no text");
        log::write(Level::Error, &format!("evil panicked: {text}"));
    }));
}

/// Misbehaves once. Modes that concern values or the manifest do nothing here.
pub(crate) fn misbehave(mode: &str) {
    match mode {
        "loop" => loop {
            black_box(());
        },
        // Takes some ms. The limit of a call is 100 ms.
        "busy" => (0..60_000_000).for_each(|n| _ = black_box(n)),
        "recurse" => _ = recurse(black_box(1)),
        "panic" => panic!("on purpose \u{1b}[31m\u{202e}{}", "x".repeat(4_000)),
        "silent" => stop(),
        "exit" => std::process::exit(0),
        // Allocates memory until an allocation fails, which is a trap.
        "hoard" => {
            let mut hoard = Vec::new();
            loop {
                // The memory is not written to, so that the memory limit is reached before the time limit.
                hoard.push(black_box(Vec::<u8>::with_capacity(16 << 20)));
            }
        }
        // Like `hoard`, but writes to every page.
        "bomb" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(black_box(vec![1_u8; 4 << 20]));
            }
        }
        // Requests too much memory once, and continues when this fails.
        "greedy" => {
            let mut all = Vec::<u8>::new();
            assert!(
                all.try_reserve(1 << 30).is_err(),
                "the allocation of 1 GiB succeeded"
            );
        }
        "greedy_then_panic" => {
            misbehave("greedy");
            panic!("of another reason");
        }
        "log_flood" => {
            for line in 0..5_000 {
                log::write(Level::Info, &format!("line {line}"));
            }
        }
        "log_long" => log::write(Level::Warn, &"x".repeat(1 << 20)),
        "log_escapes" => log::write(
            Level::Warn,
            "\u{1b}[2J\u{1b}]0;title\u{7} a\r\nflowloom: all is well \u{202e}txt.exe\u{2066}\u{9b}",
        ),
        "log_levels" => {
            for (level, line) in [
                (Level::Error, "an error"),
                (Level::Warn, "a warning"),
                (Level::Info, "news"),
                (Level::Debug, "detail"),
            ] {
                log::write(level, line);
            }
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "the test needs it")]
fn recurse(n: u64) -> u64 {
    let room = black_box([n; 64]);
    recurse(room[3] + 1) + room[5]
}

/// Traps without a message.
fn stop() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort()
}

/// Counts the nonzero bytes in new memory, and then fills this memory.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "reads memory outside of Rust objects")]
pub(crate) fn residue() -> usize {
    const PAGES: usize = 256;
    let first = core::arch::wasm32::memory_grow(0, PAGES);
    assert!(first != usize::MAX, "no memory");
    // SAFETY: `memory_grow` has just added these pages. No other code uses them, and any byte is a valid `u8`.
    let pages = unsafe { std::slice::from_raw_parts_mut((first << 16) as *mut u8, PAGES << 16) };
    let residue = pages.iter().filter(|&&byte| byte != 0).count();
    pages.fill(0xaa);
    residue
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn residue() -> usize {
    0
}
