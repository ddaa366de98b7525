#!/usr/bin/env python3
"""Compares the predictions of the plugin `forest` with those of scikit-learn, for every flow.

    make forest        (runs this script in its own Python environment)
    plugins/forest/compare.py [--flowloom COMMAND] [CAPTURES …]

The script meters captures (files or folders; by default our own, and those in FLOWLOOM_CAPTURES). It trains on
every second flow, exports the model, and runs the plugin. It compares classes and probabilities, which must be
equal to the last bit: at the end of flows, after some packets, and with flows that are cut there. The inputs
of scikit-learn for a prediction after some packets are the flows that the plugin `slicer` cuts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from export import export
from train import read, table, train

ROOT = Path(__file__).resolve().parent.parent.parent
LABEL = "application_category_name"
PACKETS = (1, 4)
DONE_OR_DAMAGED = (0, 3)
#: The active timeout applies to each slice separately. Without it, the first slice of a flow has the flow's id.
WITHOUT_ACTIVE_TIMEOUT = ("--active-timeout", str(10**9))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    parser.add_argument("--trees", type=int, default=100)
    arguments = parser.parse_args()
    captures = files(arguments.captures or default())
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(arguments, captures, Path(folder))
        flows = meter()
        forest, names = train(flows[::2], LABEL, arguments.trees)
        model = Path(folder) / "model.forest"
        model.write_text(export(forest, names), encoding="utf-8")
        print(
            f"{len(captures)} captures, {len(flows)} flows; {len(forest.classes_)} classes, "
            f"{arguments.trees} trees, {model.stat().st_size} bytes"
        )
        deployed = f"{arguments.plugins}/forest.wasm,model=@{model}"
        differences = 0

        def compare(what, rows, seen, early):
            nonlocal differences
            wrong = list(disagree(forest, names, rows, seen, early))
            print(f"{what}: {len(rows)} flows, {len(wrong)} differences")
            for line in wrong[:10]:
                print(f"  {line}", file=sys.stderr)
            differences += len(wrong) + (not rows)

        for calls in ("auto", "per-event"):
            rows = meter(deployed, "--plugin-calls", calls)
            compare(f"at the end ({calls})", rows, rows, lambda row: False)
            for packets in PACKETS:
                slicer = f"{arguments.plugins}/slicer.wasm,limit={packets}"
                sliced = {key(row): row for row in meter(slicer, *WITHOUT_ACTIVE_TIMEOUT)}
                words = ("--plugin-calls", calls, *WITHOUT_ACTIVE_TIMEOUT)
                rows = meter(f"{deployed},packets={packets}", *words)

                def is_early(row, packets=packets):
                    return int(row["bidirectional_packets"]) >= packets

                seen = [sliced[key(row)] if is_early(row) else row for row in rows]
                compare(f"after {packets} packets ({calls})", rows, seen, is_early)
        for packets in PACKETS:
            rows = meter(f"{deployed},packets={packets},cut=true")
            compare(f"cut after {packets} packets", rows, rows, lambda row: row["expiration_id"] == "-1")
    sys.exit(bool(differences))


class Meter:
    """Runs Flowloom over the captures."""

    def __init__(self, arguments, captures, folder):
        self.command = [arguments.flowloom, "meter", *captures, "--statistical-analysis"]
        self.output = folder / "flows.csv"

    def __call__(self, plugin=None, *words):
        command = [*self.command, "-o", self.output, *(["--plugin", plugin] if plugin else []), *words]
        run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if run.returncode not in DONE_OR_DAMAGED or "after a trap" in run.stderr:
            sys.exit(f"{' '.join(map(str, command))}\n{run.stderr}")
        return read(self.output)


def key(row):
    """Returns a key that identifies a flow across several captures."""
    return row.get("capture"), row["id"]


def disagree(forest, names, rows, seen, early):
    """Yields a line for each row whose prediction differs from scikit-learn's.

    `seen` contains, for each row, the flow at the time of the prediction.
    """
    features = table(seen, names)
    classes = forest.predict(features)
    probabilities = forest.predict_proba(features).max(axis=1)
    for row, label, probability in zip(rows, classes, probabilities, strict=True):
        got = (
            row["udps.forest.prediction"],
            float(row["udps.forest.probability"]),
            row["udps.forest.early"] == "1",
        )
        expected = (label, probability, early(row))
        if got != expected:
            yield f"flow {row['id']} ({row['src_ip']} to {row['dst_ip']}): {got}, expected {expected}"


def default():
    others = os.environ.get("FLOWLOOM_CAPTURES")
    return [ROOT / "tests/captures", *([Path(others)] if others else [])]


def files(paths):
    found = []
    for path in paths:
        inside = path.iterdir() if path.is_dir() else [path]
        found += sorted(file for file in inside if ".pcap" in file.name)
    return found


if __name__ == "__main__":
    main()
