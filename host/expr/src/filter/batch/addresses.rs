//! IP addresses of all rows.

use std::net::IpAddr;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, StringArray};
use arrow_schema::ArrowError;
use arrow_select::take::take;

/// The addresses of a column, parsed from text.
pub(super) enum Addresses {
    /// One for each row.
    Rows(Vec<Option<IpAddr>>),
    /// One for each value of a dictionary.
    Dictionary {
        values: Vec<Option<IpAddr>>,
        column: ArrayRef,
    },
    /// One for all rows.
    Constant(IpAddr),
}

impl Addresses {
    /// Parses the texts of a column of the type `Utf8`, or of a dictionary of it. Other texts than addresses are null.
    pub(super) fn parse(column: &ArrayRef) -> Self {
        match column.as_any_dictionary_opt() {
            Some(dictionary) => Self::Dictionary {
                values: parse(dictionary.values().as_string()),
                column: column.clone(),
            },
            None => Self::Rows(parse(column.as_string())),
        }
    }

    /// Returns whether the address of each row satisfies `test`. The result for a constant has one row.
    pub(super) fn test(&self, test: impl Fn(IpAddr) -> bool) -> Result<BooleanArray, ArrowError> {
        let test_all = |addresses: &[Option<IpAddr>]| -> BooleanArray {
            let results = addresses.iter().map(|address| address.map(&test));
            results.collect()
        };
        match self {
            Self::Rows(addresses) => Ok(test_all(addresses)),
            Self::Constant(address) => Ok(test_all(&[Some(*address)])),
            Self::Dictionary { values, column } => {
                let keys = column.as_any_dictionary().keys();
                Ok(take(&test_all(values), keys, None)?.as_boolean().clone())
            }
        }
    }

    /// Returns whether the two addresses of each row satisfy `test`, which is symmetric.
    pub(super) fn test_pairs(
        &self,
        other: &Self,
        test: impl Fn(IpAddr, IpAddr) -> bool,
    ) -> Result<BooleanArray, ArrowError> {
        match (self, other) {
            (Self::Constant(constant), rows) | (rows, Self::Constant(constant)) => {
                rows.test(|address| test(address, *constant))
            }
            (left, right) => {
                let pairs = left.rows().into_iter().zip(right.rows());
                Ok(pairs
                    .map(|(left, right)| Some(test(left?, right?)))
                    .collect())
            }
        }
    }

    /// Returns one address for each row.
    fn rows(&self) -> Vec<Option<IpAddr>> {
        match self {
            Self::Rows(addresses) => addresses.clone(),
            Self::Constant(address) => vec![Some(*address)],
            Self::Dictionary { values, column } if values.is_empty() => vec![None; column.len()],
            Self::Dictionary { values, column } => {
                let keys = column.as_any_dictionary().normalized_keys();
                let rows = keys.into_iter().enumerate();
                rows.map(|(row, key)| values[key].filter(|_| column.is_valid(row)))
                    .collect()
            }
        }
    }
}

fn parse(texts: &StringArray) -> Vec<Option<IpAddr>> {
    texts.iter().map(|text| text?.parse().ok()).collect()
}
