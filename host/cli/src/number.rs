//! Numbers on the command line, each with its bounds.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Seconds in a year: more than anybody waits for.
pub(super) const YEAR: u64 = 365 * 24 * 60 * 60;

/// Reads a whole number in a range, and says which range it is where the text is something else.
pub(super) fn within<N>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static
where
    N: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            format!(
                "a whole number from {} to {} is accepted",
                range.start(),
                range.end()
            )
        })
    }
}
