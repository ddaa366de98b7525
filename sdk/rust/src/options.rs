//! What the operator may set.

use std::fmt::Write;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};

/// What the operator may set, from `key=value` on the command line. Derive it for a struct with a
/// field for each option, described by its doc comment; `()` takes no option.
///
/// `#[option(default = …)]` gives what stands where the operator says nothing; an `Option` is `None`
/// there, and anything else is required. An unknown key, a value that cannot be read, a missing or
/// repeated option are errors which name key and value and list what is accepted.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use flowloom_sdk::Options;
///
/// #[derive(Options)]
/// struct Opts {
///     /// Packets after which a flow ends.
///     #[option(default = 20)]
///     limit: NonZeroU32,
///     /// Count only packets of this port.
///     port: Option<u16>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a struct of options",
    note = "derive it: `#[derive(flowloom_sdk::Options)] struct Opts {{ … }}`, or use `()`"
)]
pub trait Options: Sized {
    /// What is accepted, in the order of the struct.
    const SPECS: &'static [OptionSpec];

    /// Reads options in the order in which they were given.
    fn parse(given: &[(String, String)]) -> Result<Self, String>;
}

/// One option that a plugin accepts.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its key on the command line.
    pub key: &'static str,
    /// The values that it accepts.
    pub accepts: &'static str,
    /// What stands where it is not given; none where it is required, empty where it is optional.
    pub default: Option<&'static str>,
    /// One sentence for people.
    pub description: &'static str,
}

/// A value of an option. Implement it for a type of your own, an enum for example.
///
/// ```
/// use flowloom_sdk::OptionValue;
///
/// enum Mode {
///     Bytes,
///     Packets,
/// }
///
/// impl OptionValue for Mode {
///     const ACCEPTS: &'static str = "`bytes` or `packets`";
///
///     fn parse(value: &str) -> Option<Self> {
///         match value {
///             "bytes" => Some(Mode::Bytes),
///             "packets" => Some(Mode::Packets),
///             _ => None,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of an option",
    label = "implement `flowloom_sdk::OptionValue` for it",
    note = "these have it: bool, integers, non-zero integers, f64, String, and an Option of each"
)]
pub trait OptionValue: Sized {
    /// What is accepted, for people: "an integer from 0 to 255".
    const ACCEPTS: &'static str;
    /// Whether the option may be left out without a default.
    #[doc(hidden)]
    const OPTIONAL: bool = false;

    /// Reads it; `None` for what is not accepted.
    fn parse(value: &str) -> Option<Self>;

    /// What stands where the option is left out without a default.
    #[doc(hidden)]
    fn absent() -> Option<Self> {
        None
    }
}

macro_rules! from_str {
    ($($type:ty => $accepts:literal;)+) => { $(
        impl OptionValue for $type {
            const ACCEPTS: &'static str = $accepts;
            fn parse(value: &str) -> Option<Self> {
                value.parse().ok()
            }
        }
    )+ };
}

from_str! {
    bool => "true or false";
    u8 => "an integer from 0 to 255";
    u16 => "an integer from 0 to 65535";
    u32 => "an integer from 0 to 4294967295";
    u64 => "an integer from 0 to 18446744073709551615";
    usize => "an integer from 0";
    i32 => "an integer from -2147483648 to 2147483647";
    i64 => "an integer from -9223372036854775808 to 9223372036854775807";
    NonZeroU16 => "an integer from 1 to 65535";
    NonZeroU32 => "an integer from 1 to 4294967295";
    NonZeroU64 => "an integer from 1 to 18446744073709551615";
    f64 => "a number";
    String => "a text";
}

