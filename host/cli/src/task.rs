//! `flowloom run-task`

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use flowloom::Step;
use flowloom::plan::Task;
use flowloom::plugin::escaped_path;
use flowloom::sink::{BackgroundSink, Format, OutputFiles, Sink, SinkOptions};

use super::compile::CompileOptions;
use super::exit::{Exit, Failure, GrantAdvice};
use super::output::OUTPUT;
use super::summary::{self, RunClock, RunTotals};
use super::{log, standard};

/// The largest task that is read, in bytes: a million files with names of 256 bytes.
const MAX_TASK_BYTES: u64 = 512 << 20;

#[derive(Args)]
pub(super) struct RunTask {
    /// A task that `flowloom plan` wrote; `-` is standard input.
    #[arg(value_name = "TASK")]
    task: PathBuf,

    /// Write flows to FILE; `-` is standard output.
    ///
    /// The extension selects the format, as for `flowloom meter`. Standard output gets an Arrow stream.
    #[arg(short, long, default_value = "-", value_name = "FILE", help_heading = OUTPUT)]
    output: PathBuf,

    #[command(flatten)]
    compile: CompileOptions,
}

impl RunTask {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let task = self.read()?;
        let name = self.task.display();
        let builder = task
            .builder()
            .map_err(|error| Failure::failed(format_args!("{name}: {error}")))?
            .compiler(self.compile.compiler(None));
        let mut streamer = builder
            .build()
            .map_err(|error| Failure::of_run(error, GrantAdvice::Option))?;
        let mut options = SinkOptions::default();
        options.columns = streamer.output_columns().clone();
        let is_standard = self.output == Path::new("-");
        let sink: Box<dyn Sink + Send> = match is_standard {
            true => {
                options.columns = options.columns.with_times();
                let out = standard::output()?;
                let sink = Format::Arrow.sink_with(out, streamer.schema(), &options);
                sink.map_err(|error| self.write_failure(&error))?
            }
            false => {
                let files = OutputFiles::new(&self.output).options(options);
                Box::new(files.create(streamer.schema()).map_err(Failure::failed)?)
            }
        };
        let mut sink = BackgroundSink::start(sink);
        let losses = sink.losses();
        let clock = RunClock::start(&streamer);
        let mut flows = 0;
        loop {
            match streamer.step() {
                Step::Flow(flow) => {
                    sink.write(flow)
                        .map_err(|error| self.write_failure(&error))?;
                    flows += 1;
                }
                Step::Read => {}
                Step::End => break,
            }
        }
        let writer = sink.finish().map_err(|error| self.write_failure(&error))?;
        let report = streamer.summary();
        let run = RunTotals {
            flows,
            losses: &losses,
            times: clock.stop(&report, writer),
            lines_dropped: log::dropped(),
        };
        Ok(summary::end(&report, &run))
    }

    fn read(&self) -> Result<Task, Failure> {
        let failed = |error: io::Error| {
            Failure::failed(format_args!(
                "cannot read task {}: {error}",
                escaped_path(&self.task)
            ))
        };
        let mut text = Vec::new();
        let read = match self.task == Path::new("-") {
            true => io::stdin()
                .lock()
                .take(MAX_TASK_BYTES)
                .read_to_end(&mut text),
            false => fs::File::open(&self.task)
                .and_then(|file| file.take(MAX_TASK_BYTES).read_to_end(&mut text)),
        };
        read.map_err(failed)?;
        serde_json::from_slice(&text).map_err(|error| {
            Failure::failed(format_args!(
                "cannot read task {}: {error}",
                escaped_path(&self.task)
            ))
            .hint("`flowloom plan SOURCE… --tasks-to DIR` writes tasks")
        })
    }

    fn write_failure(&self, error: &io::Error) -> Failure {
        match self.output == Path::new("-") {
            true if error.kind() == io::ErrorKind::BrokenPipe => Failure::quiet(),
            true => standard::write_failure(error),
            false => Failure::failed(format_args!("cannot write to {error}")),
        }
    }
}
