#!/usr/bin/env python3
"""Exports a forest that scikit-learn trained to a file that the plugin `forest` reads.

    plugins/forest/export.py MODEL.joblib -o MODEL.forest [--features NAME,NAME …]

The model is a RandomForestClassifier, an ExtraTreesClassifier or a DecisionTreeClassifier, saved with
joblib.dump. Load only models that you trust. The features are columns of Flowloom's flows. The model knows
their names if it was trained on a data frame. Otherwise give the names in the order of the training.

As a module, `export(model, features)` returns the text of the file. README.md describes the format.
"""

import argparse
import sys

import sklearn


def export(model, features=None):
    """Returns the text of the file."""
    if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 3):
        sys.exit("export.py: this scikit-learn is too old; install 1.3 or newer, which stores the shares of leaves")
    if features is None:
        features = getattr(model, "feature_names_in_", None)
    if features is None:
        sys.exit("export.py: the model has no feature names; give --features")
    if len(features) != model.n_features_in_:
        sys.exit(f"export.py: got {len(features)} feature names, but the model has {model.n_features_in_} features")
    if model.n_outputs_ != 1:
        sys.exit("export.py: the model has several outputs; the plugin supports only one")
    trees = [tree.tree_ for tree in getattr(model, "estimators_", [model])]
    lines = [
        "flowloom-forest 1",
        names("features", features),
        names("classes", model.classes_),
        f"trees {len(trees)}",
    ]
    for tree in trees:
        lines += [f"tree {tree.node_count}", *nodes(tree)]
    return "\n".join(lines) + "\n"


def names(word, values):
    texts = [str(value) for value in values]
    for text in texts:
        if not text or any(c in text for c in "\t\r\n"):
            sys.exit(f"export.py: invalid name {text!r} in {word}: it is empty or contains a tab or a line end")
    return "\t".join([word, *texts])


def nodes(tree):
    """Yields a line for each node: parents before children, left children before right children."""
    order, todo = [], [0]
    while todo:
        node = todo.pop()
        order.append(node)
        if tree.children_left[node] >= 0:
            todo += [tree.children_right[node], tree.children_left[node]]
    place = {node: n for n, node in enumerate(order)}
    for node in order:
        if tree.children_left[node] >= 0:
            right = place[tree.children_right[node]]
            yield f"{tree.feature[node]} {number(tree.threshold[node])} {right}"
        else:
            shares = enumerate(tree.value[node, 0])
            yield " ".join(f"{n}:{number(share)}" for n, share in shares if share > 0)


def number(value):
    """Returns the shortest text that parses to exactly this float."""
    return repr(float(value)).removesuffix(".0")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a file of joblib.dump")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--features", type=lambda text: text.split(","))
    arguments = parser.parse_args()
    import joblib

    text = export(joblib.load(arguments.model), arguments.features)
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
