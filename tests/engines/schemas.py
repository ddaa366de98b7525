#!/usr/bin/env python3
"""Check the JSON schemas in docs/schemas, by which editors check and complete Flowloom's TOML files.

    tests/engines/schemas.py [--flowloom COMMAND] [--bless]

The schema of a run's configuration is generated: keys and texts are those of `flowloom meter --help`, and the command says
which values it accepts for each key. The committed schema must equal it; --bless writes it. Therefore the schema has all
options of the help and no other.

For each file and each wrong file, the schema and the command must agree. For files that name captures and plugins which do
not exist, an argument that the command does not have follows the configuration: the command accepts the configuration if it
complains of the argument.

This needs the built command and the package jsonschema, so `make engines` runs it, and `make check` does not.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import jsonschema

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMAS = ROOT / "docs/schemas"
CONFIGURATION = SCHEMAS / "flowloom.schema.json"
CAPTURE = ROOT / "tests/captures/tls13.pcap"
TEMPLATE = ROOT / "host/cli/templates/common/flowloom-plugin.toml"
NO_OPTION = "--no-such-option"

#: Patterns of values, by what the command says about a value that it does not accept.
NUMBER = r"a whole number from (\d+) to (\d+) is accepted"
TIME, SIZE = r"0*[1-9][0-9]*(s|min|h|d)", r"0*[1-9][0-9]*([kMGT]B|[KMGT]iB)"
TUNNEL = " *(gtp|capwap|tzsp|vxlan|gre|geneve) *"
GRANT = "(addresses|pseudonyms|application|names|(payload|bytes):[1-9][0-9]{0,4})"
PATTERNS = {
    "expected a time such as 30s, 5min, 24h or 7d": f"^{TIME}$",
    "expected a size such as 256MiB or 2GB": f"^{SIZE}$",
    "expected a time, a size, or both, such as 24h,2GiB": f"^({TIME}|{SIZE}|{TIME},{SIZE}|{SIZE},{TIME})$",
    "expected none, zstd, or zstd:1 to zstd:22": "^(none|zstd(:([1-9]|1[0-9]|2[0-2]))?)$",
    "'?' is not one of gtp, capwap, tzsp, vxlan, gre, geneve": f"^{TUNNEL}(,{TUNNEL})*$",
    "give NAME=WHAT, as in slicer=addresses,payload:64": f"^[A-Za-z0-9_-]{{1,64}}={GRANT}(,{GRANT})*$",
    "give PORT, or ADDRESS:PORT as in 127.0.0.1:9100 or [::]:9100": r"^(([0-9.]+|\[[0-9A-Fa-f:.]+\])?:)?[0-9]{1,5}$",
}
#: The largest integer of TOML.
MOST = 2**63 - 1


class Flowloom:
    """The command, which reads configurations."""

    def __init__(self, command, folder):
        self.command = Path(command).resolve()
        self.folder = Path(folder)

    def run(self, *arguments):
        return subprocess.run([self.command, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)

    def help(self):
        return self.run("meter", "--help").stdout

    def error(self, configuration):
        """Returns the first error about a configuration; None if it is accepted."""
        file = self.folder / "run.toml"
        file.write_text(configuration)
        error = self.run("meter", "--config", file, NO_OPTION).stderr
        return None if f"unexpected argument '{NO_OPTION}'" in error else error


# The schema of a configuration.

def options(text):
    """Returns the long options of a help text: name, heading, and paragraphs of the description."""
    found, heading = [], None
    for line in text.splitlines():
        option = re.match(r" {2,6}(?:-\w, )?--([a-z-]+)", line)
        if option:
            found.append((option[1], heading, [[]]))
        elif re.match(r"\S.*:$", line):
            heading = line.rstrip(":")
        elif found and re.match(r" {10}\S", line):
            found[-1][2][-1].append(line.strip())
        elif found and not line.strip():
            found[-1][2].append([])
        if heading == "Examples":
            break
    return [(name, heading, [" ".join(part) for part in parts if part]) for name, heading, parts in found]


def described(paragraphs):
    """Returns the description of an option and its default, as a text or None."""
    text, default = "\n\n".join(part for part in paragraphs if not part.startswith("Possible values:")), None
    found = re.search(r"\s*\[default: (.*?)\]", text)
    if found:
        default = found[1]
        text = text.replace(found[0], "")
    return text.strip(), default


def values(name, flowloom):
    """Returns the schema of an option's value. None if a file cannot have the option."""
    error = flowloom.error(f"{name} = '?'")
    if error and ("is an option of the command line only" in error or "there is no option" in error):
        return None
    if error and "must be true or false" in error:
        return {"type": "boolean"}
    number = re.search(NUMBER, error or "")
    choices = re.search(r"\[possible values: (.*)\]", error or "")
    if error is None:
        one = {"type": ["string", "integer"]}
    elif number:
        one = {"type": "integer", "minimum": int(number[1]), "maximum": int(number[2])}
        if one["maximum"] > MOST:
            del one["maximum"]
        # The command also accepts digits in quotes. A pattern cannot have a range.
        if flowloom.error(f"{name} = '1'") is None:
            one |= {"type": ["integer", "string"], "pattern": "^[0-9]+$"}
    elif choices:
        one = {"enum": choices[1].split(", ")}
    else:
        reason = next((reason for reason in PATTERNS if reason in error), None)
        if reason is None:
            sys.exit(f"add a pattern to PATTERNS for `{name}`: {error}")
        one = {"type": "string", "pattern": PATTERNS[reason]}
        if flowloom.error(f"{name} = 9100") is None:
            one |= {"type": ["string", "integer"], "minimum": 0, "maximum": 65535}
    of_lists = flowloom.error(f"{name} = []")
    if of_lists is None:
        return {"anyOf": [one, {"type": "array", "items": one}]}
    return one


