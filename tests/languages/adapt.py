#!/usr/bin/env python3
"""Check that plugins in every language describe their options, and adapt to what is available.

    tests/languages/adapt.py [--flowloom COMMAND]

Builds the plugins in adapt/ with the SDKs, and meters a capture with different grants, analyses and options. The values
contain what the plugins read and requested. They must equal the expectation in this file, in both call modes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CAPTURE = ROOT / "tests/captures/tls12.pcap"
#: The sources. tests/system has such tests for Rust.
SOURCES = {"c": "adapts.c", "go": "adapts", "javascript": "adapts.js", "python": "adapts.py", "zig": "adapts.zig"}
#: Compiling Python takes 10 s of CPU time.
COMPILE = ["--compile-time", "300"]
ACCEPTED = (
    "this plugin accepts `count` (an integer from 1 to 9, default 3): A number of things; "
    "`share` (a number, required): A share"
)
ALL_ACCEPTED = (
    f"{ACCEPTED}; `all` (true or false, default false): Whether all count; `name` (a text, optional): A name"
)
#: The error for an output of another type. The functions of C, Go and Zig determine the type.
WRONG_TYPE = "set output `values` to a value of type text, but the manifest declares it as texts"
WRONG_TYPE = "set output `values` to a value of type text, but the manifest declares it as texts"
WRONG_TYPES = {
    "javascript": 'expire returned "a text" (text) for output `values`, which is texts; return an array',
    "python": "expire returned 'a text' (str) for output `values`, which is list[str]",
}
#: Options, other arguments, and the values of a flow, or a part of the errors.
RUNS = [
    ("share=0.5", [], ["3", "0.5", "False", "None", "0", "0", "dst_port"]),
    (
        "share=2.5,count=9,all=true,name=x",
        ["--statistical-analysis", "--grant", "{name}=application,payload:4,bytes:100"],
        ["9", "2.5", "True", "x", "4", "16", "dst_port", "application_name", "bidirectional_mean_ps"],
    ),
    # Without nDPI, the grant shows nothing.
    (
        "share=0.5",
        ["--n-dissections", "0", "--grant", "{name}=application,addresses"],
        ["3", "0.5", "False", "None", "0", "0", "dst_port"],
    ),
    ("count=3", [], f"option `share` is missing; {ACCEPTED}"),
    ("share=0.5,count=10", [], 'option `count` must be an integer from 1 to 9, not "10"'),
    ("share=0.5,all=1", [], 'option `all` must be true or false, not "1"'),
    ("share=0.5,more=1", [], f"unknown option `more`; {ALL_ACCEPTED}"),
    ("share=0.5,name=wrong", [], WRONG_TYPE),
]
#: Lines of `flowloom plugin check`, which has all analyses.
DESCRIPTION = """\
packet       ttl, src_ip
payload      the first 5 bytes of each packet
at expire    dst_port, bidirectional_mean_ps
granted      addresses,payload:5
memory       1000 bytes per live flow
options      count, an integer from 1 to 9, default 3: A number of things.
             share, a number, required: A share.
             all, true or false, default false: Whether all count.
             name, a text, optional: A name.
outputs      udps.{name}.values, list of texts: The options, and the fields that were requested.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    flowloom = parser.parse_args().flowloom
    with tempfile.TemporaryDirectory() as folder:
        for language, source in SOURCES.items():
            plugin = Path(folder) / f"{language}.wasm"
            run([ROOT / f"sdk/{language}/build.sh", plugin, ROOT / "tests/languages/adapt" / source])
            check(flowloom, plugin)
            for options, arguments, expected in RUNS:
                if expected == WRONG_TYPE:
                    expected = WRONG_TYPES.get(language, expected)
                for calls in ("auto", "per-event"):
                    found = meter(flowloom, plugin, options, arguments, calls)
                    if isinstance(expected, str) and expected in found:
                        continue
                    same(found, expected, f"{language}, {options} {' '.join(arguments)}, {calls}")
    print(f"{len(SOURCES)} plugins, {len(RUNS)} runs in each call mode: they adapt as expected")


def check(flowloom, plugin):
    command = [flowloom, "plugin", "check", f"{plugin},share=1", *COMPILE]
    description = run([*command, "--grant", f"{plugin.stem}=addresses,payload:5"]).stdout
    start = description.index("packet  ")
    same(description[start:], DESCRIPTION.format(name=plugin.stem), f"check of {plugin.stem}")


def meter(flowloom, plugin, options, arguments, calls):
    """Return the values of the first flow, or the errors."""
    command = [flowloom, "meter", CAPTURE, "--format", "jsonl", "--plugin-calls", calls, *COMPILE]
    command += ["--plugin", f"{plugin},{options}", *(argument.format(name=plugin.stem) for argument in arguments)]
    done = run(command, may_fail=True)
    if done.returncode:
        return done.stderr
    return json.loads(done.stdout.splitlines()[0])["udps"][plugin.stem]["values"]


def same(actual, expected, what):
    if actual != expected:
        sys.exit(f"adapt.py: {what}: {actual!r}, expected {expected!r}")


def run(command, may_fail=False):
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done


if __name__ == "__main__":
    main()
