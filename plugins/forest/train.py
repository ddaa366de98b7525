#!/usr/bin/env python3
"""Trains a random forest on flows that Flowloom wrote, and exports it for the plugin `forest`.

    flowloom meter CAPTURE … --statistical-analysis -o flows.csv
    plugins/forest/train.py flows.csv -o model.forest [--label application_category_name] [--trees 100]

An example, and a short one: the label is what nDPI says of a flow, and every second flow is kept back to
say how often the forest agrees.
"""

import argparse
import csv
import re

import numpy
from export import export
from sklearn.ensemble import RandomForestClassifier

#: Sizes, times and counters, no addresses, ports or dates: what a flow looks like.
LOOKS = re.compile(r"(bidirectional|src2dst|dst2src)_(\w+_(ps|piat_ms|packets)|packets|bytes|duration_ms)")


def read(file):
    """The flows of a CSV, as dictionaries."""
    with open(file, encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def features(flows):
    return [name for name in flows[0] if LOOKS.fullmatch(name)]


def table(flows, names):
    """A row of numbers for each flow, as scikit-learn will have them."""
    return numpy.array([[float(flow[name]) for name in names] for flow in flows], dtype=numpy.float32)


def train(flows, label, trees):
    names = features(flows)
    forest = RandomForestClassifier(n_estimators=trees, random_state=0)
    forest.fit(table(flows, names), [flow[label] for flow in flows])
    return forest, names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("flows", help="a CSV of flowloom meter --statistical-analysis")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--label", default="application_category_name")
    parser.add_argument("--trees", type=int, default=100)
    arguments = parser.parse_args()
    flows = read(arguments.flows)
    forest, names = train(flows[::2], arguments.label, arguments.trees)
    others = flows[1::2]
    right = forest.predict(table(others, names)) == [flow[arguments.label] for flow in others]
    print(f"{len(names)} features, {len(forest.classes_)} classes; it agrees on {right.mean():.1%} of {len(others)} flows kept back")
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write(export(forest, names))


if __name__ == "__main__":
    main()