def configuration(flowloom):
    """Returns the schema of a configuration."""
    properties = {
        "sources": {
            "description": "Capture files, folders of captures, one interface, or `-` for standard input. A list, or one text.",
            "anyOf": [{"$ref": "#/definitions/source"}, {"type": "array", "items": {"$ref": "#/definitions/source"}}],
        }
    }
    underscores = {}
    for name, heading, paragraphs in options(flowloom.help()):
        value = values(name, flowloom)
        if value is None:
            continue
        description, default = described(paragraphs)
        properties[name] = {"title": heading, "description": description, **value}
        if default is not None:
            is_number = "minimum" in value and default.isdigit()
            # Some defaults are descriptions: "a random key".
            if is_number or " " not in default:
                properties[name]["default"] = int(default) if is_number else default
            else:
                properties[name]["description"] += f"\n\nDefault: {default}."
        # The command also accepts a mixture. Editors would show errors twice if a pattern matched the name itself.
        if "-" in name:
            underscores[f"^{name.replace('-', '_')}$"] = {"$ref": f"#/properties/{name}"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Generated by tests/engines/schemas.py --bless from `flowloom meter --help`.",
        "title": "Configuration of a run",
        "description": "The file of `flowloom meter --config`. The keys are the options of `flowloom meter` without the hyphens "
        "before them, and `sources`. Underscores are accepted for hyphens.",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "patternProperties": underscores,
        "definitions": {"source": {"type": "string", "pattern": "^(-$|[^-]|$)"}},
    }


# Files on which the schema and the command must agree.

def accepts(schema, text):
    """Returns whether a schema accepts a TOML file. A file that is not TOML is not accepted."""
    try:
        jsonschema.Draft7Validator(schema).validate(tomllib.loads(text))
    except (jsonschema.ValidationError, tomllib.TOMLDecodeError):
        return False
    return True


