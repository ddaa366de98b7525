#!/usr/bin/env python3
"""Completes the SBOM (CycloneDX) that maturin has written, with the crates of the program: sbom.py SBOM FILE

Adds what cargo does not know: the static libpcap, Rust's standard library, and the runtime parts of zig. Removes the
path of this folder.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target/packages/tools/bin/python"


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def source_package(dsc):
    """Returns the fields and the SHA-256 of the files of Debian's source package."""
    text = dsc.read_text()
    version = re.search(r"^Version: (.*)$", text, re.MULTILINE)[1]
    sums = re.search(r"^Checksums-Sha256:\n((?: .*\n)+)", text, re.MULTILINE)[1]
    return version, {name: digest for digest, _, name in (line.split() for line in sums.splitlines())}


def additions():
    (dsc,) = (ROOT / "target/packages/libpcap/doc").glob("libpcap_*.dsc")
    version, files = source_package(dsc)
    (original,) = (name for name in files if ".orig.tar" in name and not name.endswith(".asc"))
    zig = run(TOOLS, "-m", "ziglang", "version")
    rust = re.search(r"rustc (\S+)", run("rustc", "--version"))[1]
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:deb/debian/libpcap@{version}?arch=source",
            "name": "libpcap",
            "version": version,
            "description": "Statically linked; built without USB, Bluetooth, D-Bus, RDMA and libnl",
            "scope": "required",
            "licenses": [{"license": {"id": "BSD-3-Clause"}}],
            "purl": f"pkg:deb/debian/libpcap@{version}?arch=source",
            "cpe": f"cpe:2.3:a:tcpdump:libpcap:{version.split('-')[0]}:*:*:*:*:*:*:*",
            "externalReferences": [
                {
                    "type": "distribution",
                    "url": original,
                    "hashes": [{"alg": "SHA-256", "content": files[original]}],
                }
            ],
        },
        {
            "type": "library",
            "bom-ref": f"rust-std@{rust}",
            "name": "rust-std",
            "version": rust,
            "description": "Rust's standard library",
            "scope": "required",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        },
        {
            "type": "library",
            "bom-ref": f"zig@{zig}",
            "name": "zig",
            "version": zig,
            "description": "Start-up code and libunwind, added by the linker",
            "scope": "required",
            "licenses": [{"expression": "MIT AND Apache-2.0 WITH LLVM-exception"}],
        },
    ]


def main():
    source, target = sys.argv[1:]
    bom = json.loads(pathlib.Path(source).read_text().replace(f"path+file://{ROOT}/", "path+file:///flowloom/"))
    added = additions()
    bom["components"] += added
    root = bom["metadata"]["component"]["bom-ref"]
    for dependency in bom["dependencies"]:
        if dependency["ref"] == root:
            dependency["dependsOn"] = sorted([*dependency.get("dependsOn", []), *(part["bom-ref"] for part in added)])
    bom["dependencies"] += [{"ref": part["bom-ref"]} for part in added]
    pathlib.Path(target).write_text(json.dumps(bom, indent=1) + "\n")


main()
