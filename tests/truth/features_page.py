#!/usr/bin/env python3
"""Run pages about features: their commands, their expressions and their tables.

    tests/truth/features_page.py [--flowloom COMMAND] [--bless] [PAGE …]

The default page is docs/features-tutorial.md. The script does four things:

- It runs the commands (lines `$ …` with an indent) in a folder with the captures of the tests, and the blocks of Python that a
  block of text follows. It compares their output. `$ cat FILE` defines a file. Sizes and times may differ.
- It compiles the features in the tables with a column "feature" or "number of packets in each flow".
- It computes the values of the table for pandas with pandas, from the packets that the decoder in Python reads, and
  compares them with Flowloom's.
- It makes the tables between `<!-- … -->` and `<!-- end -->`, and compares them.

`--bless` writes the output of the commands and these tables into the page.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import packets
import pandas
import polars_examples
import random_flows

ROOT = packets.ROOT
PAGE = ROOT / "docs/features-tutorial.md"
EXAMPLES = ROOT / "tests/features/examples"
CAPTURES = ["http", "tls13", "dns"]
#: Files from other folders that commands of pages name.
LINKED = ["tests", "plugins", "target"]
DONE_OR_DAMAGED = (0, 3)
VARYING = [(r"-?\d[\d.]* ?(ns|µs|us|ms|s)\b", "TIME"), (r"\d+ bytes\b(?! per)", "SIZE"), (r"\b[0-9a-f]{64}\b", "DIGEST")]
SESSION = re.compile(r"^    \$ .*\n(?:    .*\n)*", re.MULTILINE)
GENERATED = re.compile(r"<!-- (examples: (\w+)|functions) -->\n(.*?)<!-- end -->", re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FEATURE = re.compile(r"^ *([a-z]\w*) *= ((?:[^#\"]|\"[^\"]*\")*?) *(?:# (.*))?$")

#: The functions of the table: a feature, its meaning, and its value of no packet.
FUNCTIONS = [
    ("count()", "packets", "0"),
    ("count(syn)", "packets for which a condition is true", "0"),
    ("sum(ip_size)", "sum", "0"),
    ("mean(ip_size)", "mean", "null"),
    ("min(ip_size)", "minimum", "null"),
    ("max(ip_size)", "maximum", "null"),
    ("stddev(ip_size)", "sample standard deviation; `stddev_pop` of the population", "null"),
    ("variance(ip_size)", "sample variance; `variance_pop` of the population", "null"),
    ("skew(ip_size)", "skewness of the population", "null"),
    ("kurtosis(ip_size)", "excess kurtosis of the population", "null"),
    ("share(syn)", "part of the packets for which a condition is true", "null"),
    ("any(syn)", "whether a condition is true for a packet", "false"),
    ("all(syn)", "whether a condition is true for all packets", "true"),
    ("first(ip_size)", "first value", "null"),
    ("last(ip_size)", "last value", "null"),
    ("nth(ip_size, 3)", "n-th value", "null"),
    ("duration() in ms", "time from the first to the last packet", "null"),
    ("rate(count())", "value per second of the flow's duration", "null"),
    ("mean(iat) in ms", "an aggregate of the time since the previous packet", "null"),
    ("list(ip_size first 20)", "the first values", "empty"),
    ("median(ip_size first 64)", "median of the first values", "null"),
    ("quantile(ip_size, 0.9 first 64)", "quantile of the first values, with linear interpolation", "null"),
    ("distinct(ip_size, 16)", "different values, at most 16", "0"),
    ("distinct(ttl, 16)", "the same of a field with 8 bits", "0"),
    ("hist(ip_size, [64, 512, 1500])", "number of values in each class", "zeros"),
    ("entropy(hist(ip_size, [64, 512, 1500]))", "entropy of classes, bits", "null"),
    ("head(payload, 16)", "first payload bytes", "empty"),
    ("entropy(head(payload, 256))", "entropy of payload bytes, bits per byte", "null"),
    ("corr(ip_size, prev(ip_size))", "Pearson's correlation of two values", "null"),
    ("count(changed(direction))", "`prev`, `delta` and `changed` compare with the previous packet", "0"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("pages", nargs="*", type=Path, default=[PAGE])
    arguments = parser.parse_args()
    problems = []
    for page in arguments.pages:
        with tempfile.TemporaryDirectory() as folder:
            tool = Tool(Path(arguments.flowloom).resolve(), Path(folder))
            text = page.read_text()
            found = text
            for pattern, run in ((SESSION, tool.session), (PYTHON, tool.python), (GENERATED, tool.generated)):
                found = pattern.sub(run, found)
            if arguments.bless:
                page.write_text(found)
            elif normal(found) != normal(text):
                problems += [f"{page}: {line}" for line in lines_that_differ(text, found)]
            tool.check_features(text)
            if "| pandas |" in text:
                problems += tool.check_pandas(text)
            print(f"{page.resolve().relative_to(ROOT)}: {', '.join(f'{n} {what}' for what, n in tool.done.items())}")
    for problem in problems[:30]:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def normal(text):
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def lines_that_differ(before, after):
    """Yield the lines of a page that are not as they should be."""
    wanted = normal(after).splitlines()
    for line in before.splitlines():
        if line not in after and normal(line) not in wanted:
            yield f"is now different: {line.strip()}"
    known = normal(before).splitlines()
    for line in after.splitlines():
        if normal(line) not in known:
            yield f"is missing: {line.strip()}"


def rows_of(text, header):
    """Yield the cells of all rows of tables whose header has a cell."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = [re.split(r"(?<!\\) \| ", line.strip("|\n ")) for line in table.splitlines()]
        if header in map(str.strip, head):
            place = [cell.strip() for cell in head].index(header)
            for row in rows:
                yield [cell.replace("\\|", "|") for cell in row], place