def blocks(page):
    """Returns the TOML examples of a page."""
    return re.findall(r"^```toml\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)


def configurations(schema, flowloom):
    """Yields what is checked, what the schema says, and what the command says."""
    [example] = [block for block in blocks("docs/usage.md") if "sources" in block]
    texts = [example, "", "sources = 'a.pcap'", "sources = ['a.pcap', '-']", "sources = ['--x']", "sources = 1",
             "active_timeout = 5", "statistical_analysis = true", "statistical-analysis = true\nend_on_fin = false",
             "active_timeout = 'x'", "sourcess = 'a.pcap'", "idle-tmeout = 5", "promiscuous = true", "[limits]\nflows = 1",
             "compression = 'zstd:23'", "compression = 'zstd:9'", "keep = '24h,2GiB'", "keep = '24h,7d'",
             "rotate-interval = '5m'", "rotate-size = '0kB'", "decode-tunnels = 'gtp,gre'", "decode-tunnels = 'gtp, gre'",
             "grant = ['ja4=payload:16384', 'x=addresses,names']", "grant = ['payload:64']", "metrics = '[::]:9100'",
             "config = 'other.toml'", "quiet = true", "n-meters = 257", "n-meters = 256", "queue-mib = 15",
             "metrics = 9100", "metrics = 0", "metrics = 65536", "metrics = ':9100'", "metrics = '127.0.0.1:9100'",
             "metrics = 'localhost:9100'", "decode-tunnels = ''",
             "end-on-fin = 'true'", "splt-analysis = 1.5", "format = 'CSV'", "keep-privileges = true", "= 1"]
    samples = ["true", "'?'", "1", "'1'", "-1", "1.5", "['?']", "[]", "[[1]]", "{ a = 1 }", "2026-11-29"]
    texts += [f"{name} = {sample}" for name in schema["properties"] for sample in samples]
    for text in texts:
        yield text, accepts(schema, text), flowloom.error(text) is None


def policies(schema, flowloom):
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    [example] = [block for block in blocks("docs/sandbox.md") if "unlisted" in block]
    # The page has `…` in place of a digest.
    texts = [example, example.replace("…", digest), "version = 1", "", "version = 2", "version = '1'",
             *("version = 1\n" + text for text in [
                 "plugin = 1", "unlisted = 'deny'", "unlisted = 'refuse'", "limits = { cal-ms = 1 }", "limits = { call-ms = 20 }",
                 "limits = { call-ms = 19 }", "limits = { call-ms = 20.5 }", "limits = { call-ms = '20' }",
                 "limits = { output-kib = 16384 }", "limits = { output-kib = 16385 }", "limits = { flows = 0 }",
                 "limits = { ns-per-event = 0 }", "limits = { memory-mib = 4294967296 }", "[plugins.a]",
                 "[plugins.a]\nsha256 = '9f'", f"[plugins.a]\nsha256 = '{digest.upper()}'", "[plugins.a]\ngrants = ['all']",
                 "[plugins.a]\ngrants = 'names'", "[plugins.a]\ngrants = ['names,payload:64', 'bytes:1']",
                 "[plugins.a]\ngrants = ['payload:0']", "[plugins.a]\ngrant = ['names']", "[plugins.a.options]\nx = []",
                 "[plugins.a.options]\nx = 1\ny = 'a'\nz = true\nf = 0.5", "[plugins.a.limits]\nopen-ms = 9", "[plugins.a",
             ])]
    file = flowloom.folder / "policy.toml"
    for text in texts:
        file.write_text(text)
        done = flowloom.run("meter", CAPTURE, "--policy", file, "--check-config")
        yield text, accepts(schema, text), done.returncode == 0


def projects(schema, flowloom):
    """The command tests the project with a plugin that is built."""
    folder = flowloom.folder / "my_x"
    (folder / "tests").mkdir(parents=True)
    (folder / "tests/tls13.pcap").symlink_to(CAPTURE)
    for name in ("my_x", "my-x", "My_x", "a" * 64, "a" * 65):
        (folder / f"{name}.wasm").symlink_to(ROOT / "target/plugins/first_bytes_stats.wasm")
    template = TEMPLATE.read_text()
    for name, value in {"NAME": "my_x", "SOURCE": ".", "SDK": "flowloom-sdk", "SDK_PATH": "./flowloom-sdk"}.items():
        template = template.replace(f"@{name}@", value)
    texts = [template.replace("@LANGUAGE@", language)
             for language in ["rust", "c", "zig", "javascript", "typescript", "python", "go", "Rust", "java"]]
    plugin = "[plugin]\nname = 'my_x'\nlanguage = 'c'\nsource = 'x.c'\n"
    test = "[[test]]\ncapture = 'tests/tls13.pcap'\nexpected = 'tests/x.jsonl'\n"
    # The plugin needs a grant.
    test = f"{test}grant = 'payload:64'\n"
    texts = [f"{text}\ngrant = 'payload:64'\n" for text in texts]
    texts += [plugin + test, f"{plugin}sdk = '/usr/src/flowloom'\n{test}", f"{plugin}{test}options = {{ n = 32 }}\n",
              f"{plugin}{test}options = {{ n = '32' }}\n", f"{plugin}{test}options = 32\n", f"{plugin}{test}option = {{ n = 32 }}\n",
              f"{plugin}sorce = 'x'\n{test}", f"{plugin}version = '1'\n{test}", test, plugin.replace("source", "files") + test,
              plugin.replace("name = 'my_x'\n", "") + test, plugin.replace("'c'", "1") + test,
              plugin.replace("my_x", "my-x") + test, plugin.replace("my_x", "My_x") + test, plugin.replace("my_x", "a" * 65) + test,
              plugin.replace("my_x", "a" * 64) + test,
              plugin + test.replace("capture", "captures"), plugin + test.replace("expected = 'tests/x.jsonl'\n", ""),
              plugin + test.replace("[[test]]", "[test]"), plugin + test.replace("[[test]]", "[[tests]]"),
              plugin + test.replace("payload:64", "payload:64,names"), plugin + test.replace("payload:64", "payload"),
              plugin + test.replace("payload:64", "payload:64, names"), plugin + test.replace("'payload:64'", "['payload:64']")]
    for text in texts:
        (folder / "flowloom-plugin.toml").write_text(text)
        done = flowloom.run("plugin", "test", folder, "--bless")
        yield text, accepts(schema, text), done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=ROOT / "target/debug/flowloom", type=Path)
    parser.add_argument("--bless", action="store_true", help="write the schema of the configuration")
    arguments = parser.parse_args()
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        flowloom = Flowloom(arguments.flowloom, folder)
        text = json.dumps(configuration(flowloom), indent=2, ensure_ascii=False) + "\n"
        if arguments.bless:
            CONFIGURATION.write_text(text)
        elif not CONFIGURATION.exists() or CONFIGURATION.read_text() != text:
            problems.append(f"{CONFIGURATION} is not current; run tests/engines/schemas.py --bless")
        for name, files in (("flowloom", configurations), ("policy", policies), ("flowloom-plugin", projects)):
            schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
            jsonschema.Draft7Validator.check_schema(schema)
            counts = {True: 0, False: 0}
            for file, by_schema, by_command in files(schema, flowloom):
                counts[by_command] += 1
                if by_schema != by_command:
                    words = {True: "accepts", False: "rejects"}
                    problems.append(f"{name}: the schema {words[by_schema]}, and the command {words[by_command]}:\n{file}")
            print(f"{name}: {counts[True]} valid files and {counts[False]} wrong ones")
            if not all(counts.values()):
                problems.append(f"{name}: no file is valid, or none is wrong")
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
