//! Times and sizes on the command line, with their units.

use std::time::Duration;

/// Units of times, in seconds.
const TIMES: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400)];

/// Units of sizes, in bytes.
const SIZES: [(&str, u64); 8] = [
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Parses a time such as `5min` or `24h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = quantity(text, &TIMES);
    let seconds = seconds.ok_or("expected a time such as 30s, 5min, 24h or 7d")?;
    Ok(Duration::from_secs(seconds))
}

/// Parses a size such as `256MiB` or `2GB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let bytes = quantity(text, &SIZES);
    bytes.ok_or_else(|| "expected a size such as 256MiB or 2GB".to_owned())
}

/// Parses a whole number above 0 with one of the units, and returns their product.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(*factor).filter(|&product| product > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_with_a_unit() {
        for (text, seconds) in [("30s", 30), ("5min", 300), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, bytes) in [
            ("1kB", 1_000),
            ("256MiB", 256 << 20),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "5",
            "min",
            "0s",
            "5m",
            "5 min",
            "-5s",
            "1.5h",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["5", "0kB", "5mb", "9999999999999TiB", "24h"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
