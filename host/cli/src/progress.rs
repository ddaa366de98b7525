//! The progress bar of a run over files, and the spinner of work without a known end.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

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

/// Shows what takes time: a spinner if standard error is a terminal, otherwise a line in the log.
pub(super) struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// The interval between two pictures of the spinner.
    const INTERVAL: Duration = Duration::from_millis(100);

    pub(super) fn new(text: String) -> Self {
        if !io::stderr().is_terminal() || !log::shows_information() {
            tracing::info!("{text}");
            return Self(None);
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}");
        let spinner = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            .with_message(text);
        spinner.enable_steady_tick(Self::INTERVAL);
        Self(Some(spinner))
    }

    pub(super) fn end(self) {
        if let Some(spinner) = self.0 {
            spinner.finish_and_clear();
        }
    }
}
