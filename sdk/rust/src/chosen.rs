//! Flow fields that are selected at run time, by an option.

use crate::FlowFields;
use crate::bindings::exports::flowloom::plugin::batch_feature::Column;
use crate::bindings::exports::flowloom::plugin::feature::Value;
use crate::fields::{EventValues, FieldType, FlowColumns, record};

/// Flow fields that depend on the options or on what the run has, for example the inputs of a model.
///
/// Use it instead of a [`FlowFields`] struct. The plugin returns the names of the fields from
/// [`Plugin::at_init`](crate::Plugin::at_init), [`at_update`](crate::Plugin::at_update) or
/// [`at_expire`](crate::Plugin::at_expire).
///
/// ```
/// # use flowloom_sdk::{Chosen, Options, Outputs, Plugin};
/// #[derive(Options)]
/// struct Opts {
///     /// The flow field to read as a float.
///     field: String,
/// }
///
/// #[derive(Outputs)]
/// struct Out {
///     /// The field's value.
///     value: f64,
/// }
///
/// struct AsFloat {
///     field: String,
/// }
///
/// #[flowloom_sdk::plugin]
/// impl Plugin for AsFloat {
///     const DESCRIPTION: &'static str = "A flow field as a float.";
///     type Options = Opts;
///     type AtExpire<'a> = Chosen<'a>;
///     type Outputs = Out;
///
///     fn open(Opts { field }: Opts) -> Result<Self, String> {
///         Ok(AsFloat { field })
///     }
///
///     fn at_expire(&self) -> Vec<String> {
///         vec![self.field.clone()]
///     }
///
///     fn init(&mut self, _: &(), _: &()) {}
///
///     fn update(&mut self, (): &mut (), _: &(), _: &()) {}
///
///     fn expire(&mut self, (): (), flow: &Chosen<'_>) -> Out {
///         Out { value: flow.number(0) }
///     }
/// }
/// # fn main() {}
/// ```
#[derive(Clone, Copy)]
pub struct Chosen<'a>(From<'a>);

#[derive(Clone, Copy)]
enum From<'a> {
    Columns(FlowColumns<'a>, usize),
    Record(&'a [Value]),
    Numbers(&'a [f64]),
}

impl<'a> Chosen<'a> {
    /// Creates fields with these values, for the tests of a plugin.
    pub fn of(numbers: &'a [f64]) -> Self {
        Chosen(From::Numbers(numbers))
    }

    /// Returns field `n`, counted from 0. `T` must be exactly the type that the field has in
    /// Flowloom. The text of a panic contains `name`.
    ///
    /// # Panics
    ///
    /// Panics if the field has another type, or if there is no field `n`.
    pub fn get<T: FieldType<'a>>(&self, n: usize, name: &str) -> T {
        match self.0 {
            From::Columns(source, row) => T::get(&source.field::<T>(n, name), row),
            From::Record(fields) => {
                let rest = fields.get(n..).unwrap_or_default();
                record::next(&mut EventValues::listed(rest), name)
            }
            From::Numbers(_) => no_number(n),
        }
    }

    /// Returns field `n`, counted from 0, as a float. A boolean is 0 or 1. Integers of 2^53 and more
    /// are rounded.
    ///
    /// # Panics
    ///
    /// Panics if the field is a text or a list, or if there is no field `n`.
    #[inline]
    pub fn number(&self, n: usize) -> f64 {
        match self.0 {
            From::Columns(source, row) => match source.columns.get(n) {
                Some(Column::U8s(values)) => values[row].into(),
                Some(Column::U16s(values)) => values[row].into(),
                Some(Column::U32s(values)) => values[row].into(),
                Some(Column::U64s(values)) => values[row] as f64,
                Some(Column::S64s(values)) => values[row] as f64,
                Some(Column::F64s(values)) => values[row],
                _ => no_number(n),
            },
            From::Record(values) => match values.get(n) {
                Some(Value::Boolean(value)) => f64::from(u8::from(*value)),
                Some(Value::Integer(value)) => *value as f64,
                Some(Value::Float(value)) => *value,
                Some(Value::Null) => 0.0,
                _ => no_number(n),
            },
            From::Numbers(numbers) => numbers[n],
        }
    }
}

#[cold]
fn no_number(n: usize) -> ! {
    panic!("the chosen flow field {n} (counted from 0) is missing or is not a number")
}

impl<'a> FlowFields<'a> for Chosen<'a> {
    /// Empty: the methods of the plugin return the names.
    const NAMES: &'static [&'static str] = &[];
    type Columns = FlowColumns<'a>;

    fn columns(source: FlowColumns<'a>) -> Self::Columns {
        source
    }

    #[inline]
    fn row(source: &Self::Columns, row: usize) -> Self {
        Chosen(From::Columns(*source, row))
    }

    fn record(values: &mut EventValues<'a>) -> Self {
        Chosen(From::Record(values.take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::flowloom::plugin::batch_feature::Texts;
    use crate::bindings::exports::flowloom::plugin::feature;

    #[test]
    fn both_worlds_give_the_same_values() {
        let columns = [
            Column::U64s(vec![1, 2]),
            Column::Texts(Texts {
                bytes: b"onetwo".to_vec(),
                ends: vec![3, 6],
            }),
            Column::U8s(vec![0, 1]),
        ];
        let batch = FlowColumns {
            columns: &columns,
            rows: 2,
        };
        let fields = [
            feature::Value::Integer(2),
            feature::Value::Text("two".to_owned()),
            feature::Value::Boolean(true),
        ];
        for flow in [
            Chosen::row(&batch, 1),
            Chosen::record(&mut EventValues::listed(&fields)),
        ] {
            assert_eq!(flow.get::<u64>(0, "number"), 2);
            assert_eq!(flow.get::<&str>(1, "text"), "two");
            assert!(flow.get::<bool>(2, "flag"));
        }
    }

    #[test]
    #[should_panic(
        expected = "Flowloom gave the field `number` as Value::Integer(2), but this plugin reads texts"
    )]
    fn a_wrong_type_panics_with_the_name() {
        let fields = [feature::Value::Integer(2)];
        Chosen::record(&mut EventValues::listed(&fields)).get::<&str>(0, "number");
    }
}
