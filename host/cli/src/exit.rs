//! Exit codes and failures of the command.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use flowloom::StreamerError;
use flowloom::dissect::DissectError;
use flowloom::plugin::{LoadErrorKind, PluginError, escaped};

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage. clap uses the same number.
    Usage = 2,
    /// Done, but incomplete: a capture was damaged, a file was skipped, a plugin was stopped, or flows or
    /// values were lost.
    Incomplete = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The reason why a command ends early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// What failed, and why. Empty if nothing is to be printed.
    pub(super) message: String,
    /// What the user can do.
    hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            hint: None,
        }
    }

    /// A failure of the command.
    pub(super) fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An end that is no failure and prints nothing.
    pub(super) fn quiet() -> Self {
        Self::new(Exit::Done, "")
    }

    /// Wrong usage of the command.
    pub(super) fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what the user can do.
    pub(super) fn hint(self, hint: impl Display) -> Self {
        Self {
            hint: Some(hint.to_string()),
            ..self
        }
    }

    /// Adds where the author of a plugin finds what can be requested and declared, unless there is another hint.
    pub(super) fn for_author(self) -> Self {
        Self {
            hint: self.hint.or_else(|| {
                Some(
                    "docs/plugin-reference.md lists fields, events, outputs and options".to_owned(),
                )
            }),
            ..self
        }
    }

    /// Adds another failure of the same command.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            exit: self.exit,
            message: self.message + "\n" + &other.message,
            hint: self.hint.or(other.hint),
        }
    }

    /// Returns the failure as one of the content of a file.
    pub(super) fn in_file(self, file: &Path) -> Self {
        Self {
            exit: Exit::Failed,
            message: format!("{}: {}", file.display(), self.message),
            ..self
        }
    }

    /// Converts an error of the library. The message names options, not parameters of the library.
    pub(super) fn of_run(error: StreamerError, advice: GrantAdvice<'_>) -> Self {
        match error {
            StreamerError::Parameter {
                parameter: "fanout",
                ..
            } => Self::usage(
                "--fanout: only an interface has several sockets, and the sources are files",
            ),
            StreamerError::Parameter {
                parameter: "system_visibility",
                ..
            } => Self::usage(
                "--system-visibility: it is for an interface of this machine, and the sources are files",
            ),
            StreamerError::Parameter {
                parameter,
                value,
                accepted,
            } => Self::usage(format_args!("{} {value}: {accepted}", option(parameter))),
            error @ (StreamerError::UnknownColumn(_) | StreamerError::Select(_)) => {
                Self::usage(with_options_of_groups(&error.to_string()))
            }
            StreamerError::Key(error) => Self::failed(with_option(error)),
            // The first line has a prefix of its own.
            StreamerError::Condition(error) => {
                Self::usage(error.to_string().trim_start_matches("error: "))
            }
            StreamerError::Filter(_) | StreamerError::Dissect(DissectError::Absent(_)) => {
                Self::usage(error)
            }
            StreamerError::Plugin(error) => Self::of_plugin(error, advice),
            _ => Self::failed(error),
        }
    }

    /// Converts the error of a plugin that cannot be loaded.
    pub(super) fn of_plugin(error: PluginError, advice: GrantAdvice<'_>) -> Self {
        match &*error.problem {
            LoadErrorKind::NotGranted { missing, place, .. } => {
                let text = error.to_string();
                // The hint says what the plugin needs, in the words of the command.
                let mut message = text
                    .split_once("; it needs ")
                    .map_or(&*text, |(message, _)| message)
                    .to_owned();
                if let Some(place) = place {
                    message += "\n";
                    message += place;
                }
                Self::failed(message).hint(advice.hint(&error.name, &missing.to_string()))
            }
            _ => Self::failed(error),
        }
    }

    /// Returns the lines for standard error. Empty if nothing is to be printed.
    pub(super) fn text(&self) -> String {
        if self.message.is_empty() {
            return String::new();
        }
        let mut text = String::from("flowloom: ");
        // Parts of the message are escaped. A part that is not stays on its line.
        for line in self.message.lines() {
            text += &escaped(line);
            text.push('\n');
        }
        if let Some(hint) = &self.hint {
            text += &format!("hint: {}\n", escaped(hint));
        }
        text
    }
}

