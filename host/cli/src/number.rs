//! Numbers on the command line, with their ranges.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A year, in seconds. The longest interval that is accepted.
pub(super) const YEAR: u64 = 365 * 24 * 60 * 60;

/// Returns a parser of whole numbers in a range. Its error names the range.
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
