//! The output of flows: its place and its format.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use flowloom::columns::OutputColumns;
use flowloom::sink::{
    BlockCompression, Existing, FileId, FileMetadata, Format, Formulas, OutputError, OutputFiles,
    Partition, Retention, Rotation, Sink, SinkOptions,
};
use flowloom::{RunConfig, Streamer};

use super::exit::{Failure, with_option};
use super::number::within;
use super::{quantity, standard};

/// Help heading of the options of the output.
pub(super) const OUTPUT: &str = "Output";

/// Options of the output.
#[derive(Args)]
pub(super) struct OutputOptions {
    /// Write flows to FILE; `-` is standard output. FILE can be the URL of an object: s3://, gs:// or az://.
    ///
    /// The extension selects the format: .csv or none for CSV, .jsonl or .ndjson for JSON lines, .parquet for
    /// Parquet, .arrow for Arrow. A second extension .gz or .zst compresses CSV and JSON lines.
    ///
    /// Flows of capture files overwrite an existing file. Flows of an interface, a pipe or standard input
    /// never do: use --append to continue the file.
    #[arg(short, long, default_value = "-", value_name = "FILE", help_heading = OUTPUT)]
    output: PathBuf,

    /// Format of the output, whatever its extension.
    ///
    /// csv: Comma-separated values with a header.
    ///
    /// jsonl: One JSON object per line.
    ///
    /// parquet: Parquet, compressed with zstd. The file appears when it is complete.
    ///
    /// arrow: Arrow IPC. A file has the file format, and appears when it is complete. Standard output and pipes have
    /// the stream format.
    #[arg(long, value_name = "csv|jsonl|parquet|arrow", hide_possible_values = true, help_heading = OUTPUT)]
    format: Option<OutputFormat>,

    /// Write only these columns, in this order.
    ///
    /// `flowloom fields` lists the columns. The column of a plugin is udps.<plugin>.<name>. Values that only other
    /// columns need are not computed.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', help_heading = OUTPUT)]
    select: Vec<String>,

    /// Form of times in CSV and JSON lines.
    ///
    /// `ms` writes milliseconds since 1970. `iso8601` also adds the columns first_seen and last_seen, as in
    /// 2026-11-29T13:05:00.250Z. Arrow and Parquet always have these columns.
    #[arg(long, value_enum, default_value = "ms", value_name = "ms|iso8601", hide_possible_values = true, help_heading = OUTPUT)]
    time_format: TimeFormat,

    /// Compression inside Parquet and Arrow: none, zstd, zstd:LEVEL.
    ///
    /// The level is 1 to 22. The default is zstd:3 for Parquet, and none for Arrow.
    #[arg(long, value_name = "NAME", help_heading = OUTPUT)]
    compression: Option<BlockCompression>,

    /// Most flows in a row group of Parquet [default: 131072].
    ///
    /// A row group also ends at 64 MiB. The writer keeps one row group in memory.
    #[arg(long, value_name = "N", value_parser = within(1..=u32::MAX), allow_negative_numbers = true, help_heading = OUTPUT)]
    row_group_size: Option<u32>,

    /// Continue an existing file that has the same columns.
    ///
    /// The columns must also be in the same order. If a crash left an incomplete last line, Flowloom removes
    /// it.
    #[arg(long, help_heading = OUTPUT)]
    append: bool,

    /// Do not write to files that exist.
    #[arg(long, conflicts_with = "append", help_heading = OUTPUT)]
    no_clobber: bool,