def code_of(cell):
    return re.search(r"`([^`]+)`", cell)[1]


class Tool:
    """Runs the commands of one page in a folder."""

    def __init__(self, flowloom, folder):
        self.flowloom = flowloom
        self.folder = folder
        self.done = dict.fromkeys(("commands", "features", "values of pandas"), 0)
        self.environment = os.environ | {"PATH": f"{flowloom.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        for capture in (ROOT / "tests/captures").glob("*.pcap*"):
            (folder / capture.name).symlink_to(capture)
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)

    def session(self, match):
        """Run the command of a block. Return the block with the output of the command."""
        command, *output = [line.removeprefix("    ") for line in match[0].splitlines()]
        command = command.removeprefix("$ ")
        if file := re.fullmatch(r"cat ([\w.]+)", command):
            (self.folder / file[1]).write_text("".join(f"{line}\n" for line in output))
            return match[0]
        lines = self.run(["bash", "-c", command])
        return "".join(f"    {line}\n" if line else "\n" for line in [f"$ {command}", *lines])

    def run(self, command):
        """Run a command. Return the lines of its output; of its errors too, if it fails."""
        run = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        self.done["commands"] += 1
        errors = run.stderr if run.returncode else ""
        lines = [line.rstrip() for line in (run.stdout + errors).splitlines() if " INFO " not in line]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def python(self, match):
        """Run a block of Python. Return the block with its output."""
        lines = self.run([sys.executable, "-c", match[1]])
        return f"```python\n{match[1]}```\n\n```text\n" + "".join(f"{line}\n" for line in lines) + "```"

    def compile(self, name, text):
        """Compile features. Return the component."""
        source = self.folder / f"{name}.features"
        source.write_text(text)
        component = source.with_suffix(".wasm")
        command = [self.flowloom, "plugin", "compile", source, "-o", component]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            sys.exit(f"{text}\n{run.stdout}")
        self.done["features"] += 1
        return component

    def state_of(self, component):
        """Return the bytes per live flow of a plugin."""
        command = [self.flowloom, "plugin", "check", component, f"--grant={component.stem}=payload:256"]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return re.search(r"^memory +(\d+) bytes per live flow", run.stdout, re.MULTILINE)[1]

    def meter(self, captures, components):
        """Return the values of plugins by the identifiers of flows."""
        output = self.folder / "values.jsonl"
        command = [self.flowloom, "-qq", "meter", *captures, "-o", output, "--n-dissections=0", "--group=one"]
        for component in components:
            command += [f"--plugin={component}", f"--grant={component.stem}=payload:256"]
        run = subprocess.run(command, check=False)
        if run.returncode not in DONE_OR_DAMAGED:
            sys.exit(f"features_page.py: the command ended with {run.returncode}: {' '.join(map(str, command))}")
        return {row["id"]: row["udps"] for row in map(json.loads, output.read_text().splitlines())}

    def generated(self, match):
        """Return a part of the page that the script makes."""
        lines = self.examples(match[2]) if match[2] else self.functions(match[3])
        return f"<!-- {match[1]} -->\n" + "".join(f"{line}\n" for line in lines) + "<!-- end -->"

    def examples(self, name):
        text = (EXAMPLES / f"{name}.features").read_text()
        helpers = [line for line in text.splitlines() if line.startswith(("let ", "runs "))]
        if helpers:
            yield from ["", *(f"    {line}" for line in helpers)]
        yield from ["", f"| feature | meaning | {' | '.join(CAPTURES)} | state, bytes |", "|---|---|---|---|---|--:|"]
        rows, components = [], {}
        for line in text.splitlines():
            if line not in helpers and (feature := FEATURE.match(line)):
                rows.append(feature.groups())
                components[feature[1]] = self.compile(feature[1], "\n".join([*helpers, line]))
        flows = [self.first_flow(capture, components.values()) for capture in CAPTURES]
        for output, expression, meaning in rows:
            values = " | ".join(value_text(flow[output][output]) for flow in flows)
            state = self.state_of(components[output])
            yield f"| `{output} = {expression}` | {meaning} | {values} | {state} |"
        yield ""

    def first_flow(self, capture, components):
        """Return the values of plugins for the flow that begins first."""
        flows = self.meter([ROOT / f"tests/captures/{capture}.pcap"], components)
        return flows[min(flows)]

    def functions(self, before):
        """Return the table of functions. The last column, which `tests/bench/features.py` measures, remains."""
        costs = dict(re.findall(r"^\| `(.*?)` \|.*\| *(\S*) *\|$", before, re.MULTILINE))
        yield from ["", "| function | value | of no packet | state, bytes | instructions |", "|---|---|---|--:|--:|"]
        for feature, meaning, of_nothing in FUNCTIONS:
            state = self.state_of(self.compile("state", f"x = {feature}"))
            yield f"| `{feature}` | {meaning} | {of_nothing} | {state} | {costs.get(feature, '')} |"
        yield ""

    def check_features(self, text):
        """Compile the features of tables. A wrong one ends the script."""
        for header in ("feature", "number of packets in each flow"):
            for row, place in rows_of(GENERATED.sub("", text), header):
                self.compile("feature", f"x = {code_of(row[place])}\n")

    def check_pandas(self, text):
        """Compare the values of pandas with those of Flowloom."""
        others = self.folder / "random-flows.pcap"
        random_flows.write(others)
        captures = packets.sorted_by_time([*packets.files([ROOT / "tests/captures"]), others])
        frame = polars_examples.frame_of(packets.flows(captures)).sort("flow", "number")
        # Times relative to the flow's first packet have the same differences.
        packet_frame = pandas.DataFrame(frame.drop("payload").rename({"age": "time"}).to_dict(as_series=False))
        names = {
            "packets": packet_frame,
            "g": packet_frame.groupby("flow"),
            "up": packet_frame[packet_frame.direction == 0],
        }
        features, expected = {}, {}
        for number, (row, place) in enumerate(rows_of(text, "pandas")):
            # A division by 0 is expected.
            with numpy.errstate(invalid="ignore"):
                expected[f"x{number}"] = eval(code_of(row[place]), names)  # noqa: S307 (from our page)
            features[f"x{number}"] = f"x{number} = {code_of(row[1 - place])}\n"
        # The example with two levels.
        program = re.search(r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", text, re.DOTALL)
        exec(program[1], names)  # noqa: S102
        expected["bursts"] = names["bursts"]
        features["bursts"] = re.sub(r"^    ", "", program[2], flags=re.MULTILINE)
        components = [self.compile(name, feature) for name, feature in features.items()]
        flows = self.meter(captures, components)
        problems = []
        for name, series in expected.items():
            known = series.to_dict()
            for flow, values in flows.items():
                self.done["values of pandas"] += 1
                value, found = known.get(flow), values[name][name]
                if not is_equal(value, found):
                    problems.append(f"flow {flow}, {features[name].strip()}: pandas {value}, Flowloom {found}")
        return problems


def value_text(value):
    text = json.dumps(value, separators=(",", ":")).strip('"')
    return text.replace(",", ", ") if isinstance(value, list) else text


def is_equal(expected, found):
    """Compare a value of pandas. It has no row for a flow without selected packets."""
    if expected is None:
        return found in (0, None)
    if isinstance(expected, list):
        return found == expected[:100]
    if pandas.isna(expected):
        return found is None
    return found is not None and math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-9)


if __name__ == "__main__":
    main()
