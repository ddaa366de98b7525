//! The options of a plugin, which the operator sets.

use std::fmt::Write;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use crate::bindings::flowloom::plugin::manifest::OptionType;

/// The options of a plugin, given as `key=value` on the command line. Derive it for a struct with one
/// field per option. The doc comment of a field is the description of the option. `()` accepts no
/// option.
///
/// If the operator does not give an option:
///
/// - The value in `#[option(default = …)]` applies.
/// - Without a default, an `Option` is `None`.
/// - Every other option is required.
///
/// An unknown key, an invalid value, and a missing or repeated option are errors. The error names
/// the key, and the value where there is one. All but the one for a repeated option also list the
/// options that the plugin accepts.
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
    message = "`{Self}` does not implement `Options`",
    note = "derive it: `#[derive(flowloom_sdk::Options)] struct Opts {{ … }}`, or use `()`"
)]
pub trait Options: Sized {
    /// The accepted options, in the order of the struct.
    const SPECS: &'static [OptionSpec];

    /// Parses the given options, in the order in which the operator gave them.
    ///
    /// # Errors
    ///
    /// Returns a text for the operator about the first invalid option.
    fn parse(given: &[(String, String)]) -> Result<Self, String>;
}

/// One option that a plugin accepts.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The key on the command line.
    pub key: &'static str,
    /// The type of the value.
    #[doc(hidden)]
    pub kind: OptionType,
    /// A description of the accepted values.
    pub accepts: &'static str,
    /// The default value. `None` if the option is required, empty if it is optional.
    pub default: Option<&'static str>,
    /// One sentence for people that describes the option.
    pub description: &'static str,
}

/// A type of option values. Implement it for your own types, for example for an enum.
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
    message = "`{Self}` cannot be the type of an option",
    label = "implement `flowloom_sdk::OptionValue` for it",
    note = "these types implement it: bool, integers, non-zero integers, f64, String, and an Option of each"
)]
pub trait OptionValue: Sized {
    /// A description of the accepted values for people: "an integer from 0 to 255".
    const ACCEPTS: &'static str;
    /// The type of the value in the contract.
    #[doc(hidden)]
    const KIND: OptionType = OptionType::Text;
    /// Whether the option may be omitted although it has no default.
    #[doc(hidden)]
    const OPTIONAL: bool = false;

    /// Parses a value. Returns `None` if the value is not accepted.
    fn parse(value: &str) -> Option<Self>;

    /// Returns the value of an omitted option without a default. `None` if the option is required.
    #[doc(hidden)]
    fn absent() -> Option<Self> {
        None
    }

    /// Parses option `n` of the given options.
    #[doc(hidden)]
    fn take(given: &Given<'_>, n: usize) -> Result<Self, String> {
        given.take(n)
    }
}

macro_rules! from_str {
    ($($type:ty => $kind:ident, $accepts:literal;)+) => { $(
        impl OptionValue for $type {
            const ACCEPTS: &'static str = $accepts;
            const KIND: OptionType = OptionType::$kind;
            fn parse(value: &str) -> Option<Self> {
                value.parse().ok()
            }
        }
    )+ };
}

from_str! {
    bool => Boolean, "true or false";
    u8 => Integer, "an integer from 0 to 255";
    u16 => Integer, "an integer from 0 to 65535";
    u32 => Integer, "an integer from 0 to 4294967295";
    u64 => Integer, "an integer from 0 to 18446744073709551615";
    usize => Integer, "an integer from 0";
    i32 => Integer, "an integer from -2147483648 to 2147483647";
    i64 => Integer, "an integer from -9223372036854775808 to 9223372036854775807";
    NonZeroU16 => Integer, "an integer from 1 to 65535";
    NonZeroU32 => Integer, "an integer from 1 to 4294967295";
    NonZeroU64 => Integer, "an integer from 1 to 18446744073709551615";
    f64 => Float, "a number";
    String => Text, "a text";
}

impl<T: OptionValue> OptionValue for Option<T> {
    const ACCEPTS: &'static str = T::ACCEPTS;
    const KIND: OptionType = T::KIND;
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

/// The given options. Every key is known and occurs once.
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
                return Err(format!("unknown option `{key}`; {}", accepted(specs)));
            }
            if options[..n].iter().any(|(earlier, _)| earlier == key) {
                return Err(format!("option `{key}` is given twice"));
            }
        }
        Ok(Given { options, specs })
    }

    /// Parses the value of option `n`.
    fn take<T: OptionValue>(&self, n: usize) -> Result<T, String> {
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

/// Lists the options that a plugin accepts, in one line.
fn accepted(specs: &[OptionSpec]) -> String {
    if specs.is_empty() {
        return "this plugin accepts no options".to_owned();
    }
    let mut line = String::from("this plugin accepts");
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

    const ACCEPTED: &str = "this plugin accepts \
        `limit` (an integer from 1 to 4294967295, default 20): Packets that count; \
        `port` (an integer from 0 to 65535, optional): The only port; \
        `path` (a text, required): Where to look; \
        `bias` (a number, default -1.5): What to add";

    #[test]
    fn omitted_options_have_their_defaults() {
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
    fn given_values_are_parsed() {
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
    fn errors_name_the_key_the_value_and_the_accepted_options() {
        for (given, wrong) in [
            (&[("lmit", "3")][..], "unknown option `lmit`"),
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
            // The error is about the first invalid option in the order of the struct.
            assert_eq!(parse(&given), Err(format!("{wrong}; {ACCEPTED}")));
        }
    }

    #[test]
    fn a_repeated_option_is_an_error() {
        assert_eq!(
            parse(&[("path", "a"), ("path", "b")]),
            Err("option `path` is given twice".to_owned())
        );
    }

    #[test]
    fn a_plugin_without_options_accepts_none() {
        assert_eq!(
            <()>::parse(&[("n".to_owned(), "1".to_owned())]),
            Err("unknown option `n`; this plugin accepts no options".to_owned())
        );
    }
}
