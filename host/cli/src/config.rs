//! `--config`: options in a file.
//!
//! The file is TOML. Its keys are the long options of `flowloom meter`, and `sources`. The options of the file are put
//! before those of the command line, which win. Therefore the two have the same checks and the same errors.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use flowloom::BoundedRead;
use toml::{Spanned, Value};

use super::exit::Failure;

/// The maximum size of a configuration in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The key of the positional arguments.
const SOURCES: &str = "sources";

/// Options that a file cannot have: those that choose what is done with it.
const NOT_IN_FILE: [&str; 3] = ["config", "check_config", "help"];

/// The keys of a file in its order.
type Entries = Vec<(Spanned<String>, Value)>;

/// Returns the arguments with the options of the file that `--config` names. Without `--config`, they are unchanged.
///
/// `cli` is the whole command, whose subcommand `meter` has the options.
pub(super) fn expand(cli: &Command, arguments: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let is_config = |argument: &OsString| {
        let argument = argument.as_encoded_bytes();
        argument == b"--config" || argument.starts_with(b"--config=")
    };
    let Some(meter) = arguments.iter().position(|argument| argument == "meter") else {
        return Ok(arguments);
    };
    if !arguments.iter().any(is_config) {
        return Ok(arguments);
    }
    // The second parse reports errors of the command line.
    let given = cli.clone().ignore_errors(true);
    let Ok(given) = given.try_get_matches_from(&arguments) else {
        return Ok(arguments);
    };
    let (Some(command), Some(given)) = (
        cli.find_subcommand("meter"),
        given.subcommand_matches("meter"),
    ) else {
        return Ok(arguments);
    };
    let Some(file) = given.get_one::<PathBuf>("config") else {
        return Ok(arguments);
    };
    let text = read(file)?;
    let mut expanded = arguments[..=meter].to_vec();
    expanded.extend(options(file, &text, command, given)?);
    expanded.extend_from_slice(&arguments[meter + 1..]);
    Ok(expanded)
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = BoundedRead::new(MAX_BYTES).text(file);
    text.map_err(|error| Failure::failed(format_args!("cannot read {}: {error}", file.display())))
}

/// Returns the options of a file as arguments, without those that the command line replaces.
fn options(
    file: &Path,
    text: &str,
    command: &Command,
    given: &ArgMatches,
) -> Result<Vec<OsString>, Failure> {
    let fail = |message: &str| Failure::usage(format_args!("{}: {message}", file.display()));
    let entries = entries(text).map_err(|error| fail(error.to_string().trim_end()))?;
    let is_given = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let (mut options, mut sources) = (Vec::new(), Vec::new());
    for (key, value) in &entries {
        let at = |message: String| {
            let line = text[..key.span().start].matches('\n').count() + 1;
            Failure::usage(format_args!("{}:{line}: {message}", file.display()))
        };
        let name = key.get_ref();
        let values = match value {
            Value::Array(values) => &values[..],
            value => std::slice::from_ref(value),
        };
        if name == SOURCES {
            let of_file = values.iter().map(|value| match value {
                Value::String(source) => Ok(source.into()),
                _ => Err(at("'sources' must be text, or a list of texts".to_owned())),
            });
            if !is_given(SOURCES) {
                sources = of_file.collect::<Result<Vec<OsString>, _>>()?;
            }
            continue;
        }
        let wanted = name.replace('_', "-");
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(&wanted));
        if NOT_IN_FILE.contains(&name.replace('-', "_").as_str()) {
            return Err(at(format!(
                "'{name}' is an option of the command line only"
            )));
        }
        let argument = argument.ok_or_else(|| at(unknown(name, command)))?;
        let is_replaced = command.get_arguments().any(|other| {
            is_given(other.get_id().as_str())
                && (other.get_id() == argument.get_id() || are_rivals(command, argument, other))
        });
        if is_replaced {
            continue;
        }
        let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        if matches!(value, Value::Array(_)) && !is_list {
            return Err(at(format!("'{name}' has one value, not a list")));
        }
        for value in values {
            match value {
                Value::Boolean(on) if is_switch => {
                    options.extend(on.then(|| format!("--{wanted}").into()));
                }
                _ if is_switch => return Err(at(format!("'{name}' must be true or false"))),
                Value::String(value) => options.push(format!("--{wanted}={value}").into()),
                Value::Integer(value) => options.push(format!("--{wanted}={value}").into()),
                _ => return Err(at(format!("'{name}' must be text or a whole number"))),
            }
        }
    }
    // Sources may begin with a hyphen only after `--`, which would also apply to the command line.
    if let Some(source) = sources
        .iter()
        .find(|source| source.len() > 1 && source.as_encoded_bytes()[0] == b'-')
    {
        return Err(fail(&format!(
            "source '{}': write ./ before it",
            source.display()
        )));
    }
    options.extend(sources);
    Ok(options)
}

