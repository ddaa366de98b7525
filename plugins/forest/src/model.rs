//! A random forest. plugins/forest/README.md describes its file format.

use std::str::{FromStr, Lines};

use flowloom_sdk::Chosen;

/// A random forest.
#[derive(Debug)]
pub(crate) struct Model {
    /// The names of the flow fields that are the inputs.
    pub(crate) features: Vec<String>,
    /// The names of the classes.
    pub(crate) classes: Vec<String>,
    /// The index of each tree's first node in `nodes`.
    trees: Vec<usize>,
    nodes: Vec<Node>,
    /// Classes and their shares, for all leaves.
    shares: Vec<(u16, f64)>,
    /// The inputs of the current flow, as 32-bit floats like in scikit-learn.
    values: Vec<f32>,
    /// For each class, the sum of its shares over the trees.
    sums: Vec<f64>,
}

/// A node of a tree. Children always follow their parent: the left child directly, the right child later. Every
/// walk from a root therefore ends.
#[derive(Clone, Copy, Debug)]
enum Node {
    /// Continues at the next node if the feature is at most the threshold, and at the node `right` otherwise.
    Inner {
        feature: u16,
        right: u32,
        threshold: f64,
    },
    /// A range of `shares`.
    Leaf { begin: u32, end: u32 },
}

/// The prediction for a flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prediction {
    pub(crate) class: usize,
    pub(crate) probability: f64,
}

const MOST_FEATURES: usize = 256;
const MOST_CLASSES: usize = 4_096;
const MOST_NODES: usize = 2_000_000;

impl Model {
    /// Returns the class with the greatest mean share, or the first of several equal ones.
    ///
    /// The result is equal to scikit-learn's to the last bit. Features are compared as 32-bit floats with 64-bit
    /// thresholds. Shares are summed in the order of the trees, and the sum is divided by their number.
    pub(crate) fn predict(&mut self, flow: &Chosen<'_>) -> Prediction {
        for (n, value) in self.values.iter_mut().enumerate() {
            *value = flow.number(n) as f32;
        }
        self.sums.fill(0.0);
        for &tree in &self.trees {
            let mut at = tree;
            loop {
                match self.nodes[at] {
                    Node::Inner {
                        feature,
                        right,
                        threshold,
                    } => {
                        let is_left = f64::from(self.values[usize::from(feature)]) <= threshold;
                        at = if is_left { at + 1 } else { right as usize };
                    }
                    Node::Leaf { begin, end } => {
                        for &(class, share) in &self.shares[begin as usize..end as usize] {
                            self.sums[usize::from(class)] += share;
                        }
                        break;
                    }
                }
            }
        }
        let mut class = 0;
        let trees = self.trees.len() as f64;
        for n in 1..self.sums.len() {
            if self.sums[n] / trees > self.sums[class] / trees {
                class = n;
            }
        }
        Prediction {
            class,
            probability: self.sums[class] / trees,
        }
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            lines: text.lines(),
            line: 0,
        };
        let line = reader.next()?;
        if line != "flowloom-forest 1" {
            return Err(match line.strip_prefix("flowloom-forest ") {
                Some(version) => {
                    format!("unsupported version {version}; this plugin reads version 1")
                }
                None => "not a forest; create one with plugins/forest/export.py".to_owned(),
            });
        }
        let features = reader.names("features", MOST_FEATURES)?;
        let classes = reader.names("classes", MOST_CLASSES)?;
        let count = reader.count("trees")?;
        let mut model = Model {
            values: vec![0.0; features.len()],
            sums: vec![0.0; classes.len()],
            features,
            classes,
            trees: Vec::new(),
            nodes: Vec::new(),
            shares: Vec::new(),
        };
        for _ in 0..count {
            reader.tree(&mut model)?;
        }
        match reader.lines.next() {
            None => Ok(model),
            Some(_) => Err(format!(
                "line {}: expected the end of the file",
                reader.line + 1
            )),
        }
    }
}

