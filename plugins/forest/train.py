#!/usr/bin/env python3
"""Trains a random forest on Flowloom's flows, and exports it for the plugin `forest`.

    flowloom meter CAPTURE … --statistical-analysis -o flows.csv
    plugins/forest/train.py flows.csv -o model.forest [--label application_category_name] [--trees 100]

This is a short example. The label is nDPI's category of a flow. The script trains on every second flow and
tests the forest on the others.
"""

import argparse
import csv
import re

import numpy
from export import export
from sklearn.ensemble import RandomForestClassifier

#: The columns to use as features: sizes, durations and counters, but no addresses, ports or dates.
FEATURES = re.compile(r"(bidirectional|src2dst|dst2src)_(\w+_(ps|piat_ms|packets)|packets|bytes|duration_ms)")


def read(file):
    """Returns the flows of a CSV file as dictionaries."""
    with open(file, encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def features(flows):
    return [name for name in flows[0] if FEATURES.fullmatch(name)]


def table(flows, names):
    """Returns one row of 32-bit floats per flow, the form that scikit-learn uses internally."""
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
    print(f"{len(names)} features, {len(forest.classes_)} classes; accuracy {right.mean():.1%} on {len(others)} other flows")
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write(export(forest, names))


if __name__ == "__main__":
    main()
