#!/usr/bin/env python3
"""Check what authors of JavaScript and TypeScript have before they build: tests in node, and types in editors.

    tests/languages/node.py [--flowloom COMMAND]

Writes the templates of `flowloom plugin new` into target/node, and runs `npm install` and `npm test` in each. npm installs
the version of TypeScript that the template names. The templates, the examples of `--example` and the example of the SDK must
have no error of types.
A misspelt field, a field that was not requested, and a misspelt key must be errors. A plugin in TypeScript must have
errors with the lines of its source. Texts of `flowloom/testing` must be those of components.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = ROOT / "host/cli/templates"
TOOLS = Path(os.environ.get("FLOWLOOM_TOOLS", ROOT / "target/sdk-tools"))
HERE = ROOT / "target/node"
#: Changes of the templates, and a part of the error of the type checker.
WRONG_TYPES = {
    "javascript": [
        ("packet.ip_size >", "packet.ip_siz >", "'ip_siz' does not exist on type"),
        ('"direction"]', '"directon"]', '"directon"'),
        ("outputs: {", "outptus: {", "'outptus' does not exist in type 'Manifest'"),
        ('["boolean"', '["bool"', '"bool"'),
    ],
    "typescript": [
        ("packet.ip_size >", "packet.ip_siz >", "'ip_siz' does not exist on type"),
        ("packet.ip_size >", "packet.ttl >", "'ttl' does not exist on type"),
        ("packet: PACKET", "packets: PACKET", "'packets' does not exist in type 'Manifest'"),
    ],
}
#: The examples of `flowloom plugin new`, apart from the default one.
EXAMPLES = ["dns", "tls", "http"]
#: Tests of the SDK's errors in node: a program, and a part of its output.
RUNS = [
    ("run({ ...plugin, update: undefined }, [])", "does not export the function `update`"),
    ("run({ ...plugin, udpate() {}, update: undefined }, [])", "unknown function `udpate` of the plugin; did you mean `update`?"),
    ("run(plugin, [{ packets: [{ ip_siz: 1 }] }])", "unknown packet field `ip_siz`; did you mean `ip_size`?"),
    ("run(plugin, [{ packets: [] }])", "must be a list with at least one packet"),
    ("run(plugin, [{ packets: [{}] }], { options: { n: 1 } })", "unknown option `n`; this plugin accepts no options"),
    (
        "run({ ...plugin, init: (packet) => packet.ttl }, [{ packets: [{ ttl: 1 }] }])",
        "packet field `ttl` was not requested; add it to `packet` in the manifest that `open` returns",
    ),
    (
        "run({ ...plugin, expire: () => ({ size: 1.5 }) }, [{ packets: [{}] }])",
        "expire returned 1.5 (float) for output `size`, which is integer",
    ),
    (
        "run({ ...plugin, open: () => ({ ...plugin.open(), cutsFlows: true }), cuts: ({ size }) => size > 1 },"
        " [{ packets: [1, 2, 3, 1].map((ip_size) => ({ ip_size })) }]).map(({ size }) => size).join()",
        "2,3,1",
    ),
    (
        "run({ ...plugin, open: () => ({ ...plugin.open(), packetsPerFlow: 2 }) },"
        " [{ packets: [1, 2, 3].map((ip_size) => ({ ip_size })) }])[0].size",
        "2",
    ),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    flowloom = parser.parse_args().flowloom
    for language in WRONG_TYPES:
        write(language)
        run(["npm", "install", "--no-audit", "--no-fund", "--silent"], HERE / language)
        expect("pass 1", run(["npm", "test"], HERE / language), f"npm test, {language}")
    shutil.copy(ROOT / "sdk/javascript/examples/first_bytes_stats.js", HERE / "javascript")
    for language, changes in WRONG_TYPES.items():
        source = HERE / language / f"plugin.{'js' if language == 'javascript' else 'ts'}"
        right = source.read_text()
        expect("", check_types(language), f"types, {language}")
        for correct, wrong, error in changes:
            source.write_text(right.replace(correct, wrong, 1))
            expect(error, check_types(language) or "no error", f"types with {wrong}")
        source.write_text(right)
        for example in EXAMPLES:
            write_example(language, example)
            expect("pass 2", run(["npm", "test"], HERE / language), f"npm test, {example}, {language}")
            expect("", check_types(language), f"types, {example}, {language}")
        write(language)
    for program, output in RUNS:
        expect(output, run_in_node(program), program)
    lines_of_typescript(flowloom)
    print(f"templates in {len(WRONG_TYPES)} languages, {len(RUNS)} runs in node: tests, types and texts are as expected")


def write(language):
    """Write the template, and keep node_modules."""
    for path in (TEMPLATES / language).rglob("*"):
        if path.is_file() and path.name.split(".")[0] not in EXAMPLES:
            copy = HERE / language / path.relative_to(TEMPLATES / language)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text().replace("@NAME@", "mine")
            copy.write_text(text.replace("@SDK_PATH@", str(ROOT)).replace("@SDK@", str(ROOT)))


def write_example(language, example):
    """Replace the plugin and its test by those of an example. Both languages have the same test."""
    extension = "js" if language == "javascript" else "ts"
    shutil.copy(TEMPLATES / language / f"{example}.{extension}", HERE / language / f"plugin.{extension}")
    test = (TEMPLATES / f"javascript/tests/{example}.test.js").read_text()
    (HERE / language / f"tests/plugin.test.{extension}").write_text(test.replace("@SOURCE@", f"plugin.{extension}"))


def check_types(language):
    """Return the errors of the type checker."""
    settings = "jsconfig.json" if language == "javascript" else "tsconfig.json"
    return run([HERE / "typescript/node_modules/.bin/tsc", "-p", settings], HERE / language, may_fail=True)


def run_in_node(program):
    """Return what the program prints, or its error."""
    text = f"""
        import {{ run }} from "flowloom/testing";
        import * as plugin from "./plugin.js";
        try {{ console.log({program}); }} catch (error) {{ console.log(error.message); }}
    """
    return run(["node", "--input-type=module", "--eval", text], HERE / "javascript")


def lines_of_typescript(flowloom):
    source = HERE / "typescript/throws.ts"
    text = (HERE / "typescript/plugin.ts").read_text()
    line = "  (null as unknown as State).size++;"
    source.write_text(text.replace("  return state;\n", f"{line}\n  return state;\n", 1))
    number = source.read_text().splitlines().index(line) + 1
    plugin = HERE / "throws.wasm"
    run([ROOT / "sdk/javascript/build.sh", plugin, source], ROOT)
    source.unlink()
    command = [flowloom, "meter", ROOT / "tests/captures/tls13.pcap", "--plugin", plugin, "--format", "jsonl"]
    expect(f"at init (throws.ts:{number}:", run(command, ROOT, may_fail=True), "error of a plugin in TypeScript")


def expect(part, text, what):
    if part not in text or (part == "" and text != ""):
        sys.exit(f"node.py: {what}: {text!r} does not contain {part!r}")


def run(command, folder, may_fail=False):
    path = os.pathsep.join([str(TOOLS / "venv/bin"), str(TOOLS / "node_modules/.bin"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr if may_fail or command[0] == "npm" else done.stdout


if __name__ == "__main__":
    main()