/// Reads lines and counts them.
struct Reader<'a> {
    lines: Lines<'a>,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<&'a str, String> {
        self.line += 1;
        self.lines
            .next()
            .ok_or_else(|| format!("unexpected end of file after line {}", self.line - 1))
    }

    fn wrong(&self, expected: &str) -> String {
        format!("line {}: expected {expected}", self.line)
    }

    /// Reads a line with `WORD` and names, separated by tabs.
    fn names(&mut self, word: &str, most: usize) -> Result<Vec<String>, String> {
        let mut words = self.next()?.split('\t');
        let is_word = words.next() == Some(word);
        let names: Vec<_> = words.map(str::to_owned).collect();
        match is_word && (1..=most).contains(&names.len()) {
            true => Ok(names),
            false => Err(self.wrong(&format!(
                "`{word}` and 1 to {most} names, separated by tabs"
            ))),
        }
    }

    /// Reads a line `WORD N`.
    fn count(&mut self, word: &str) -> Result<usize, String> {
        let line = self.next()?;
        line.strip_prefix(word)
            .and_then(|rest| rest.strip_prefix(' '))
            .and_then(|count| count.parse().ok())
            .filter(|count| (1..=MOST_NODES).contains(count))
            .ok_or_else(|| self.wrong(&format!("`{word}` and a number from 1 to {MOST_NODES}")))
    }

    fn tree(&mut self, model: &mut Model) -> Result<(), String> {
        let count = self.count("tree")?;
        let begin = model.nodes.len();
        let end = begin + count;
        if end > MOST_NODES {
            return Err(format!(
                "line {}: the forest has more than {MOST_NODES} nodes",
                self.line
            ));
        }
        model.trees.push(begin);
        while model.nodes.len() < end {
            let line = self.next()?;
            let node = match line.contains(':') {
                true => self.leaf(line, model)?,
                false => self.inner(line, model, begin, end)?,
            };
            model.nodes.push(node);
        }
        Ok(())
    }

    /// Parses a line `FEATURE THRESHOLD RIGHT`. RIGHT is counted from the first node of the tree.
    fn inner(&self, line: &str, model: &Model, begin: usize, end: usize) -> Result<Node, String> {
        let at = model.nodes.len();
        let mut words = line.split(' ');
        let node = (|| {
            let feature: u16 = words.next()?.parse().ok()?;
            let threshold: f64 = words.next()?.parse().ok()?;
            let right = begin + words.next()?.parse::<u32>().ok()? as usize;
            // The left child is at + 1, so the right child is at + 2 or later.
            let fits = usize::from(feature) < model.features.len()
                && (at + 2..end).contains(&right)
                && words.next().is_none();
            fits.then_some(Node::Inner {
                feature,
                right: right as u32,
                threshold,
            })
        })();
        node.ok_or_else(|| {
            self.wrong(
                "a node: the number of a feature, a threshold and the number of a later node",
            )
        })
    }

    /// Parses a line `CLASS:SHARE …`.
    fn leaf(&self, line: &str, model: &mut Model) -> Result<Node, String> {
        let begin = model.shares.len();
        for word in line.split(' ') {
            let share = word.split_once(':').and_then(|(class, share)| {
                let (class, share): (u16, f64) = (class.parse().ok()?, share.parse().ok()?);
                let fits = usize::from(class) < model.classes.len() && (0.0..=1.0).contains(&share);
                fits.then_some((class, share))
            });
            match share {
                Some(share) => model.shares.push(share),
                None => return Err(self.wrong("a leaf: classes and their shares")),
            }
        }
        Ok(Node::Leaf {
            begin: begin as u32,
            end: model.shares.len() as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "flowloom-forest 1\nfeatures\ta\tb\nclasses\tx\ty z\ntrees 2\n\
        tree 5\n1 0.1 4\n0 10 3\n0:1\n1:1\n0:0.5 1:0.5\ntree 1\n1:0.5 0:0.5\n";

    #[test]
    fn trees_are_walked_and_their_shares_averaged() {
        let mut model: Model = MODEL.parse().expect("the model is valid");
        assert_eq!((model.features.len(), model.classes.len()), (2, 2));
        let mut predict = |a, b| {
            let prediction = model.predict(&Chosen::of(&[a, b]));
            (prediction.class, prediction.probability)
        };
        assert_eq!(predict(10.0, 0.0), (0, 0.75));
        assert_eq!(predict(10.5, 0.0), (1, 0.75));
        // Of equal classes, the first one.
        assert_eq!(predict(0.0, 1.0), (0, 0.5));
        // 0.1 as a 32-bit float is more than 0.1.
        assert_eq!(predict(0.0, 0.1), (0, 0.5));
    }

    #[test]
    fn errors_name_the_line() {
        let error = |from: &str, to: &str| {
            assert!(MODEL.contains(from));
            MODEL.replacen(from, to, 1).parse::<Model>().unwrap_err()
        };
        for (from, to, expected) in [
            (MODEL, "", "unexpected end of file after line 0"),
            (
                "flowloom-",
                "",
                "not a forest; create one with plugins/forest/export.py",
            ),
            (
                "forest 1",
                "forest 2",
                "unsupported version 2; this plugin reads version 1",
            ),
            (
                "classes\t",
                "classes ",
                "line 3: expected `classes` and 1 to 4096 names, separated by tabs",
            ),
            (
                "trees 2",
                "trees 0",
                "line 4: expected `trees` and a number from 1 to 2000000",
            ),
            ("trees 2", "trees 3", "unexpected end of file after line 12"),
            (
                "trees 2",
                "trees 1",
                "line 11: expected the end of the file",
            ),
            (
                "1 0.1 4",
                "2 0.1 4",
                "line 6: expected a node: the number of a feature, a threshold and the number of a later node",
            ),
            (
                "1 0.1 4",
                "1 0.1 1",
                "line 6: expected a node: the number of a feature, a threshold and the number of a later node",
            ),
            (
                "1 0.1 4",
                "1 0.1 5",
                "line 6: expected a node: the number of a feature, a threshold and the number of a later node",
            ),
            (
                "0:0.5 1:0.5",
                "0:0.5 2:0.5",
                "line 10: expected a leaf: classes and their shares",
            ),
            (
                "0:0.5 1:0.5",
                "0:NaN",
                "line 10: expected a leaf: classes and their shares",
            ),
            (
                "tree 5",
                "tree 1",
                "line 6: expected a node: the number of a feature, a threshold and the number of a later node",
            ),
            (
                "tree 5",
                "tree 2000000",
                "line 11: expected a node: the number of a feature, a threshold and the number of a later node",
            ),
        ] {
            assert_eq!(error(from, to), expected, "{from} as {to}");
        }
    }
}
