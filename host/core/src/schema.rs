//! The columns of flows.

use crate::fields::{FEATURES, Feature, Group};
use crate::value::Type;

/// The columns of a flow: built-in features, then the columns of plugins.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(crate) features: Vec<&'static Feature>,
    udps: Vec<UdpColumn>,
    /// Indices into `features` of those whose values are replaced by hashes.
    hashed: Vec<usize>,
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

    /// Returns the names and types of all columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Type)> {
        let features = self.features.iter().enumerate().map(|(index, feature)| {
            let is_hashed = self.hashed.contains(&index);
            (
                feature.name,
                if is_hashed { Type::Text } else { feature.ty },
            )
        });
        let udps = self.udps.iter().map(|column| (column.path(), column.ty));
        features.chain(udps)
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
