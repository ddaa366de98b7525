#!/usr/bin/env python3
"""Check that plugins that are built with WASI run, and that WASI gives them no access.

    tests/languages/wasi.py [--flowloom COMMAND]

Builds wasi/reaches_out.py and .js as the SDKs do, but keeps WASI. Meters a capture with them and with the plugins
that they extend, which have no WASI. Their values must be equal. Every attempt to access the system must have the
outcome in this file, in both call modes and in every run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests/languages/wasi"
TOOLS = Path(os.environ.get("FLOWLOOM_TOOLS", ROOT / "target/sdk-tools"))
CAPTURE = ROOT / "tests/captures/dns.pcap"
#: Some of the interfaces that each plugin imports.
WASI = {
    "python": ["cli/stderr", "clocks/wall-clock", "filesystem/types", "random/random", "sockets/tcp"],
    "javascript": ["cli/environment", "clocks/monotonic-clock", "random/insecure-seed"],
}
#: The error of all accesses to files, because there are no preopened folders.
NOWHERE = "FileNotFoundError: No such file or directory"
DENIED = "PermissionError: Permission denied"
#: The outcomes of attempts. They do not depend on the user or on the time.
OUTCOMES = {
    "python": {
        "read": NOWHERE,
        "write": NOWHERE,
        "list": NOWHERE,
        "remove": NOWHERE,
        "here": "/",
        "connect": DENIED,
        "resolve": DENIED,
        "input": "",
        "environment": [],
        "arguments": [],
        "sleep": 0,
        "print": None,
    },
    "javascript": {"passed_ms": 0, "globals": []},
}
#: The first numbers of the random number generator that the host has for each instance.
RANDOM = ["92cae6405cef790d", "30006f9ed80a6408"]
LOGGED = [" INFO plugin python: to standard output", " WARN plugin python: to standard error"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    flowloom = parser.parse_args().flowloom
    with tempfile.TemporaryDirectory() as folder:
        plugins = {"python": python(Path(folder)), "javascript": javascript(Path(folder))}
        for language, plugin in plugins.items():
            for interface in WASI[language]:
                same(f"wasi:{interface}@0.2.".encode() in plugin.read_bytes(), True, f"{language}: {interface}")
        for calls in ("auto", "per-event"):
            flows, log = meter(flowloom, plugins, calls)
            again, _ = meter(flowloom, plugins, calls)
            same(flows, again, f"flows of two runs, {calls}")
            for language in plugins:
                check(language, calls, [json.loads(flow) for flow in flows])
            for line in LOGGED:
                same(log.count(line), len(flows), f"lines `{line}`, {calls}")
    print(f"{len(plugins)} plugins with WASI, {len(flows)} flows: equal values, and no access")


def python(folder):
    plugin = folder / "python.wasm"
    paths = [HERE, ROOT / "sdk/python/examples", ROOT / "sdk/python"]
    command = ["componentize-py", "--quiet", "--wit-path", ROOT / "wit", "--world", "dual-plugin"]
    command += ["componentize", "reaches_out", "--output", plugin]
    run([*command, *(word for path in paths for word in ("--python-path", path))])
    return plugin


def javascript(folder):
    plugin, work = folder / "javascript.wasm", folder / "javascript"
    shutil.copytree(ROOT / "sdk/javascript/flowloom", work / "node_modules/flowloom")
    for module in (HERE / "reaches_out.js", ROOT / "sdk/javascript/examples/first_bytes_stats.js"):
        shutil.copy(module, work)
    (work / "entry.js").write_text("""
        import log from "flowloom:plugin/log@0.1.0";
        import { component } from "flowloom/component.js";
        import * as author from "./reaches_out.js";
        export const { feature, batchFeature } = component(author, log);
    """)
    command = ["componentize-qjs", "--wit", ROOT / "wit", "--world", "dual-plugin", "--sync"]
    run([*command, "--js", work / "entry.js", "--module-root", work, "--output", plugin])
    return plugin


def meter(flowloom, plugins, calls):
    """Meter the capture. Return the lines of flows and of the log."""
    command = [flowloom, "meter", CAPTURE, "--format", "jsonl", "--n-dissections", "0"]
    command += ["--plugin-calls", calls]
    for language, plugin in plugins.items():
        stubbed = ROOT / f"target/plugins/first_bytes_stats_{language}.wasm"
        for name, file in ((language, plugin), (f"stubbed_{language}", stubbed)):
            command += ["--plugin", f"{name}={file}", "--grant", f"{name}=payload:64"]
    done = run(command)
    return done.stdout.splitlines(), done.stderr.splitlines()


def check(language, calls, flows):
    newest = max(flow["bidirectional_last_seen_ms"] for flow in flows)
    for n, flow in enumerate(flows):
        where = f"{language}, {calls}, flow {flow['id']}"
        values = flow["udps"][language]
        reached = values.pop("reached")
        same(values, flow["udps"][f"stubbed_{language}"], f"values of {where}")
        for attempt, outcome in OUTCOMES[language].items():
            same(reached[attempt], outcome, f"{attempt} of {where}")
        # During a batch, the clock shows the time of its last event.
        now = flow["bidirectional_first_seen_ms"] if calls == "per-event" else newest
        if language == "python":
            same(reached["wall_ns"] // 1_000_000, now, f"wall_ns of {where}")
            same(reached["monotonic_ns"], reached["wall_ns"], f"monotonic_ns of {where}")
            if n < len(RANDOM):
                same(reached["random"], RANDOM[n], f"random of {where}")
        else:
            same(reached["wall_ms"], now, f"wall_ms of {where}")


def same(actual, expected, what):
    if actual != expected:
        sys.exit(f"wasi.py: {what}: {actual!r}, expected {expected!r}")


def run(command):
    path = os.pathsep.join([str(TOOLS / "venv/bin"), str(TOOLS / "node_modules/.bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done


if __name__ == "__main__":
    main()
