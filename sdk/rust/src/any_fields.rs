//! Fields of a flow that are known only when a plugin is opened.

use crate::bindings::exports::flowloom::plugin::feature;
use crate::fields::{FieldType, FlowColumns, record};
use crate::{FlowFields, Plugin};

/// A flow at its end, with the fields that [`Plugin::expire_fields`] names, for a plugin that asks for
/// other ones by its options. Where they are always the same, derive [`FlowFields`].
pub struct AnyFields<'a>(Source<'a>);

enum Source<'a> {
    Columns(FlowColumns<'a>, usize),
    Record(&'a [feature::Value]),
}

impl<'a> AnyFields<'a> {
    /// The n-th field, whose name is said where it is not of this type: the very one that it has in
    /// Flowloom.
    pub fn get<T: FieldType<'a>>(&self, n: usize, name: &str) -> T {
        match &self.0 {
            Source::Columns(columns, row) => T::get(&columns.field::<T>(n, name), *row),
            Source::Record(fields) => record::next(&mut fields.iter().skip(n), name),
        }
    }
}

impl<'a> FlowFields<'a> for AnyFields<'a> {
    /// None: they are those of [`Plugin::expire_fields`].
    const NAMES: &'static [&'static str] = &[];
    type Columns = FlowColumns<'a>;

    fn columns(source: FlowColumns<'a>) -> FlowColumns<'a> {
        source
    }

    fn row(columns: &FlowColumns<'a>, row: usize) -> Self {
        AnyFields(Source::Columns(*columns, row))
    }

    fn record(fields: &'a [feature::Value]) -> Self {
        AnyFields(Source::Record(fields))
    }
}

/// The names of a plugin's [`AtExpire`](Plugin::AtExpire).
pub(crate) fn expire_fields<P: Plugin>() -> Vec<String> {
    let names = <P::AtExpire<'static> as FlowFields>::NAMES;
    names.iter().map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::flowloom::plugin::batch_feature::{Column, Texts};

    #[test]
    fn both_worlds_show_the_same() {
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
        for flow in [AnyFields::row(&batch, 1), AnyFields::record(&fields)] {
            assert_eq!(flow.get::<u64>(0, "number"), 2);
            assert_eq!(flow.get::<&str>(1, "text"), "two");
            assert!(flow.get::<bool>(2, "flag"));
        }
    }

    #[test]
    #[should_panic(
        expected = "Flowloom gave the field `number` as Value::Integer(2), while this plugin reads texts"
    )]
    fn another_type_is_told_with_the_name() {
        let fields = [feature::Value::Integer(2)];
        AnyFields::record(&fields).get::<&str>(0, "number");
    }
}
