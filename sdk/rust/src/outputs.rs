//! The columns that a plugin adds to every flow.

use crate::bindings::exports::flowloom::plugin::batch_feature::{
    FloatLists, IntegerLists, OutputColumn, TextLists, Texts, Values,
};
use crate::bindings::exports::flowloom::plugin::feature;
use crate::bindings::flowloom::plugin::manifest::ValueType;

/// The columns that a plugin adds to every flow. Derive it for a struct with one field per column.
///
/// - The name of the field is the name of the column: `[a-z][a-z0-9_]{0,31}`. A plugin has at most 128
///   columns.
/// - The doc comment of the field is the description of the column.
/// - The types are `bool`, the integers that fit `i64`, `f64`, `f32`, `String`, [`Bytes`],
///   `Vec<i64>`, `Vec<f64>`, `Vec<String>` and [`Json`]. Use an `Option` of one of them if a flow may have no value.
///
/// ```
/// use flowloom_sdk::Outputs;
///
/// #[derive(Outputs)]
/// struct Out {
///     /// Mean of `ip_size`, bytes.
///     mean: f64,
///     /// The first HTTP host seen.
///     host: Option<String>,
/// }
/// ```
///
/// A field without a doc comment is a compile error. A field of another type is a compile error, too:
///
/// ```compile_fail
/// # use flowloom_sdk::Outputs;
/// #[derive(Outputs)]
/// struct Out {
///     mean: f64,
/// }
/// ```
///
/// ```compile_fail
/// # use flowloom_sdk::Outputs;
/// #[derive(Outputs)]
/// struct Out {
///     /// Bytes of all packets.
///     bytes: u64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Outputs`",
    note = "derive it: `#[derive(flowloom_sdk::Outputs)] struct Out {{ /// Mean size, bytes. \n mean: f64 }}`"
)]
pub trait Outputs: Sized {
    /// The declared columns, in the order of the struct.
    const OUTPUTS: &'static [Output];
    #[doc(hidden)]
    type Columns;
    /// Creates columns with capacity for this number of flows.
    #[doc(hidden)]
    fn columns(flows: usize) -> Self::Columns;
    #[doc(hidden)]
    fn push(self, columns: &mut Self::Columns);
    #[doc(hidden)]
    fn finish(columns: Self::Columns) -> Vec<OutputColumn>;
    #[doc(hidden)]
    fn values(self) -> Vec<feature::Value>;
}

/// One declared output.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// The name of the column. The full name is `udps.<plugin>.<name>`.
    pub name: &'static str,
    /// The type of the values.
    #[doc(hidden)]
    pub kind: ValueType,
    /// One sentence for people that describes the value and gives its unit.
    pub description: &'static str,
}

/// Bytes as an output. Text formats write them in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// Text that is one JSON value, as an output. Flowloom validates it and writes it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json(pub String);

/// A type of output values.
#[diagnostic::on_unimplemented(
    message = "Flowloom has no output of type `{Self}`",
    label = "cannot be the type of an output",
    note = "outputs are bool, i64, u32 and smaller integers, f64, f32, String, Bytes, Vec<i64>, Vec<f64>, Vec<String>, Json, or an Option of one of these"
)]
pub trait OutputType: Sized {
    #[doc(hidden)]
    const KIND: ValueType;
    #[doc(hidden)]
    type Column;
    #[doc(hidden)]
    fn column(flows: usize) -> Self::Column;
    #[doc(hidden)]
    fn push(self, column: &mut Self::Column);
    /// Returns the value that a column contains in place of a null.
    #[doc(hidden)]
    fn nothing() -> Self;
    #[doc(hidden)]
    fn finish(column: Self::Column) -> Values;
    #[doc(hidden)]
    fn value(self) -> feature::Value;
}

/// An [`OutputType`], or an `Option` of one.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "Flowloom has no output of type `{Self}`",
    label = "cannot be the type of an output",
    note = "outputs are bool, i64, u32 and smaller integers, f64, f32, String, Bytes, Vec<i64>, Vec<f64>, Vec<String>, Json, or an Option of one of these"
)]
pub trait OutputField: Sized {
    const KIND: ValueType;
    type Column;
    fn column(flows: usize) -> Self::Column;
    fn push(self, column: &mut Self::Column);
    fn finish(column: Self::Column) -> OutputColumn;
    fn value(self) -> feature::Value;
}

#[diagnostic::do_not_recommend]
impl<T: OutputType> OutputField for T {
    const KIND: ValueType = T::KIND;
    type Column = T::Column;

    fn column(flows: usize) -> Self::Column {
        T::column(flows)
    }

    fn push(self, column: &mut Self::Column) {
        OutputType::push(self, column);
    }

    fn finish(column: Self::Column) -> OutputColumn {
        OutputColumn {
            values: T::finish(column),
            valid: Vec::new(),
        }
    }

    fn value(self) -> feature::Value {
        OutputType::value(self)
    }
}

impl<T: OutputType> OutputField for Option<T> {
    const KIND: ValueType = T::KIND;
    type Column = (T::Column, Vec<u8>);

