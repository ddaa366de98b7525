//! The choice of the columns of an output.

use std::fmt;

use flowloom_core::fields::{FEATURES, Feature, Group};
use flowloom_core::schema::{Column, Schema};

/// The columns of an output, in order.
///
/// By default, an output has all columns of the flows. Chosen columns can also be those of the group
/// [`Time`](Group::Time): `first_seen` and `last_seen`.
///
/// # Examples
///
/// ```
/// use flowloom::columns::OutputColumns;
/// use flowloom::Settings;
///
/// let schema = Settings::default().schema();
/// let columns = OutputColumns::select(["dst_port", "src_ip"]);
/// assert_eq!(columns.names(&schema)?, ["dst_port", "src_ip"]);
/// let error = OutputColumns::select(["src_pi"]).names(&schema).unwrap_err();
/// assert!(error.to_string().contains("did you mean 'src_ip'"));
/// # Ok::<(), flowloom::columns::SelectError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputColumns {
    /// The names of the chosen columns. `None` means all.
    selected: Option<Vec<String>>,
    /// Whether `first_seen` and `last_seen` are among all columns.
    has_times: bool,
}

/// The error of a choice of columns that flows do not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A column does not exist.
    #[error("cannot select column {0}")]
    Unknown(#[from] UnknownColumn),
    /// A column was chosen twice.
    #[error("cannot select column '{}' twice", .0.escape_debug())]
    Twice(String),
    /// No column was chosen.
    #[error("cannot write flows without columns; select at least one")]
    Empty,
}

/// The error of a column that flows do not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}': {}", column.escape_debug(), Reason(self))]
pub struct UnknownColumn {
    /// The name of the column.
    pub column: String,
    /// The condition under which flows have this column, or `None` if it is not a field of flows.
    pub group: Option<Group>,
    /// Up to three columns with similar names, the most similar first.
    pub near: Vec<String>,
}

impl UnknownColumn {
    /// Returns the error of a column that flows with this schema do not have.
    pub(crate) fn new(column: &str, schema: &Schema) -> Self {
        let likeness = |name: &str| strsim::jaro_winkler(column, name);
        let mut near: Vec<_> = schema
            .names()
            .map(|name| (likeness(name), name))
            .filter(|(likeness, _)| *likeness > 0.85)
            .collect();
        near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        Self {
            column: column.to_owned(),
            group: Feature::by_name(column).map(|feature| feature.group),
            near: near
                .iter()
                .take(3)
                .map(|(_, name)| (*name).to_owned())
                .collect(),
        }
    }
}

struct Reason<'a>(&'a UnknownColumn);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = self.0.group {
            return write!(
                f,
                "the flows of this run do not have it; it exists {}",
                group.when()
            );
        }
        f.write_str("there is no such column")?;
        for (n, near) in self.0.near.iter().enumerate() {
            f.write_str(if n == 0 { "; did you mean " } else { " or " })?;
            write!(f, "'{near}'")?;
        }
        f.write_str(if self.0.near.is_empty() { ";" } else { "?" })?;
        f.write_str(
            " `flowloom fields` lists the fields of flows; udps.<plugin>.<name> is an output of a plugin",
        )
    }
}

impl OutputColumns {
    /// Chooses all columns of the flows.
    pub fn all() -> Self {
        Self::default()
    }

    /// Chooses columns by their names, in this order.
    pub fn select(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            selected: Some(names.into_iter().map(Into::into).collect()),
            has_times: false,
        }
    }

    /// Adds `first_seen` and `last_seen` if all columns are chosen.
    #[must_use]
    pub fn with_times(self) -> Self {
        Self {
            has_times: true,
            ..self
        }
    }

    /// Returns the names of the columns for flows with this schema.
    ///
    /// # Errors
    ///
    /// Returns an error if a chosen column does not exist or was chosen twice, or if none was chosen.
    pub fn names(&self, schema: &Schema) -> Result<Vec<String>, SelectError> {
        let layout = self.layout(schema)?;
        Ok(layout
            .columns(schema)
            .map(|column| column.name.to_owned())
            .collect())
    }

    /// Finds the columns in a schema. Chosen columns that the schema does not have are left out.
    pub(crate) fn layout_of_present(&self, schema: &Schema) -> Layout {
        let all = all(schema, self.has_times || self.selected.is_some());
        let Some(names) = &self.selected else {
            return Layout(all);
        };
        let place = |name: &String| all.iter().find(|source| source.name(schema) == name);
        Layout(names.iter().filter_map(place).copied().collect())
    }

    /// Finds the columns in a schema.
    pub(crate) fn layout(&self, schema: &Schema) -> Result<Layout, SelectError> {
        let all = all(schema, self.has_times || self.selected.is_some());
        let Some(names) = &self.selected else {
            return Ok(Layout(all));
        };
        if names.is_empty() {
            return Err(SelectError::Empty);
        }
        let mut layout = Layout(Vec::with_capacity(names.len()));
        for name in names {
            let found = all.iter().find(|source| source.name(schema) == name);
            let found = found.ok_or_else(|| UnknownColumn::new(name, schema))?;
            if layout.0.contains(found) {
                return Err(SelectError::Twice(name.clone()));
            }
            layout.0.push(*found);
        }
        Ok(layout)
    }
}

