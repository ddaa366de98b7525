//! Where flows go, and how they are written.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use flowloom::Schema;
use flowloom::sink::{Existing, FileId, Format, Formulas, OutputError, OutputFiles, Sink};

use super::exit::Failure;
use super::number::within;
use super::standard;

const OUTPUT: &str = "Output";

/// Options of the output.
#[derive(Args)]
pub(super) struct OutputOptions {
    /// Where flows go; `-` is standard output. The extension says how: .csv (or none), .jsonl, .ndjson, and
    /// .gz or .zst behind it for compression.
    ///
    /// Flows of captures overwrite a file that exists. Flows of an interface, a pipe or standard input never
    /// do: --append continues the file.
    #[arg(short, long, default_value = "-", value_name = "FILE", help_heading = OUTPUT)]
    output: PathBuf,

    /// How flows are written, whatever the extension.
    #[arg(long, help_heading = OUTPUT)]
    format: Option<OutputFormat>,

    /// Continue a file that exists, if it has the same columns in the same order. What a crash left of its
    /// last line is cut off.
    #[arg(long, help_heading = OUTPUT)]
    append: bool,

    /// Refuse to write to files that exist, for captures as well.
    #[arg(long, conflicts_with = "append", help_heading = OUTPUT)]
    no_clobber: bool,

    /// Begin a new file after so many flows; 0 writes all to one. The files are numbered before the
    /// extension: flows.1.csv, flows.2.csv …
    ///
    /// Captures begin at 1 and overwrite. Interfaces, pipes and standard input, and --append, go on behind
    /// the highest number that exists.
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        value_parser = within(0..=u64::MAX),
        allow_negative_numbers = true,
        help_heading = OUTPUT
    )]
    flows_per_file: u64,

    /// Keep at most so many files: a ring, in which the oldest file is overwritten; 0 keeps all. Needs
    /// --flows-per-file. Where numbers go on, the ring goes on behind its newest file.
    #[arg(
        long,
        default_value_t = 0,
        value_name = "R",
        value_parser = within(0..=u64::MAX),
        allow_negative_numbers = true,
        help_heading = OUTPUT
    )]
    rotate_files: u64,

    /// What CSV has for text that a spreadsheet would take for a formula: `escape` puts an apostrophe before
    /// text that begins with =, +, - or @. Numbers stay as they are.
    #[arg(long, value_enum, default_value = "keep", value_name = "HOW", help_heading = OUTPUT)]
    csv_formulas: FormulaText,
}

#[derive(Clone, Copy, ValueEnum)]
enum OutputFormat {
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormulaText {
    Keep,
    Escape,
}

impl OutputOptions {
    /// The file, if it is not standard output.
    pub(super) fn path(&self) -> Option<&Path> {
        (self.output != Path::new("-")).then_some(&*self.output)
    }

    /// The files, of which standard output is one, for comparing them with others.
    pub(super) fn places(&self) -> OutputFiles {
        match self.path() {
            Some(path) => self.files_of(path),
            None => OutputFiles::new("/dev/stdout"),
        }
    }

    /// Whether whoever reads it may have read enough at any time.
    fn is_standard_output(&self) -> bool {
        self.path().is_none_or(standard::is_output)
    }

    /// How flows are written.
    pub(super) fn format(&self) -> Result<Format, Failure> {
        match self.path() {
            Some(path) => self
                .files_of(path)
                .known_format()
                .map_err(|error| Failure::usage(format_args!("{error} with --format"))),
            None => Ok(self.format.map_or(Format::Csv, Format::from)),
        }
    }

    /// What is wrong with the options before anything is opened.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Some(path) = self.path() {
            standard::check_path(path)?;
            return self.format().map(drop);
        }
        let given = [
            (self.flows_per_file > 0).then(|| format!("--flows-per-file {}", self.flows_per_file)),
            (self.rotate_files > 0).then(|| format!("--rotate-files {}", self.rotate_files)),
            self.append.then(|| "--append".to_owned()),
            self.no_clobber.then(|| "--no-clobber".to_owned()),
        ];
        match given.into_iter().flatten().next() {
            Some(option) => Err(Failure::usage(format_args!(
                "{option}: standard output is not a file; give --output FILE"
            ))),
            None => standard::output().map(drop),
        }
    }

    /// Opens the output. `inputs` are never overwritten, and a live run overwrites nothing.
    pub(super) fn sink(
        &self,
        schema: &Arc<Schema>,
        is_live: bool,
        inputs: impl IntoIterator<Item = FileId>,
    ) -> Result<Box<dyn Sink + Send>, Failure> {
        let Some(path) = self.path() else {
            let out = standard::output()?;
            let sink = self.format()?.sink_with(out, schema, self.formulas());
            return sink.map_err(|error| self.lost(&error));
        };
        let existing = match is_live {
            _ if self.append => Existing::Append,
            _ if self.no_clobber => Existing::Refuse,
            true => Existing::GoOn,
            false => Existing::Overwrite,
        };
        let files = self.files_of(path).existing(existing).inputs(inputs);
        match files.create(schema) {
            Ok(sink) => Ok(Box::new(sink)),
            Err(error @ (OutputError::Parameter { .. } | OutputError::Extension(_))) => {
                Err(Failure::usage(error))
            }
            Err(error @ OutputError::Exists(_)) if self.no_clobber => {
                Err(Failure::failed(format_args!(
                    "{error}, and --no-clobber keeps it; move it away, or choose another name"
                )))
            }
            Err(error @ OutputError::Exists(_)) => Err(Failure::failed(format_args!(
                "{error}, and what is captured live overwrites nothing; continue it with --append, move it \
                 away, or choose another name"
            ))),
            Err(OutputError::Io(error)) => Err(self.lost(&error)),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// The sink failed: files are named by their sink.
    pub(super) fn lost(&self, error: &io::Error) -> Failure {
        match self.path() {
            // Whoever reads has read enough.
            _ if self.is_standard_output() && error.kind() == io::ErrorKind::BrokenPipe => {
                Failure::quiet()
            }
            Some(_) => Failure::failed(format_args!("cannot write to {error}")),
            None => standard::lost(error),
        }
    }

    fn files_of(&self, path: &Path) -> OutputFiles {
        let files = OutputFiles::new(path)
            .flows_per_file(self.flows_per_file)
            .rotate_files(self.rotate_files)
            .formulas(self.formulas());
        match self.format {
            Some(format) => files.format(format.into()),
            None => files,
        }
    }

    fn formulas(&self) -> Formulas {
        match self.csv_formulas {
            FormulaText::Keep => Formulas::Keep,
            FormulaText::Escape => Formulas::Escape,
        }
    }
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Csv => Self::Csv,
            OutputFormat::Jsonl => Self::JsonLines,
        }
    }
}
