//! The progress bar of a run over files.

use std::io::{self, IsTerminal as _};

use flowloom::Streamer;
use indicatif::{ProgressBar, ProgressStyle};

use super::log;

/// A progress bar on standard error, if that is a terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(has_end: bool, streamer: &Streamer) -> Self {
        let is_shown = has_end && io::stderr().is_terminal() && log::shows_information();
        let progress = Self(is_shown.then(|| {
            let style = ProgressStyle::with_template(
                "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {msg} flows",
            );
            ProgressBar::no_length()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                // The bar is first drawn with this number.
                .with_message("0")
        }));
        progress.show(streamer.progress(), 0);
        progress
    }

    pub(super) fn show(&self, (read, total): (u64, Option<u64>), flows: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(flows.to_string());
            bar.set_length(total.unwrap_or(read));
            bar.set_position(read);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
