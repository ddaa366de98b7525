#!/usr/bin/env python3
"""Write docs/applications.md: the applications, categories and risks of both supported versions of nDPI.

    target/oracle/bin/python tests/oracle/application_names.py --flowloom target/debug/flowloom

nDPI 4.2 is that of the system. nDPI 5.0 is in the NFStream of this Python. With --check the program writes nothing, and
exits with status 1 if the page is not current.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/applications.md"

HEAD = """\
# Applications, categories and risks

nDPI determines the application columns. The names depend on its version, which the summary of a run and the metadata of
Parquet and Arrow files state. This page lists the names of both supported versions. `flowloom applications` lists those of
the nDPI that is loaded, with the protocols of your own lists.

`application_name` can have two of these names: `TLS.Facebook` is Facebook over TLS. A flow can have another category than its
application, for example if the server name is in a list of malware.

"""


def ndpi_5_0() -> Path:
    """Return the extension of NFStream, which contains nDPI 5.0."""
    found = importlib.util.find_spec("_lib_engine")
    if found is None or found.origin is None:
        sys.exit("NFStream is not installed in this Python: run `make oracle`, and use target/oracle/bin/python")
    return Path(found.origin)


def listed(flowloom: str, library: str, version: str) -> dict:
    """Return what a library can find."""
    command = [flowloom, "applications", "--format", "json", "--ndpi", library]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if not found["ndpi"]["version"].startswith(version):
        sys.exit(f"nDPI {version} is needed, but {library} is {found['ndpi']['version']}")
    return found


def page(old: dict, new: dict) -> str:
    """Return the page for nDPI 4.2 and 5.0."""
    categories = [{app["name"]: app["category"] for app in found["applications"]} for found in (old, new)]
    names = sorted(set().union(*categories), key=lambda name: (name.casefold(), name))
    text = HEAD + "## Applications\n\n"
    text += f"nDPI 4.2 has {len(categories[0])} applications, nDPI 5.0 has {len(categories[1])}. "
    text += "An empty cell means that the version does not have the application.\n\n"
    text += "| application | category in 4.2 | category in 5.0 |\n|---|---|---|\n"
    for name in names:
        cells = " | ".join(category.get(name, "") for category in categories)
        text += f"| `{name}` | {cells} |\n"
    text += "\n## Risks\n\nThe values of `application_risks`. A version that does not have a name has an empty cell.\n\n"
    text += "| risk in 4.2 | risk in 5.0 |\n|---|---|\n"
    risks = [found["risks"] for found in (old, new)]
    for number in range(max(map(len, risks))):
        cells = " | ".join(names[number] if number < len(names) else "" for names in risks)
        text += f"| {cells} |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default="target/debug/flowloom", help="the command")
    parser.add_argument("--system", default="libndpi.so.4.2", help="nDPI 4.2")
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the page is not current")
    options = parser.parse_args()
    old = listed(options.flowloom, system_library(options.system), "4.2")
    new = listed(options.flowloom, str(ndpi_5_0()), "5.0")
    text = page(old, new)
    if not options.check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit(f"{PAGE} is not current; run tests/oracle/application_names.py")


def system_library(name: str) -> str:
    """Return the path of a library of the system, or the name itself if it is a path."""
    if "/" in name:
        return name
    lines = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [line.rsplit(" => ", 1)[1] for line in lines if line.strip().startswith(f"{name} ")]
    if not paths:
        sys.exit(f"{name} is not installed")
    return paths[0]


if __name__ == "__main__":
    main()