    fn column(flows: usize) -> Self::Column {
        (T::column(flows), Vec::with_capacity(flows))
    }

    fn push(self, (column, valid): &mut Self::Column) {
        valid.push(self.is_some().into());
        self.unwrap_or_else(T::nothing).push(column);
    }

    fn finish((column, valid): Self::Column) -> OutputColumn {
        OutputColumn {
            values: T::finish(column),
            valid,
        }
    }

    fn value(self) -> feature::Value {
        self.map_or(feature::Value::Null, OutputType::value)
    }
}

macro_rules! scalars {
    ($($type:ty => $kind:ident, $values:ident($element:ty), $case:ident;)+) => { $(
        impl OutputType for $type {
            const KIND: ValueType = ValueType::$kind;
            type Column = Vec<$element>;

            fn column(flows: usize) -> Self::Column {
                Vec::with_capacity(flows)
            }

            fn push(self, column: &mut Self::Column) {
                column.push(self.into());
            }

            fn nothing() -> Self {
                Self::default()
            }

            fn finish(column: Self::Column) -> Values {
                Values::$values(column)
            }

            fn value(self) -> feature::Value {
                feature::Value::$case(self.into())
            }
        }
    )+ };
}

scalars! {
    bool => Boolean, Booleans(u8), Boolean;
    i8 => Integer, Integers(i64), Integer;
    i16 => Integer, Integers(i64), Integer;
    i32 => Integer, Integers(i64), Integer;
    i64 => Integer, Integers(i64), Integer;
    u8 => Integer, Integers(i64), Integer;
    u16 => Integer, Integers(i64), Integer;
    u32 => Integer, Integers(i64), Integer;
    f32 => Float, Floats(f64), Float;
    f64 => Float, Floats(f64), Float;
}

/// Concatenated values of variable length.
#[doc(hidden)]
pub struct Runs<T> {
    values: Vec<T>,
    ends: Vec<u32>,
}

impl<T: Clone> Runs<T> {
    fn new(runs: usize) -> Self {
        Runs {
            values: Vec::new(),
            ends: Vec::with_capacity(runs),
        }
    }

    fn push(&mut self, run: &[T]) {
        self.values.extend_from_slice(run);
        self.ends.push(length(&self.values));
    }
}

fn length<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).expect("the outputs of a batch have fewer than 2^32 elements")
}

impl Runs<u8> {
    fn texts(self) -> Texts {
        Texts {
            bytes: self.values,
            ends: self.ends,
        }
    }
}

macro_rules! runs {
    ($($type:ty => $kind:ident, [$element:ty], |$v:ident| $slice:expr, |$c:ident| $finish:expr, $value:expr;)+) => { $(
        impl OutputType for $type {
            const KIND: ValueType = ValueType::$kind;
            type Column = Runs<$element>;

            fn column(flows: usize) -> Self::Column {
                Runs::new(flows)
            }

            fn push(self, column: &mut Self::Column) {
                let $v = &self;
                column.push($slice);
            }

            fn nothing() -> Self {
                Self::default()
            }

            fn finish($c: Self::Column) -> Values {
                $finish
            }

            fn value(self) -> feature::Value {
                let $v = self;
                $value
            }
        }
    )+ };
}

runs! {
    String => Text, [u8], |v| v.as_bytes(), |c| Values::Texts(c.texts()), feature::Value::Text(v);
    Bytes => Bytes, [u8], |v| &v.0, |c| Values::Bytes(c.texts()), feature::Value::Bytes(v.0);
    Json => Json, [u8], |v| v.0.as_bytes(), |c| Values::Jsons(c.texts()), feature::Value::Json(v.0);
    Vec<i64> => Integers, [i64], |v| v,
        |c| Values::IntegerLists(IntegerLists { values: c.values, ends: c.ends }), feature::Value::Integers(v);
    Vec<f64> => Floats, [f64], |v| v,
        |c| Values::FloatLists(FloatLists { values: c.values, ends: c.ends }), feature::Value::Floats(v);
}

impl OutputType for Vec<String> {
    const KIND: ValueType = ValueType::Texts;
    /// The texts of all lists, and the end of each list.
    type Column = (Runs<u8>, Vec<u32>);

    fn column(flows: usize) -> Self::Column {
        (Runs::new(0), Vec::with_capacity(flows))
    }

    fn push(self, (texts, ends): &mut Self::Column) {
        for text in &self {
            texts.push(text.as_bytes());
        }
        ends.push(length(&texts.ends));
    }

    fn nothing() -> Self {
        Vec::new()
    }

    fn finish((texts, ends): Self::Column) -> Values {
        Values::TextLists(TextLists {
            texts: texts.texts(),
            ends,
        })
    }

    fn value(self) -> feature::Value {
        feature::Value::Texts(self)
    }
}

impl Outputs for () {
    const OUTPUTS: &'static [Output] = &[];
    type Columns = ();
    fn columns(_: usize) {}
    fn push(self, (): &mut ()) {}
    fn finish((): ()) -> Vec<OutputColumn> {
        Vec::new()
    }
    fn values(self) -> Vec<feature::Value> {
        Vec::new()
    }
}