    /// Start a new file after N flows; 0 writes one file.
    ///
    /// The number of a file precedes the extension: flows.1.csv, flows.2.csv and so on.
    ///
    /// Capture files start with number 1 and overwrite existing files. Interfaces, pipes, standard input and
    /// --append continue after the highest existing number.
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        value_parser = within(0..=u64::MAX),
        allow_negative_numbers = true,
        help_heading = OUTPUT
    )]
    flows_per_file: u64,

    /// Keep at most N numbered files; 0 keeps all.
    ///
    /// When N files exist, the next file replaces the oldest one. Needs --flows-per-file.
    #[arg(
        long,
        default_value_t = 0,
        value_name = "N",
        value_parser = within(0..=u64::MAX),
        allow_negative_numbers = true,
        help_heading = OUTPUT
    )]
    rotate_files: u64,

    /// Start a new file at each multiple of this time.
    ///
    /// The units are s, min, h and d. The name of a file has the time in UTC: flows.20261129T130500Z.csv. It is the
    /// time of packets, or of the computer if an interface is metered. A file has a temporary name until it is
    /// complete.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration, help_heading = OUTPUT)]
    rotate_interval: Option<Duration>,

    /// Start a new file when a file has about this size.
    ///
    /// The units are kB, MB, GB, TB, KiB, MiB, GiB and TiB. Names are those of --rotate-interval.
    #[arg(long, value_name = "SIZE", value_parser = quantity::size, help_heading = OUTPUT)]
    rotate_size: Option<u64>,

    /// Put files into a folder for their day or hour.
    ///
    /// The folders are those of Hive, for example date=2026-11-29/hour=13/. Names are those of --rotate-interval.
    #[arg(long, value_enum, value_name = "day|hour", hide_possible_values = true, help_heading = OUTPUT)]
    partition: Option<PartitionBy>,

    /// Remove old files when a file ends: those that began earlier, and the oldest above a total size.
    ///
    /// A time, a size, or both, for example 24h,2GiB. Only files with names of --rotate-interval are removed.
    #[arg(long, value_name = "TIME,SIZE", value_parser = retention, help_heading = OUTPUT)]
    keep: Option<Retention>,

    /// Write the SHA-256 of each capture into the metadata of Parquet and Arrow files.
    ///
    /// The captures are read a second time.
    #[arg(long, help_heading = OUTPUT)]
    capture_digests: bool,

    /// How CSV text is written that looks like a formula.
    ///
    /// A spreadsheet runs text that begins with =, +, - or @ as a formula. `escape` writes an apostrophe before
    /// such text; `keep` writes it unchanged. Numbers are never changed.
    #[arg(long, value_enum, default_value = "keep", value_name = "keep|escape", hide_possible_values = true, help_heading = OUTPUT)]
    csv_formulas: FormulaText,
}

#[derive(Clone, Copy, ValueEnum)]
enum OutputFormat {
    Csv,
    Jsonl,
    #[cfg(feature = "arrow")]
    Parquet,
    #[cfg(feature = "arrow")]
    Arrow,
}

