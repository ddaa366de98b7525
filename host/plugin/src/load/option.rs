//! Checks the descriptions of the options that a plugin accepts.

use std::collections::HashSet;

use super::texts::{MAX_DESCRIPTION, check_len, is_name};
use crate::contract::manifest as wit;
use crate::error::LoadErrorKind;

/// The maximum number of described options of a plugin.
const MAX_OPTIONS: usize = 128;

/// An option that a plugin accepts. The texts are those of the plugin: they may contain any character.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionDescription {
    /// The key.
    pub name: String,
    /// The type of the value.
    pub ty: OptionType,
    /// The accepted values for people. May be empty.
    pub accepts: String,
    /// The value that applies if the operator gives none: empty if the option is then not set, `None` if the operator
    /// must give a value.
    pub default: Option<String>,
    /// One sentence for people.
    pub description: String,
}

/// The type of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    /// `true` or `false`.
    Boolean,
    /// An integer.
    Integer,
    /// A number.
    Float,
    /// Text.
    Text,
}

impl OptionType {
    /// Returns the name of the type for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Text => "text",
        }
    }
}

/// Returns the valid descriptions of options, and adds the problems of the others: there are too many, two have the
/// same name, a name is not valid, or a text is too long.
pub(super) fn descriptions(
    declared: Vec<wit::OptionDescription>,
    problems: &mut Vec<LoadErrorKind>,
) -> Vec<OptionDescription> {
    if declared.len() > MAX_OPTIONS {
        problems.push(LoadErrorKind::TooManyOptions {
            count: declared.len(),
            max: MAX_OPTIONS,
        });
    }
    let mut seen = HashSet::new();
    let mut one = |option: wit::OptionDescription| {
        let name = option.name;
        if !is_name(&name) {
            return Err(LoadErrorKind::BadOptionName {
                name: name.chars().take(64).collect(),
            });
        }
        if !seen.insert(name.clone()) {
            return Err(LoadErrorKind::OptionTwice { name });
        }
        let default = option.default.as_deref().unwrap_or_default();
        check_len("default of an option", default, MAX_DESCRIPTION)?;
        for text in [&option.accepts, &option.description] {
            check_len("description of an option", text, MAX_DESCRIPTION)?;
        }
        Ok(OptionDescription {
            name,
            ty: match option.kind {
                wit::OptionType::Boolean => OptionType::Boolean,
                wit::OptionType::Integer => OptionType::Integer,
                wit::OptionType::Float => OptionType::Float,
                wit::OptionType::Text => OptionType::Text,
            },
            accepts: option.accepts,
            default: option.default,
            description: option.description,
        })
    };
    let mut options = Vec::new();
    for option in declared.into_iter().take(MAX_OPTIONS) {
        match one(option) {
            Ok(option) => options.push(option),
            Err(problem) => problems.push(problem),
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str, description: usize, default: usize) -> wit::OptionDescription {
        wit::OptionDescription {
            name: name.to_owned(),
            kind: wit::OptionType::Integer,
            accepts: "an integer".to_owned(),
            default: Some("d".repeat(default)),
            description: "x".repeat(description),
        }
    }

    fn error(declared: Vec<wit::OptionDescription>) -> String {
        let mut problems = Vec::new();
        descriptions(declared, &mut problems);
        assert_eq!(problems.len(), 1);
        problems[0].to_string()
    }

    #[test]
    fn valid_options_are_kept_in_their_order() {
        let declared = vec![option("limit", MAX_DESCRIPTION, 0), option("a", 1, 2)];
        let mut problems = Vec::new();
        let accepted = descriptions(declared, &mut problems);
        assert!(problems.is_empty());
        let names: Vec<_> = accepted.iter().map(|option| &*option.name).collect();
        assert_eq!(names, ["limit", "a"]);
        let last = &accepted[1];
        assert_eq!((last.ty, last.ty.name()), (OptionType::Integer, "integer"));
        assert_eq!((&*last.accepts, &*last.description), ("an integer", "x"));
        assert_eq!(last.default.as_deref(), Some("dd"));
    }

    #[test]
    fn invalid_options_are_errors() {
        assert_eq!(
            error(vec![option("Limit\u{1b}", 1, 1)]),
            "declares option 'Limit\\u{1b}', which is not a valid name; use [a-z][a-z0-9_]{0,31}"
        );
        assert_eq!(
            error(vec![
                option("a", 1, 1),
                option("b", 1, 1),
                option("a", 1, 1)
            ]),
            "declares option 'a' twice"
        );
        assert_eq!(
            error(vec![option("a", MAX_DESCRIPTION + 1, 1)]),
            "declares a description of an option of 4097 bytes; at most 4096 are accepted"
        );
        assert_eq!(
            error(vec![option("a", 1, MAX_DESCRIPTION + 1)]),
            "declares a default of an option of 4097 bytes; at most 4096 are accepted"
        );
        let many = (0..=MAX_OPTIONS).map(|n| option(&format!("o{n}"), 1, 1));
        let many: Vec<_> = many.collect();
        let mut problems = Vec::new();
        let accepted = descriptions(many[1..].to_vec(), &mut problems);
        assert_eq!((accepted.len(), problems.len()), (MAX_OPTIONS, 0));
        assert_eq!(
            error(many),
            "declares 129 options; at most 128 are accepted"
        );
    }
}
