//! The Arrow schema of flows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use flowloom_core::fields::Extract;
use flowloom_core::schema::{Column, Origin, Schema};
use flowloom_core::value::Type;

use super::layout::{ColumnSource, Layout, OutputColumns, SelectError};

/// The version of the Arrow schema. Within a version, columns are only added.
pub const SCHEMA_VERSION: &str = "1";

/// The key of the [version](SCHEMA_VERSION) in the metadata of an Arrow schema.
pub const SCHEMA_VERSION_KEY: &str = "flowloom.schema_version";

/// Returns the Arrow schema of flows with these columns.
///
/// | type of the column | Arrow type |
/// |---|---|
/// | boolean | `bool` |
/// | u8, u16 | `int32` |
/// | u32, u64, i64 | `int64` |
/// | float | `float64` |
/// | time | `timestamp[us, UTC]` |
/// | text | `utf8`; with few values `dictionary<int32, utf8>` |
/// | bytes | `binary` |
/// | list of integers, list of floats, list of texts | `list<int64>`, `list<float64>`, `list<utf8>` |
/// | JSON | `utf8` |
///
/// Integers are signed, because Spark refuses other integers. Columns of plugins, times and identifiers of flows are
/// nullable. The metadata of a field has its description, and its `unit`, `plugin` and `json` where they apply.
///
/// # Errors
///
/// Returns an error if a chosen column does not exist.
///
/// # Examples
///
/// ```
/// use flowloom::Settings;
/// use flowloom::columns::{OutputColumns, arrow_schema};
///
/// let schema = Settings::default().schema();
/// let arrow = arrow_schema(&schema, &OutputColumns::select(["dst_port"]))?;
/// assert_eq!(arrow.field(0).data_type().to_string(), "Int32");
/// # Ok::<(), flowloom::columns::SelectError>(())
/// ```
pub fn arrow_schema(schema: &Schema, columns: &OutputColumns) -> Result<SchemaRef, SelectError> {
    let layout = columns.layout(schema)?;
    Ok(of_layout(schema, &layout, Dictionaries::PerBatch))
}

/// The use of dictionaries for columns of text with few different values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dictionaries {
    /// Each record batch has its own dictionaries.
    PerBatch,
    /// Such columns are plain text.
    None,
}

/// Returns the Arrow schema of flows with this layout.
pub(super) fn of_layout(schema: &Schema, layout: &Layout, dictionaries: Dictionaries) -> SchemaRef {
    let columns = layout.columns(schema).zip(layout.sources());
    let fields: Vec<_> = columns
        .map(|(column, source)| {
            let has_dictionary = dictionaries == Dictionaries::PerBatch && has_few_values(source);
            field(&column, has_dictionary)
        })
        .collect();
    let version = (SCHEMA_VERSION_KEY.to_owned(), SCHEMA_VERSION.to_owned());
    Arc::new(ArrowSchema::new_with_metadata(
        fields,
        HashMap::from([version]),
    ))
}

fn field(column: &Column<'_>, has_dictionary: bool) -> Field {
    let mut metadata = HashMap::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            metadata.insert(key.to_owned(), value.to_owned());
        }
    };
    add("description", column.description);
    add("unit", column.unit);
    if column.ty == Type::Json {
        add("json", "true");
    }
    let is_nullable = match column.origin {
        Origin::Core(group) => column.ty == Type::Time || group.follows_end(),
        Origin::Plugin { plugin, .. } => {
            add("plugin", plugin);
            true
        }
        // `Origin` is not exhaustive.
        _ => true,
    };
    let mut ty = arrow_type(column.ty);
    if has_dictionary {
        ty = DataType::Dictionary(Box::new(DataType::Int32), Box::new(ty));
    }
    Field::new(column.name, ty, is_nullable).with_metadata(metadata)
}

