//! The event that the plugin currently handles. The text of a panic names it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::PanicHookInfo;

/// The call from Flowloom that is in progress.
pub(crate) enum Call {
    /// No call.
    Outside,
    /// A call without a flow: `open` or `finish`.
    Plain(&'static str),
    /// One event: its kind and the id of its flow.
    One(u8, u64),
    /// A batch: the kinds and the slots of its events.
    Batch(Vec<u8>, Vec<u32>),
}

thread_local! {
    static CALL: RefCell<Call> = const { RefCell::new(Call::Outside) };
    /// The index of the current event in the batch. `usize::MAX` before the first event.
    static ROW: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The number of the event kind `init` in the contract.
pub(crate) const INIT: u8 = 0;
/// The number of the event kind `update`.
pub(crate) const UPDATE: u8 = 1;
/// The number of the event kind `expire`.
pub(crate) const EXPIRE: u8 = 2;

/// Sets the call that is in progress.
pub(crate) fn enter(call: Call) {
    CALL.with_borrow_mut(|current| *current = call);
}

/// Sets the batch that is in progress, and calls `work` with its kinds and slots.
pub(crate) fn batch<T>(
    kinds: Vec<u8>,
    slots: Vec<u32>,
    work: impl FnOnce(&[u8], &[u32]) -> T,
) -> T {
    ROW.set(usize::MAX);
    enter(Call::Batch(kinds, slots));
    CALL.with_borrow(|call| match call {
        Call::Batch(kinds, slots) => work(kinds, slots),
        _ => unreachable!("entered just now"),
    })
}

/// Sets the index of the current event in the batch.
#[inline(always)]
pub(crate) fn at(row: usize) {
    ROW.set(row);
}

/// Installs a panic hook that logs the text, the location and the event of every panic.
#[cfg_attr(
    not(target_family = "wasm"),
    expect(dead_code, reason = "native tests keep the default panic hook")
)]
pub(crate) fn log_panics(plugin: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        crate::log::write(crate::log::Level::Error, &describe(plugin, info));
    }));
}

/// Formats a panic as one line.
pub(crate) fn describe(plugin: &str, info: &PanicHookInfo<'_>) -> String {
    let text = one_line(info.payload_as_str().unwrap_or("no text"));
    let place = info
        .location()
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    CALL.with(|call| match call.try_borrow() {
        Ok(call) => format!("{plugin} panicked{call}{place}: {text}"),
        Err(_) => format!("{plugin} panicked{place}: {text}"),
    })
}

/// Joins the lines of a text, for example those of `assert_eq!`. Splitting it with the standard library would
/// add 3 KB to every plugin.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut is_indent = false;
    for char in text.chars() {
        match char {
            '\n' => {
                line.push_str("; ");
                is_indent = true;
            }
            ' ' if is_indent => {}
            char => {
                line.push(char);
                is_indent = false;
            }
        }
    }
    line
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Outside => Ok(()),
            Call::Plain(name) => write!(f, " in {name}"),
            Call::One(kind, flow) => write!(f, " in {} of flow {flow}", name(*kind)),
            Call::Batch(kinds, slots) => {
                let row = ROW.get();
                match (kinds.get(row), slots.get(row)) {
                    (Some(kind), Some(slot)) => write!(
                        f,
                        " in {} of slot {slot} (event {} of {} in the batch)",
                        name(*kind),
                        row + 1,
                        kinds.len()
                    ),
                    _ => write!(f, " in a batch of {} events", kinds.len()),
                }
            }
        }
    }
}

fn name(kind: u8) -> &'static str {
    match kind {
        INIT => "init",
        UPDATE => "update",
        EXPIRE => "expire",
        _ => "an unknown event",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_an_event_of_a_batch() {
        let texts = batch(vec![INIT, EXPIRE], vec![7, 9], |_, _| {
            let before = CALL.with_borrow(|call| call.to_string());
            at(1);
            [before, CALL.with_borrow(|call| call.to_string())]
        });
        assert_eq!(
            texts,
            [
                " in a batch of 2 events",
                " in expire of slot 9 (event 2 of 2 in the batch)"
            ]
        );
    }

    #[test]
    fn a_text_of_several_lines_becomes_one_line() {
        let text = "assertion `left == right` failed\n  left: 1\n right: 2";
        assert_eq!(
            one_line(text),
            "assertion `left == right` failed; left: 1; right: 2"
        );
    }

    #[test]
    fn the_text_names_a_single_event() {
        enter(Call::One(UPDATE, 12));
        assert_eq!(
            CALL.with_borrow(|call| call.to_string()),
            " in update of flow 12"
        );
    }
}
