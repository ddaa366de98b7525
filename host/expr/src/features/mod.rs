//! The language of features: columns that are computed from the packets of each flow.
//!
//! ```text
//! language 1
//! about "Sizes and pauses"
//!
//! let gap = iat
//! runs burst = src2dst where payload_size > 0 break when iat > 1s
//!
//! big       = count(where ip_size > 1000)      # Packets of more than 1000 bytes.
//! up_mean   = mean(ip_size, src2dst)           # Mean IP size upstream, bytes.
//! pauses    = mean(gap where gap > 5s) in ms   # Mean pause of more than 5 s, ms.
//! per_burst = mean(sum(payload_size) per burst)
//! ```
//!
//! A statement ends with its line, unless a bracket is open or the next line begins with an operator. The comment on
//! the lines of a feature is its description. There are no loops and no functions of users: a program always ends,
//! and its state is known before it runs.
//!
//! # Levels
//!
//! A value is a constant, or it belongs to a packet, to a run, or to a flow. A feature belongs to a flow.
//!
//! - A packet has the packet fields of plugins that are numbers or flags, and `time`, `iat` (`delta(time)`), `age` (time
//!   since the flow's first packet), `index` (from 1), `payload`, `src2dst` and `dst2src`.
//! - An aggregate turns values of packets into one of the flow. It sees the packets of its direction, then those for
//!   which `where` is true, then the `first N` of them that have a value.
//! - `prev`, `delta`, `changed` and `iat` are relative to the packets that are seen where they stand. These are the
//!   aggregate's selected packets, those of a `let`, or those of `runs`. In `where` they are not accepted.
//! - `runs` divides selected packets: a run begins with the first of them, and where `break when` is true. In
//!   `AGGREGATE(value per NAME where …)` the value and `where` are of a run, and contain aggregates over its packets.
//! - A flow has flow fields, which are read at its end.
//!
//! # Types
//!
//! | type | values | column |
//! |---|---|---|
//! | boolean | flags, comparisons | boolean |
//! | integer | 64 bits, with an interval | i64 |
//! | float | finite | float |
//! | time | whole nanoseconds; a float after a mean | float, in the unit behind `in` |
//! | point in time | `time` | none: the difference of two is a time |
//! | bytes | up to a known length | bytes |
//! | list | integers, floats or times, up to a known length | integers, floats |
//!
//! - `/` gives a float. `//` and `%` are for whole numbers, and round down.
//! - Integers are exact. The checker refuses an expression whose interval exceeds ±(2^63 − 1), and a sum that could
//!   exceed it within 2^32 packets. Sizes count as at most 2^31 − 1 bytes, so that every sum of sizes is exact.
//! - Times stop at ±(2^63 − 1) ns, which are 292 years. Counts stop at 2^32 − 1.
//! - Variances of whole numbers are (n Σx² − (Σx)²) / (n (n − 1)) with an exact numerator of up to 127 bits. Σx² stops at
//!   2^64 − 1 if x is from 0 to 2^32 − 1. Variances of floats are computed by Welford's method.
//!
//! # Null
//!
//! The value before the first one, bytes behind the end of a payload, a division by zero, and a float that would be
//! infinite or no number are null. Operations with null give null, except for `and`, `or` (Kleene's logic) and `??`.
//! Aggregates skip null. Of nothing, `count`, `sum` and `distinct` are 0, `any` is false, `all` is true, `hist` has
//! zeros, and `list` and `head` are empty; all others are null. `nulls 0` replaces null in columns of numbers.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | `interpret` | the values of a program by their definitions: the specification of a compiler |
//! | `check` | from syntax trees to typed programs |
//! | `program` | what a program asks for, and its outputs |
//! | `graph` | values, streams and accumulators, each once; the state of a flow |
//! | `foreign` | names of other programs, for messages |
//! | `names`, `types` | names with the types of fields; intervals |
//! | `parse`, `lines`, `print` | from text to syntax trees, and back |
//! | `ast` | syntax trees |

mod ast;
mod check;
mod compile;
mod foreign;
mod graph;
mod interpret;
mod lines;
mod names;
mod parse;
mod print;
mod program;
#[cfg(test)]
mod tests;
mod types;
mod value;

pub use ast::Unit;
pub use compile::CompileError;
pub use compile::SECTION;
pub use interpret::Packet;
pub use program::{Limits, Output, Program};

use crate::diagnostic::ExprError;

/// The maximum number of errors that are reported.
const MAX_ERRORS: usize = 10;

impl Program {
    /// Parses and checks the text of features.
    ///
    /// `origin` is the name of the text in messages: a file or an option.
    ///
    /// # Examples
    ///
    /// ```
    /// use flowloom_expr::features::{Limits, Program};
    ///
    /// let text = "gets = count(where starts(payload, \"GET \"))  # HTTP requests.";
    /// let program = Program::parse("http.features", text, &Limits::default())?;
    /// assert_eq!(program.outputs()[0].description, "HTTP requests.");
    /// assert_eq!(program.grants(), ["payload:4"]);
    /// assert_eq!(program.state_bytes(), 16);
    /// # Ok::<(), flowloom_expr::ExprError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The text has an error, or needs more than `limits` allow. The error shows each place, at most ten.
    pub fn parse(origin: &str, text: &str, limits: &Limits) -> Result<Self, ExprError> {
        let (file, mut errors) = parse::parse(text);
        match check::check(&file, limits, errors.is_empty()) {
            Ok(program) if errors.is_empty() => {
                return Ok(Self {
                    text: text.to_owned(),
                    ..program
                });
            }
            Ok(_) => (),
            Err(more) => errors.extend(more),
        }
        errors.sort_by_key(|error| error.span.start);
        errors.truncate(MAX_ERRORS);
        Err(ExprError::new(origin, text, errors))
    }
}