/// Where the user of a command grants data to a plugin.
#[derive(Clone, Copy, Debug)]
pub(super) enum GrantAdvice<'a> {
    /// With the option `--grant`.
    Option,
    /// In the policy that is in force, with this path.
    Policy(&'a Path),
    /// In a policy, which the command does not have yet: the folder of plugins is followed, and its plugins
    /// get grants only together with their digests.
    NewPolicy,
    /// In the description of a plugin's test, or with the option `--grant`.
    Test,
}

impl GrantAdvice<'_> {
    fn hint(self, name: &str, grant: &str) -> String {
        let name = name.escape_debug();
        match self {
            Self::Option => format!("add --grant {name}={grant}"),
            Self::Policy(policy) => format!(
                "add \"{grant}\" to the grants of [plugins.{name}] in {}",
                policy.display()
            ),
            Self::NewPolicy => format!(
                "give --policy FILE with the sha256 of the file and grants = [\"{grant}\"] in [plugins.{name}]"
            ),
            Self::Test => format!(
                "add grant = \"{grant}\" to the [[test]] in flowloom-plugin.toml, or --grant {name}={grant}"
            ),
        }
    }
}

/// Returns the option of a parameter of the library: `--n-meters` for `n_meters`.
fn option(parameter: &str) -> String {
    format!("--{}", parameter.replace('_', "-"))
}

/// Returns the text of an error that begins with a parameter of the library, with the option in its place.
pub(super) fn with_option(error: impl Display) -> String {
    let text = error.to_string();
    let end = text
        .find(|c: char| !c.is_ascii_lowercase() && c != '_')
        .unwrap_or(text.len());
    let (parameter, rest) = text.split_at(end);
    match parameter.contains('_') {
        true => option(parameter) + rest,
        false => text,
    }
}

/// Returns the text with options instead of the parameters that decide which columns exist.
fn with_options_of_groups(text: &str) -> String {
    let parameters = [
        "statistical_analysis",
        "splt_analysis",
        "n_dissections",
        "decode_tunnels",
        "system_visibility",
    ];
    parameters.iter().fold(text.to_owned(), |text, parameter| {
        text.replace(parameter, &option(parameter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_options() {
        assert_eq!(
            with_option("columns_to_anonymize `x`: there is no such column"),
            "--columns-to-anonymize `x`: there is no such column"
        );
        assert_eq!(with_option("the key is empty"), "the key is empty");
        assert_eq!(with_option(""), "");
        let error = StreamerError::Parameter {
            parameter: "n_meters",
            value: "900".into(),
            accepted: "0 to 256 meters are accepted",
        };
        let failure = Failure::of_run(error, GrantAdvice::Option);
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(
            failure.message,
            "--n-meters 900: 0 to 256 meters are accepted"
        );
    }

    #[test]
    fn advice_names_the_place_of_grants() {
        let policy = Path::new("flowloom.toml");
        for (advice, hint) in [
            (GrantAdvice::Option, "add --grant a=payload:64"),
            (
                GrantAdvice::Policy(policy),
                "add \"payload:64\" to the grants of [plugins.a] in flowloom.toml",
            ),
            (
                GrantAdvice::NewPolicy,
                "give --policy FILE with the sha256 of the file and grants = [\"payload:64\"] in [plugins.a]",
            ),
            (
                GrantAdvice::Test,
                "add grant = \"payload:64\" to the [[test]] in flowloom-plugin.toml, or --grant a=payload:64",
            ),
        ] {
            assert_eq!(advice.hint("a", "payload:64"), hint);
        }
    }
}