#[derive(Clone, Copy, ValueEnum)]
enum PartitionBy {
    Day,
    Hour,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TimeFormat {
    Ms,
    Iso8601,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormulaText {
    Keep,
    Escape,
}

impl OutputOptions {
    /// Returns the path of the file, or `None` for standard output.
    pub(super) fn path(&self) -> Option<&Path> {
        (self.output != Path::new("-")).then_some(&*self.output)
    }

    /// Returns the files that may be written, for comparison with the inputs. Standard output is one of them.
    pub(super) fn files(&self) -> OutputFiles {
        match self.path() {
            Some(path) => self.files_of(path),
            None => OutputFiles::new("/dev/stdout"),
        }
    }

    /// Returns whether the output is standard output, whose reader may close it at any time.
    fn is_standard_output(&self) -> bool {
        self.path().is_none_or(standard::is_output)
    }

    /// Returns the format of the output.
    pub(super) fn format(&self) -> Result<Format, Failure> {
        match self.path() {
            Some(path) => self
                .files_of(path)
                .known_format()
                .map_err(|error| Failure::usage(format_args!("{error} with --format"))),
            None => Ok(self.format.map_or(Format::Csv, Format::from)),
        }
    }

    /// Checks the options. Opens nothing.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.check_form()?;
        self.check_format()?;
        match self.path() {
            Some(path) => standard::check_path(path),
            None => standard::output().map(drop),
        }
    }

    /// Checks that the output can have the form that was chosen: several files, an existing file.
    fn check_form(&self) -> Result<(), Failure> {
        let rotation = self.rotation();
        let given = [
            (self.flows_per_file > 0).then(|| format!("--flows-per-file {}", self.flows_per_file)),
            (self.rotate_files > 0).then(|| format!("--rotate-files {}", self.rotate_files)),
            self.rotate_interval.map(|_| "--rotate-interval".to_owned()),
            self.rotate_size.map(|_| "--rotate-size".to_owned()),
            self.partition.map(|_| "--partition".to_owned()),
            self.keep.as_ref().map(|_| "--keep".to_owned()),
            self.append.then(|| "--append".to_owned()),
            self.no_clobber.then(|| "--no-clobber".to_owned()),
        ];
        let mut given = given.into_iter().flatten();
        let Some(path) = self.path() else {
            return match given.next() {
                Some(option) => Err(Failure::usage(format_args!(
                    "{option}: standard output is not a file"
                ))
                .hint("give --output FILE")),
                None => Ok(()),
            };
        };
        if self.files().is_object() {
            return match given.find(|option| option != "--no-clobber") {
                Some(option) => Err(Failure::usage(format_args!(
                    "{option}: an object is one file, and is written in one piece"
                ))
                .hint("write to a folder, and copy its files to the store")),
                None => Ok(()),
            };
        }
        if self.rotate_files > 0 && rotation.is_timed() {
            return Err(Failure::usage(format_args!(
                "--rotate-files {}: files with a time in their names are not numbered",
                self.rotate_files
            ))
            .hint("give --keep TIME,SIZE"));
        }
        if self.keep.is_some() && self.flows_per_file == 0 && !rotation.has_limit() {
            return Err(Failure::usage("--keep: all flows are in one file")
                .hint("add --rotate-interval TIME or --rotate-size SIZE"));
        }
        if rotation.is_timed() && path.exists() && !path.is_file() && !path.is_dir() {
            return Err(Failure::usage(format_args!(
                "{}: a pipe or device is not rotated",
                path.display()
            )));
        }
        if self.rotate_files > 0 && self.flows_per_file == 0 {
            return Err(Failure::usage(format_args!(
                "--rotate-files {}: only numbered files rotate",
                self.rotate_files
            ))
            .hint("add --flows-per-file N"));
        }
        Ok(())
    }

    /// Opens the output. It never overwrites one of the `inputs`. A live run overwrites no file.
    pub(super) fn sink(
        &self,
        streamer: &Streamer,
        is_live: bool,
        inputs: impl IntoIterator<Item = FileId>,
        metadata: &FileMetadata,
    ) -> Result<Box<dyn Sink + Send>, Failure> {
        let format = self.format()?;
        let mut options = self.options(format, streamer.output_columns());
        options.metadata = metadata.clone();
        let schema = streamer.schema();
        let Some(path) = self.path() else {
            let out = standard::output()?;
            let sink = format.sink_with(out, schema, &options);
            return sink.map_err(|error| self.write_failure(&error));
        };
        let existing = match is_live {
            _ if self.append => Existing::Append,
            _ if self.no_clobber => Existing::Refuse,
            true => Existing::Continue,
            false => Existing::Overwrite,
        };
        let files = self
            .files_of(path)
            .options(options)
            .existing(existing)
            .live(streamer.is_live())
            .inputs(inputs);
        match files.create(schema) {
            Ok(sink) => Ok(Box::new(sink)),
            Err(error @ (OutputError::Parameter { .. } | OutputError::Extension(_))) => {
                Err(Failure::usage(with_option(error)))
            }
            Err(error @ OutputError::Exists(_)) if self.no_clobber => {
                Err(Failure::failed(error).hint("move it away, or choose another name"))
            }
            Err(error @ OutputError::Exists(_)) => Err(Failure::failed(error)
                .hint("continue it with --append, move it away, or choose another name")),
            Err(OutputError::Io(error)) => Err(self.write_failure(&error)),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// Returns the failure for an error of the sink. The error already names the file.
    pub(super) fn write_failure(&self, error: &io::Error) -> Failure {
        match self.path() {
            // The reader has read enough.
            _ if self.is_standard_output() && error.kind() == io::ErrorKind::BrokenPipe => {
                Failure::quiet()
            }
            Some(_) => Failure::failed(format_args!("cannot write to {error}")),
            None => standard::write_failure(error),
        }
    }

    fn files_of(&self, path: &Path) -> OutputFiles {
        let files = OutputFiles::new(path)
            .flows_per_file(self.flows_per_file)
            .rotate_files(self.rotate_files)
            .rotation(self.rotation());
        match self.format {
            Some(format) => files.format(format.into()),
            None => files,
        }
    }

    fn rotation(&self) -> Rotation {
        let mut rotation = Rotation::default();
        rotation.interval = self.rotate_interval.unwrap_or_default();
        rotation.bytes = self.rotate_size.unwrap_or_default();
        rotation.partition = self.partition.map(|by| match by {
            PartitionBy::Day => Partition::Day,
            PartitionBy::Hour => Partition::Hour,
        });
        rotation.keep = self.keep.clone().unwrap_or_default();
        rotation
    }

    /// Returns whether files are in folders that the run creates.
    pub(super) fn makes_folders(&self) -> bool {
        self.partition.is_some()
    }

    /// Returns whether the metadata of files has the digests of the captures.
    pub(super) fn has_digests(&self) -> bool {
        self.capture_digests
    }

    /// Sets the options in a configuration.
    pub(super) fn set(&self, config: &mut RunConfig) {
        config.select.clone_from(&self.select);
    }

    /// Returns the names of the columns that the output of a run has.
    pub(super) fn columns(&self, streamer: &Streamer) -> Result<Vec<String>, Failure> {
        let options = self.options(self.format()?, streamer.output_columns());
        let names = options.columns.names(streamer.schema());
        names.map_err(Failure::usage)
    }

    /// Returns the options of a sink of this format for a run with these columns.
    fn options(&self, format: Format, columns: &OutputColumns) -> SinkOptions {
        let mut options = SinkOptions::default();
        options.columns = columns.clone();
        if !format.is_text() || self.time_format == TimeFormat::Iso8601 {
            options.columns = options.columns.with_times();
        }
        options.formulas = match self.csv_formulas {
            FormulaText::Keep => Formulas::Keep,
            FormulaText::Escape => Formulas::Escape,
        };
        options.compression = self.compression;
        let size = self.row_group_size.map(|size| size as usize);
        options.row_group_size = size.and_then(NonZeroUsize::new);
        options
    }

    /// Checks that the format has what the options ask for.
    fn check_format(&self) -> Result<(), Failure> {
        let format = self.format()?;
        let is_parquet = format.name() == "Parquet";
        if self.compression.is_some() && format.is_text() {
            let failure = format_args!("--compression: {} is text", format.name());
            return Err(Failure::usage(failure)
                .hint("give the name of the output the extension .gz or .zst"));
        }
        if self.row_group_size.is_some() && !is_parquet {
            let failure = format_args!("--row-group-size: {} has no row groups", format.name());
            return Err(Failure::usage(failure).hint("write to a file with the extension .parquet"));
        }
        if self.capture_digests && format.is_text() {
            let failure = format_args!("--capture-digests: {} has no metadata", format.name());
            return Err(Failure::usage(failure)
                .hint("write to a file with the extension .parquet or .arrow"));
        }
        let is_one = self.flows_per_file == 0 && !self.rotation().is_timed();
        if self.append && is_one && !format.is_text() {
            let failure = format_args!("--append: a file of {} is complete", format.name());
            return Err(Failure::usage(failure).hint("start new files with --flows-per-file N"));
        }
        Ok(())
    }
}

/// Parses an age, a size, or both, with a comma between them.
fn retention(text: &str) -> Result<Retention, String> {
    let mut keep = Retention::default();
    for part in text.split(',') {
        match (quantity::duration(part), quantity::size(part)) {
            (Ok(age), _) if keep.age.is_none() => keep.age = Some(age),
            (_, Ok(bytes)) if keep.bytes.is_none() => keep.bytes = Some(bytes),
            _ => return Err("expected a time, a size, or both, such as 24h,2GiB".to_owned()),
        }
    }
    Ok(keep)
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Csv => Self::Csv,
            OutputFormat::Jsonl => Self::JsonLines,
            #[cfg(feature = "arrow")]
            OutputFormat::Parquet => Self::Parquet,
            #[cfg(feature = "arrow")]
            OutputFormat::Arrow => Self::Arrow,
        }
    }
}
