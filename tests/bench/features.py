#!/usr/bin/env python3
"""Count the instructions per packet of each function in the table of docs/features-tutorial.md.

    tests/bench/features.py [FOLDER] [--bless]

The program compiles a plugin with only this function, and runs the example `meter` with it under valgrind's callgrind. It
counts the instructions of the plugin. `--bless` writes them into the table. FOLDER has the programs `flowloom`, `traffic`
and `examples/meter`; the default is target/release.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/features-tutorial.md"
PACKETS = 20_000
FLOWS = 100
ROW = re.compile(r"^(\| `(.*?)` \|.*\|) *(\S*) *\|$", re.MULTILINE)
# The machine code of the plugin has no file.
GUEST = re.compile(r"^ *([\d,]+) +\?\?\?:0x[0-9a-f]+ \[\?\?\?\]$", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "target/release")
    parser.add_argument("--bless", action="store_true")
    arguments = parser.parse_args()
    page = PAGE.read_text()
    begin, end = re.search(r"<!-- functions -->\n.*?<!-- end -->", page, re.DOTALL).span()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        capture = folder / "packets.pcap"
        traffic = [arguments.folder / "traffic", "--output", capture, "uniform"]
        subprocess.run([*traffic, "--flows", str(FLOWS), "--packets", str(PACKETS)], check=True)

        def cost(row):
            source, component = folder / "x.features", folder / "x.wasm"
            source.write_text(f"x = {row[2]}\n")
            command = [arguments.folder / "flowloom", "plugin", "compile", source, "-o", component]
            if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
                return row[0]
            count = instructions(arguments.folder, folder, component, capture)
            if count is None:
                return row[0]
            # Opening the plugin needs less than one instruction per packet.
            number = round(count / PACKETS)
            print(f"{number:5}  {row[2]}", flush=True)
            return f"{row[1]} {number} |"

        table = ROW.sub(cost, page[begin:end])
    if arguments.bless:
        PAGE.write_text(page[:begin] + table + page[end:])


def instructions(programs, folder, component, capture):
    """Return the instructions of a plugin in a run over a capture; None if it needs a grant, which the example does not give."""
    out = folder / "callgrind.out"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", programs / "examples/meter", "/dev/null", capture]
    if subprocess.run([*command, component], check=False, capture_output=True).returncode:
        return None
    annotate = ["callgrind_annotate", "--show-percs=no", "--threshold=100", "--auto=no", out]
    shown = subprocess.run(annotate, check=True, capture_output=True, text=True).stdout
    return sum(int(count.replace(",", "")) for count in GUEST.findall(shown))


if __name__ == "__main__":
    main()