/// Returns the Arrow type of a column of this type. Text with few different values is a dictionary of this type.
pub fn arrow_type(ty: Type) -> DataType {
    match ty {
        Type::Boolean => DataType::Boolean,
        Type::U8 | Type::U16 => DataType::Int32,
        Type::U32 | Type::U64 | Type::I64 => DataType::Int64,
        Type::Float => DataType::Float64,
        Type::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Text | Type::Json => DataType::Utf8,
        Type::Bytes => DataType::Binary,
        Type::Integers => DataType::new_list(DataType::Int64, true),
        Type::Floats => DataType::new_list(DataType::Float64, true),
        Type::Texts => DataType::new_list(DataType::Utf8, true),
    }
}

/// Returns whether a column of text has few different values, so that a dictionary makes it smaller.
fn has_few_values(source: &ColumnSource) -> bool {
    match source {
        ColumnSource::Feature { feature, .. } => {
            matches!(feature.value, Extract::Mac(_) | Extract::Oui(_))
                || matches!(
                    feature.name,
                    "application_name"
                        | "application_category_name"
                        | "source_file"
                        | "system_process_name"
                )
        }
        ColumnSource::Time(_) | ColumnSource::Udp(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::Settings;
    use flowloom_core::schema::UdpColumn;

    use super::*;

    #[test]
    fn columns_have_signed_types_and_their_definitions() {
        let output = |name, ty| UdpColumn::new("p", name, ty, "What it is.".into());
        let mut settings = Settings::default();
        (settings.statistical_analysis, settings.splt_analysis) = (true, 3);
        settings.n_dissections = 20;
        settings.identity_columns.community_id = true;
        settings.identity_columns.source_file = true;
        settings.identity_columns.system_process = true;
        let schema = settings.schema().with_udps(vec![
            output("data", Type::Json),
            output("list", Type::Floats),
            output("bytes", Type::Bytes),
        ]);
        let arrow = arrow_schema(&schema, &OutputColumns::all().with_times()).unwrap();
        assert_eq!(arrow.metadata()[SCHEMA_VERSION_KEY], "1");
        for (name, ty) in [
            ("id", "Int64"),
            ("community_id", "Utf8"),
            ("source_file", "Dictionary(Int32, Utf8)"),
            ("src_ip", "Utf8"),
            ("src_ip_is_private", "Boolean"),
            ("src_mac", "Dictionary(Int32, Utf8)"),
            ("dst_port", "Int32"),
            ("tunnel_id", "Int64"),
            ("first_seen", "Timestamp(µs, \"UTC\")"),
            ("bidirectional_mean_ps", "Float64"),
            ("splt_ps", "List(Int64)"),
            ("application_name", "Dictionary(Int32, Utf8)"),
            ("system_process_pid", "Int64"),
            ("system_process_name", "Dictionary(Int32, Utf8)"),
            ("udps.p.data", "Utf8"),
            ("udps.p.list", "List(Float64)"),
            ("udps.p.bytes", "Binary"),
        ] {
            let field = arrow.field_with_name(name).unwrap();
            assert_eq!(field.data_type().to_string(), ty, "{name}");
            assert!(field.metadata().contains_key("description"), "{name}");
            let is_of_plugin = name.starts_with("udps.");
            let may_be_null = ["first_seen", "community_id", "source_file"].contains(&name)
                || name.starts_with("system_process_");
            assert_eq!(field.is_nullable(), is_of_plugin || may_be_null, "{name}");
            assert_eq!(field.metadata().contains_key("plugin"), is_of_plugin);
        }
        let json = arrow.field_with_name("udps.p.data").unwrap().metadata();
        assert_eq!(json["json"], "true");
        let gap = arrow.field_with_name("bidirectional_min_piat_ms").unwrap();
        assert_eq!(gap.metadata()["unit"], "ms");
        let hashed = schema.with_hashes(|name| name == "src_port" || name == "src_mac");
        let arrow = arrow_schema(&hashed, &OutputColumns::all()).unwrap();
        assert_eq!(
            arrow.field_with_name("src_port").unwrap().data_type(),
            &DataType::Utf8
        );
    }
}