/// Returns whether two options cannot be given together. Either of them can say so.
fn are_rivals(command: &Command, one: &Arg, other: &Arg) -> bool {
    let excludes = |one: &Arg, other: &Arg| {
        let excluded = command.get_arg_conflicts_with(one);
        excluded
            .iter()
            .any(|excluded| excluded.get_id() == other.get_id())
    };
    excludes(one, other) || excludes(other, one)
}

/// Parses TOML, and returns its keys in the order of the text.
fn entries(text: &str) -> Result<Entries, toml::de::Error> {
    let table: std::collections::BTreeMap<Spanned<String>, Value> = toml::from_str(text)?;
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    Ok(entries)
}

/// Returns the error of a key that is no option.
fn unknown(name: &str, command: &Command) -> String {
    let known = command
        .get_arguments()
        .filter(|argument| !NOT_IN_FILE.contains(&argument.get_id().as_str()))
        .filter_map(|argument| argument.get_long());
    let likeness = |known: &&str| strsim::jaro_winkler(&name.replace('_', "-"), known);
    let nearest = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    let hint = match nearest.filter(|nearest| likeness(nearest) > 0.8) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => {
            "the keys are the options of `flowloom meter` without hyphens before them".to_owned()
        }
    };
    format!("there is no option '{}'; {hint}", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Returns the arguments after `meter` for a configuration and arguments of the command line.
    fn expanded(text: &str, arguments: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.toml");
        std::fs::write(&file, text).unwrap();
        let config = format!("--config={}", file.display());
        let words = ["flowloom", "-q", "meter", &config]
            .into_iter()
            .chain(arguments.iter().copied());
        let words = words.map(OsString::from).collect();
        let replaced = |text: String| text.replace(&*file.to_string_lossy(), "run.toml");
        match expand(&crate::Cli::command(), words) {
            Ok(words) => {
                let words = words[3..]
                    .iter()
                    .map(|word| word.to_str().unwrap().to_owned());
                Ok(words.map(replaced).collect())
            }
            Err(failure) => Err(replaced(failure.message)),
        }
    }

    #[test]
    fn options_of_the_file_precede_those_of_the_command_line() {
        let text = "\
            idle-timeout = 60\n\
            active_timeout = 300\n\
            statistical-analysis = true\n\
            end-on-fin = false\n\
            select = [\"id\", \"src_ip\"]\n\
            where = 'dst_port = 443'\n\
            sources = [\"a.pcap\", \"b.pcap\"]\n";
        let expected = [
            "--idle-timeout=60",
            "--active-timeout=300",
            "--statistical-analysis",
            "--select=id",
            "--select=src_ip",
            "--where=dst_port = 443",
            "a.pcap",
            "b.pcap",
            "--config=run.toml",
        ];
        assert_eq!(expanded(text, &[]).unwrap(), expected);
    }

    #[test]
    fn options_of_the_command_line_win() {
        for (text, arguments) in [
            ("idle-timeout = 60", &["x.pcap", "--idle-timeout", "1"][..]),
            ("select = ['id']", &["x.pcap", "--select=src_ip"]),
            ("sources = 'y.pcap'", &["x.pcap"]),
            ("decode-tunnels = 'gre'", &["x.pcap", "--no-decode-tunnels"]),
        ] {
            let words = expanded(text, arguments).unwrap();
            assert_eq!(words[0], "--config=run.toml");
            assert_eq!(words[1..], *arguments, "{text}");
        }
    }

    #[test]
    fn errors_name_the_line_and_what_is_accepted() {
        for (text, expected) in [
            (
                "\nidle-tmeout = 1",
                "run.toml:2: there is no option 'idle-tmeout'; did you mean 'idle-timeout'?",
            ),
            (
                "xyz = 1",
                "run.toml:1: there is no option 'xyz'; the keys are the options of `flowloom meter` \
                 without hyphens before them",
            ),
            (
                "config = 'other.toml'",
                "run.toml:1: 'config' is an option of the command line only",
            ),
            (
                "end-on-fin = 1",
                "run.toml:1: 'end-on-fin' must be true or false",
            ),
            (
                "idle-timeout = [1, 2]",
                "run.toml:1: 'idle-timeout' has one value, not a list",
            ),
            (
                "idle-timeout = true",
                "run.toml:1: 'idle-timeout' must be text or a whole number",
            ),
            (
                "sources = 1",
                "run.toml:1: 'sources' must be text, or a list of texts",
            ),
            (
                "sources = '-x'",
                "run.toml: source '-x': write ./ before it",
            ),
        ] {
            assert_eq!(expanded(text, &[]).unwrap_err(), expected, "{text}");
        }
        let error = expanded("a = \nb = 1", &[]).unwrap_err();
        assert!(
            error.starts_with("run.toml: TOML parse error at line 1"),
            "{error}"
        );
    }
}