impl<T: OptionValue> OptionValue for Option<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;
    const OPTIONAL: bool = true;

    fn parse(value: &str) -> Option<Self> {
        T::parse(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl Options for () {
    const SPECS: &'static [OptionSpec] = &[];

    fn parse(given: &[(String, String)]) -> Result<Self, String> {
        Given::new(given, Self::SPECS).map(|_| ())
    }
}

/// The given options, each known and given once.
#[doc(hidden)]
pub struct Given<'a> {
    options: &'a [(String, String)],
    specs: &'static [OptionSpec],
}

impl<'a> Given<'a> {
    pub fn new(
        options: &'a [(String, String)],
        specs: &'static [OptionSpec],
    ) -> Result<Self, String> {
        for (n, (key, _)) in options.iter().enumerate() {
            if !specs.iter().any(|spec| spec.key == key) {
                return Err(format!("there is no option `{key}`; {}", accepted(specs)));
            }
            if options[..n].iter().any(|(earlier, _)| earlier == key) {
                return Err(format!("option `{key}` is given twice"));
            }
        }
        Ok(Given { options, specs })
    }

    /// The value of the n-th option.
    pub fn take<T: OptionValue>(&self, n: usize) -> Result<T, String> {
        let spec = &self.specs[n];
        let given = self.options.iter().find(|(key, _)| key == spec.key);
        match (given, spec.default) {
            (Some((_, value)), _) => T::parse(value).ok_or_else(|| {
                format!(
                    "option `{}` must be {}, not {value:?}; {}",
                    spec.key,
                    T::ACCEPTS,
                    accepted(self.specs)
                )
            }),
            (None, Some(default)) if !T::OPTIONAL || !default.is_empty() => T::parse(default)
                .ok_or_else(|| {
                    format!(
                        "the default {default:?} of option `{}` is not {}",
                        spec.key,
                        T::ACCEPTS
                    )
                }),
            (None, _) => T::absent().ok_or_else(|| {
                format!("option `{}` is missing; {}", spec.key, accepted(self.specs))
            }),
        }
    }
}

/// What a plugin accepts, in one line.
fn accepted(specs: &[OptionSpec]) -> String {
    if specs.is_empty() {
        return "this plugin takes none".to_owned();
    }
    let mut line = String::from("this plugin takes");
    for (n, spec) in specs.iter().enumerate() {
        let _ = write!(
            line,
            "{} `{}` ({}",
            if n == 0 { "" } else { ";" },
            spec.key,
            spec.accepts
        );
        let _ = match spec.default {
            None => write!(line, ", required"),
            Some("") => write!(line, ", optional"),
            Some(default) => write!(line, ", default {default}"),
        };
        let _ = write!(line, "): {}", spec.description.trim_end_matches('.'));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[derive(Debug, PartialEq, Options)]
    struct Opts {
        /// Packets that count.
        #[option(default = 20)]
        limit: NonZeroU32,
        /// The only port.
        port: Option<u16>,
        /// Where to look.
        path: String,
        /// What to add.
        #[option(default = -1.5)]
        bias: f64,
    }

    fn parse(given: &[(&str, &str)]) -> Result<Opts, String> {
        let given: Vec<_> = given
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Opts::parse(&given)
    }

    const ACCEPTED: &str = "this plugin takes \
        `limit` (an integer from 1 to 4294967295, default 20): Packets that count; \
        `port` (an integer from 0 to 65535, optional): The only port; \
        `path` (a text, required): Where to look; \
        `bias` (a number, default -1.5): What to add";

    #[test]
    fn defaults_stand_where_nothing_is_given() {
        let limit = NonZeroU32::new(20).expect("not 0");
        assert_eq!(
            parse(&[("path", "a=b")]),
            Ok(Opts {
                limit,
                port: None,
                path: "a=b".to_owned(),
                bias: -1.5
            })
        );
    }

    #[test]
    fn given_values_are_read() {
        let limit = NonZeroU32::new(3).expect("not 0");
        assert_eq!(
            parse(&[("port", "53"), ("path", ""), ("limit", "3"), ("bias", "2")]),
            Ok(Opts {
                limit,
                port: Some(53),
                path: String::new(),
                bias: 2.0
            })
        );
    }

    #[test]
    fn errors_name_key_and_value_and_what_is_accepted() {
        for (given, wrong) in [
            (&[("lmit", "3")][..], "there is no option `lmit`"),
            (
                &[("limit", "0")],
                "option `limit` must be an integer from 1 to 4294967295, not \"0\"",
            ),
            (
                &[("port", "65536")],
                "option `port` must be an integer from 0 to 65535, not \"65536\"",
            ),
            (&[("port", "53")], "option `path` is missing"),
        ] {
            let given: Vec<_> = given.to_vec();
            // The first wrong option in the order of the struct is the one that is told.
            assert_eq!(parse(&given), Err(format!("{wrong}; {ACCEPTED}")));
        }
    }

    #[test]
    fn an_option_counts_once() {
        assert_eq!(
            parse(&[("path", "a"), ("path", "b")]),
            Err("option `path` is given twice".to_owned())
        );
    }

    #[test]
    fn a_plugin_without_options_says_so() {
        assert_eq!(
            <()>::parse(&[("n".to_owned(), "1".to_owned())]),
            Err("there is no option `n`; this plugin takes none".to_owned())
        );
    }
}
