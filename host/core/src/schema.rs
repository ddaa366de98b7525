//! Which columns a run's flows have.

use crate::fields::{FEATURES, Feature, Group};
use crate::value::Type;

/// The columns of a flow: features, then what plugins add.
#[derive(Clone, Debug)]
pub struct Schema {
    pub features: Vec<&'static Feature>,
    udps: Vec<UdpColumn>,
    /// The places of features whose values are hashes.
    hashed: Vec<usize>,
}

/// A column that a plugin adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpColumn {
    plugin: String,
    path: String,
    name_at: usize,
    ty: Type,
    description: String,
}

impl Schema {
    /// The features whose groups `has` says yes to, and the plugins' columns.
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

    /// The same features, and these columns of plugins.
    pub fn with_udps(&self, udps: Vec<UdpColumn>) -> Self {
        Self {
            features: self.features.clone(),
            udps,
            hashed: self.hashed.clone(),
        }
    }

    /// The same columns, of which those for which `is_hashed` says yes are text.
    pub fn with_hashes(&self, is_hashed: impl Fn(&str) -> bool) -> Self {
        let mut schema = self.clone();
        for (at, feature) in self.features.iter().enumerate() {
            if is_hashed(feature.name) && !schema.hashed.contains(&at) {
                schema.hashed.push(at);
            }
        }
        for column in &mut schema.udps {
            if is_hashed(&column.path) {
                column.ty = Type::Text;
            }
        }
        schema
    }

    /// The names and types of all columns, in their order.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Type)> {
        let features = self.features.iter().enumerate().map(|(at, feature)| {
            let is_hashed = self.hashed.contains(&at);
            (
                feature.name,
                if is_hashed { Type::Text } else { feature.ty },
            )
        });
        let udps = self.udps.iter().map(|column| (column.path(), column.ty));
        features.chain(udps)
    }

    /// The features, in the feature table's order. Where one is anonymised, its type is that of the value
    /// behind the hash; [`columns`](Self::columns) has those of the values.
    pub fn features(&self) -> &[&'static Feature] {
        &self.features
    }

    /// The plugins' columns: plugins in the order in which they were given.
    pub fn udps(&self) -> &[UdpColumn] {
        &self.udps
    }

    /// The names of all columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features
            .iter()
            .map(|feature| feature.name)
            .chain(self.udps.iter().map(UdpColumn::path))
    }
}

impl UdpColumn {
    pub fn new(plugin: &str, name: &str, ty: Type, description: String) -> Self {
        let path = format!("udps.{plugin}.{name}");
        Self {
            plugin: plugin.to_owned(),
            name_at: path.len() - name.len(),
            path,
            ty,
            description,
        }
    }

    /// The operator's name for the plugin.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The output's name within the plugin.
    pub fn name(&self) -> &str {
        &self.path[self.name_at..]
    }

    /// `udps.<plugin>.<name>`, as tables call it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The type of its values; any may be null.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// What the plugin says of it.
    pub fn description(&self) -> &str {
        &self.description
    }
}