/// Returns all columns of a schema, in the order of the feature table.
fn all(schema: &Schema, has_times: bool) -> Vec<ColumnSource> {
    let mut columns = Vec::with_capacity(schema.len() + 2);
    let mut index = 0;
    for feature in FEATURES {
        if schema.features().get(index) == Some(&feature) {
            columns.push(ColumnSource::Feature { feature, index });
            index += 1;
        } else if has_times && feature.group == Group::Time {
            columns.push(ColumnSource::Time(feature));
        }
    }
    columns.extend((0..schema.udps().len()).map(ColumnSource::Udp));
    columns
}

/// The columns of an output, as places in one schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout(Vec<ColumnSource>);

/// The place of a column's values in a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnSource {
    /// A feature, and its index in the schema.
    Feature {
        feature: &'static Feature,
        index: usize,
    },
    /// A feature of the group [`Time`](Group::Time), which no schema has.
    Time(&'static Feature),
    /// The plugin output at this index among those of the schema.
    Udp(usize),
}

impl ColumnSource {
    fn name<'a>(&self, schema: &'a Schema) -> &'a str {
        match *self {
            Self::Feature { feature, .. } | Self::Time(feature) => feature.name,
            Self::Udp(index) => schema.udps()[index].path(),
        }
    }

    /// Returns the index of the column in the schema, if the schema has it.
    pub(crate) fn index(&self, schema: &Schema) -> Option<usize> {
        match *self {
            Self::Feature { index, .. } => Some(index),
            Self::Time(_) => None,
            Self::Udp(index) => Some(schema.features().len() + index),
        }
    }
}

impl Layout {
    /// Returns the columns, in order.
    pub(crate) fn sources(&self) -> &[ColumnSource] {
        &self.0
    }

    /// Returns what is known of each column, in order. `schema` is the one that the layout was made for.
    pub(crate) fn columns<'a>(
        &'a self,
        schema: &'a Schema,
    ) -> impl ExactSizeIterator<Item = Column<'a>> {
        self.0.iter().map(|source| match *source {
            ColumnSource::Feature { index, .. } => {
                let Some(column) = schema.column(index) else {
                    unreachable!("the layout was made for this schema")
                };
                column
            }
            ColumnSource::Time(feature) => feature.into(),
            ColumnSource::Udp(index) => schema.udps()[index].as_column(),
        })
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::Settings;
    use flowloom_core::schema::UdpColumn;
    use flowloom_core::value::Type;

    use super::*;

    fn schema() -> Schema {
        let output = UdpColumn::new("p", "count", Type::I64, String::new());
        Settings::default().schema().with_udps(vec![output])
    }

    #[test]
    fn all_columns_are_those_of_the_schema() {
        let schema = schema();
        let names = OutputColumns::all().names(&schema).unwrap();
        assert!(schema.names().eq(names.iter().map(String::as_str)));
        let timed = OutputColumns::all().with_times().names(&schema).unwrap();
        let added: Vec<_> = timed.iter().filter(|name| !names.contains(name)).collect();
        assert_eq!(added, ["first_seen", "last_seen"]);
        let at = timed.iter().position(|name| name == "last_seen").unwrap();
        assert_eq!(timed[at + 1], "bidirectional_first_seen_ms");
    }

    #[test]
    fn selected_columns_come_in_their_order() {
        let names = ["udps.p.count", "first_seen", "id"];
        let columns = OutputColumns::select(names);
        assert_eq!(columns.names(&schema()).unwrap(), names);
        let layout = columns.layout(&schema()).unwrap();
        let types: Vec<_> = layout.columns(&schema()).map(|column| column.ty).collect();
        assert_eq!(types, [Type::I64, Type::Time, Type::U64]);
    }

    #[test]
    fn wrong_selections_are_errors_that_name_the_column() {
        for (names, expected) in [
            (
                vec!["src_pi"],
                "cannot select column 'src_pi': there is no such column; did you mean 'src_ip' or \
                 'src_oui' or 'src_port'? `flowloom fields` lists the fields of flows; \
                 udps.<plugin>.<name> is an output of a plugin",
            ),
            (
                vec!["splt_ps"],
                "cannot select column 'splt_ps': the flows of this run do not have it; it exists \
                 with splt_analysis",
            ),
            (vec!["id", "id"], "cannot select column 'id' twice"),
            (
                vec![],
                "cannot write flows without columns; select at least one",
            ),
        ] {
            let error = OutputColumns::select(names).names(&schema()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
