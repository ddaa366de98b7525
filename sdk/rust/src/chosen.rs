//! Flow fields that an option names.

use crate::FlowFields;
use crate::bindings::exports::flowloom::plugin::batch_feature::Column;
use crate::bindings::exports::flowloom::plugin::feature::Value;
use crate::fields::FlowColumns;

/// Flow fields that only the options say: a model's, for example. In the place of a
/// [`FlowFields`] struct, with the names given by [`Plugin::at_init`](crate::Plugin::at_init),
/// [`at_update`](crate::Plugin::at_update) or [`at_expire`](crate::Plugin::at_expire).
///
/// ```
/// # use flowloom_sdk::{Chosen, Options, Outputs, Plugin};
/// #[derive(Options)]
/// struct Opts {
///     /// A flow field, which is given as a float.
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
/// impl Plugin for AsFloat {
///     const DESCRIPTION: &'static str = "A flow field as a float.";
///     type Options = Opts;
///     type Packet<'a> = ();
///     type AtInit<'a> = ();
///     type AtUpdate<'a> = ();
///     type AtExpire<'a> = Chosen<'a>;
///     type State = ();
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
///
/// flowloom_sdk::export!(AsFloat);
/// # fn main() {}
/// ```
#[derive(Clone, Copy)]
pub struct Chosen<'a>(From<'a>);

#[derive(Clone, Copy)]
enum From<'a> {
    Columns(&'a [Column], usize),
    Record(&'a [Value]),
    Numbers(&'a [f64]),
}

impl<'a> Chosen<'a> {
    /// Fields with these values: for tests of a plugin.
    pub fn of(numbers: &'a [f64]) -> Self {
        Chosen(From::Numbers(numbers))
    }

    /// The value of the n-th field: a number, or 0 or 1 for a boolean. Integers from 2^53 on are rounded.
    ///
    /// # Panics
    ///
    /// Where the field is a text or a list, or there is no n-th one.
    #[inline]
    pub fn number(&self, n: usize) -> f64 {
        match self.0 {
            From::Columns(columns, row) => match columns.get(n) {
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
    panic!("the chosen flow field {n} (counted from 0) is not a number")
}

impl<'a> FlowFields<'a> for Chosen<'a> {
    /// The plugin's methods give them.
    const NAMES: &'static [&'static str] = &[];
    type Columns = FlowColumns<'a>;

    fn columns(source: FlowColumns<'a>) -> Self::Columns {
        source
    }

    #[inline]
    fn row(source: &Self::Columns, row: usize) -> Self {
        Chosen(From::Columns(source.columns, row))
    }

    fn record(fields: &'a [Value]) -> Self {
        Chosen(From::Record(fields))
    }
}
