//! The columns of flows.

use crate::fields::{FEATURES, Feature, Group};
use crate::value::Type;

/// The columns of a flow: built-in features, then the columns of plugins.
///
/// # Examples
///
/// ```
/// use flowloom_core::meter::Settings;
///
/// let schema = Settings::default().schema();
/// let position = schema.position("bidirectional_bytes").expect("every flow has it");
/// let column = schema.column(position).expect("a valid position");
/// assert_eq!((column.name, column.unit), ("bidirectional_bytes", "bytes"));
/// ```
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) features: Vec<&'static Feature>,
    udps: Vec<UdpColumn>,
    /// Indices into `features` of those whose values are replaced by hashes.
    hashed: Vec<usize>,
}

/// A column of flows.
///
/// # Examples
///
/// ```
/// use flowloom_core::meter::Settings;
/// use flowloom_core::schema::Origin;
///
/// let schema = Settings::default().schema();
/// for column in schema.columns() {
///     println!("{} ({}): {}", column.name, column.ty.name(), column.description);
///     assert!(matches!(column.origin, Origin::Core(_)));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column<'a> {
    /// The name: `src_ip`, or `udps.<plugin>.<output>`.
    pub name: &'a str,
    /// The type of the values. Values of plugins can also be null.
    pub ty: Type,
    /// The unit of the values. It is empty where they have none, or where it is not known.
    pub unit: &'a str,
    /// The definition of the values.
    pub description: &'a str,
    /// Where the values come from.
    pub origin: Origin<'a>,
}

impl From<&'static Feature> for Column<'static> {
    /// Returns the column of a feature whose values are not replaced.
    fn from(feature: &'static Feature) -> Self {
        Self {
            name: feature.name,
            ty: feature.ty,
            unit: feature.unit,
            description: feature.doc,
            origin: Origin::Core(feature.group),
        }
    }
}

/// Where the values of a column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin<'a> {
    /// Flowloom computes them. The group says which runs have the column.
    Core(Group),
    /// A plugin returns them.
    Plugin {
        /// The name that the operator gave the plugin.
        plugin: &'a str,
        /// The name of the output within the plugin.
        output: &'a str,
    },
}

/// A column that a plugin adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpColumn {
    plugin: String,
    path: String,
    /// The offset of the output's name in `path`.
    name_start: usize,
    ty: Type,
    description: String,
}

impl Schema {
    /// Creates a schema of the features whose groups satisfy `has`, followed by the columns of plugins.
    pub fn new(has: impl Fn(Group) -> bool, udps: Vec<UdpColumn>) -> Self {
        Self {
            features: FEATURES
                .iter()
                .filter(|feature| has(feature.group))
                .collect(),
            udps,
            hashed: Vec::new(),
        }
    }

    /// Returns a schema with the same features and with `udps` as the columns of plugins.
    pub fn with_udps(&self, udps: Vec<UdpColumn>) -> Self {
        Self {
            features: self.features.clone(),
            udps,
            hashed: self.hashed.clone(),
        }
    }

    /// Returns a schema with the same columns. Those whose names satisfy `is_hashed` have the type text.
    pub fn with_hashes(&self, is_hashed: impl Fn(&str) -> bool) -> Self {
        let mut schema = self.clone();
        for (index, feature) in self.features.iter().enumerate() {
            if is_hashed(feature.name) && !schema.hashed.contains(&index) {
                schema.hashed.push(index);
            }
        }
        for column in &mut schema.udps {
            if is_hashed(&column.path) {
                column.ty = Type::Text;
            }
        }
        schema
    }

    /// Returns how many columns there are.
    pub fn len(&self) -> usize {
        self.features.len() + self.udps.len()
    }

    /// Returns whether there is no column. Every flow has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the column at an index below [`len`](Self::len).
    pub fn column(&self, index: usize) -> Option<Column<'_>> {
        if let Some(feature) = self.features.get(index) {
            let is_hashed = self.hashed.contains(&index);
            let mut column = Column::from(*feature);
            if is_hashed {
                column.ty = Type::Text;
            }
            return Some(column);
        }
        self.udps
            .get(index - self.features.len())
            .map(UdpColumn::as_column)
    }

    /// Returns all columns, in order.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = Column<'_>> {
        (0..self.len()).map(|index| {
            let Some(column) = self.column(index) else {
                unreachable!("the index is below the number of columns")
            };
            column
        })
    }

    /// Returns the index of the column of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|column| column == name)
    }

    /// Returns the features, in the order of the feature table.
    ///
    /// The type of an anonymised feature is the type of the original value.
    /// [`columns`](Self::columns) returns the types of the values that are written.
    pub fn features(&self) -> &[&'static Feature] {
        &self.features
    }

    /// Returns the columns of plugins, in the order in which the plugins were given.
    pub fn udps(&self) -> &[UdpColumn] {
        &self.udps
    }

    /// Returns the names of all columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features
            .iter()
            .map(|feature| feature.name)
            .chain(self.udps.iter().map(UdpColumn::path))
    }
}

impl UdpColumn {
    /// Creates the column of the output `name` of a plugin.
    pub fn new(plugin: &str, name: &str, ty: Type, description: String) -> Self {
        let path = format!("udps.{plugin}.{name}");
        Self {
            plugin: plugin.to_owned(),
            name_start: path.len() - name.len(),
            path,
            ty,
            description,
        }
    }

    /// Returns it in the form that all columns have.
    pub fn as_column(&self) -> Column<'_> {
        Column {
            name: self.path(),
            ty: self.ty,
            unit: "",
            description: &self.description,
            origin: Origin::Plugin {
                plugin: self.plugin(),
                output: self.name(),
            },
        }
    }

    /// Returns the name that the operator gave the plugin.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Returns the name of the output within the plugin.
    pub fn name(&self) -> &str {
        &self.path[self.name_start..]
    }

    /// Returns the name of the column: `udps.<plugin>.<name>`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the type of the values. Any value can be null.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Returns the plugin's description of the output.
    pub fn description(&self) -> &str {
        &self.description
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Settings;

    #[test]
    fn columns_of_plugins_follow_those_of_the_core() {
        let output = UdpColumn::new("dns", "query", Type::Text, "The name that is asked.".into());
        let schema = Settings::default().schema().with_udps(vec![output]);
        assert_eq!(schema.columns().len(), schema.names().count());
        let id = schema.column(0).unwrap();
        assert_eq!((id.name, id.origin), ("id", Origin::Core(Group::Core)));
        let last = schema.column(schema.len() - 1).unwrap();
        assert_eq!(last.name, "udps.dns.query");
        let (plugin, output) = ("dns", "query");
        assert_eq!(last.origin, Origin::Plugin { plugin, output });
        assert_eq!(schema.position("udps.dns.query"), Some(schema.len() - 1));
        assert_eq!(schema.position("no_such_column"), None);
        assert_eq!(schema.column(schema.len()), None);
        let hashed = schema.with_hashes(|name| name == "src_port");
        let port = hashed.position("src_port").unwrap();
        assert_eq!(schema.column(port).unwrap().ty, Type::U16);
        assert_eq!(hashed.column(port).unwrap().ty, Type::Text);
    }
}
