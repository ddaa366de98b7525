#!/usr/bin/env python3
"""Writes the licence texts of all that the packages contain: third_party.py FILE

These are the crates of the program, of the Python module and of the components beside it, libpcap, Rust's standard library, and the parts of zig that its linker adds. Fails if a crate has
no licence text, unless `TEXT_OF` says whose text applies.

cargo-about would do the same for crates, but no registry has its program, and building it takes longer than Flowloom.
"""

import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = "x86_64-unknown-linux-gnu"
NAMES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)

WASMTIME = "crate of wasmtime's repository, whose packages mostly have this text"
APACHE = ROOT / "LICENSE-APACHE"
# Crates whose packages have no licence text: the crate or file that has it, and the reason.
TEXT_OF = {
    "cranelift-assembler-x64": ("wasmtime", WASMTIME),
    "cranelift-bitset": ("wasmtime", WASMTIME),
    "etherparse": (APACHE, "MIT OR Apache-2.0: Flowloom uses it under the Apache License"),
    "flatbuffers": (APACHE, "Apache-2.0, whose text is the same for everybody"),
    "pulley-interpreter": ("wasmtime", WASMTIME),
    "wasmtime-internal-component-util": ("wasmtime", WASMTIME),
    "wasmtime-internal-core": ("wasmtime", WASMTIME),
    "wasmtime-internal-jit-icache-coherence": ("wasmtime", WASMTIME),
}


class Text(html.parser.HTMLParser):
    """The text of an HTML page."""

    def __init__(self):
        super().__init__()
        self.parts = []

    def handle_data(self, data):
        self.parts.append(data)


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates():
    """Returns name, version, licence and folder of each crate that is part of a package, without our own."""
    ours = ["flowloom-cli", "flowloom-python", *run("host/python/components.sh").split()]
    packages = [word for name in ours for word in ("--package", name)]
    tree = run(
        *["cargo", "tree", "--locked", *packages, "--target", TARGET],
        *["--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "--format", "{p}"],
    )
    used = {tuple(line.split()[:2]) for line in tree.splitlines()}
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    return sorted(
        (package["name"], package["version"], package["license"], pathlib.Path(package["manifest_path"]).parent)
        for package in metadata["packages"]
        if (package["name"], f"v{package['version']}") in used and package["source"]
    )


def normal(text):
    """Returns a text with the same line ends and margins as others of its kind."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def texts_of(folder):
    """Returns the licence texts of a folder, in the order of their names."""
    files = sorted(path for path in folder.iterdir() if NAMES.match(path.name))
    files += [file for path in files if path.is_dir() for file in sorted(path.iterdir())]
    return [file.read_text(errors="replace") for file in files if file.is_file()]


def crate_texts():
    """Returns the texts of crates, each with the crates that have it."""
    known = {name: folder for name, _, _, folder in crates()}
    holders, missing, unused = {}, [], set(TEXT_OF)
    for name, version, licence, folder in crates():
        texts = texts_of(folder)
        if not texts and name in TEXT_OF:
            unused.discard(name)
            place, _ = TEXT_OF[name]
            texts = texts_of(known[place]) if place in known else [pathlib.Path(place).read_text()]
        if not texts:
            missing.append(f"{name} {version} ({licence})")
        for text in texts:
            holders.setdefault(normal(text), []).append(f"{name} {version} ({licence})")
    if missing:
        sys.exit("third_party.py: no licence text in the packages of: " + ", ".join(missing))
    if unused:
        sys.exit("third_party.py: remove from TEXT_OF, which needs no entry for: " + ", ".join(sorted(unused)))
    return [(sorted(set(names)), text) for text, names in holders.items()]


def rust_texts():
    """Returns the notices of Rust's standard library."""
    notices = pathlib.Path(run("rustc", "--print", "sysroot").strip(), "share/doc/rust/COPYRIGHT-library.html")
    if not notices.is_file():
        sys.exit(f"third_party.py: there is no {notices}: run rustup component add rust-docs")
    page = Text()
    page.feed(notices.read_text())
    text = re.sub(r"\n\s*\n+", "\n\n", "".join(page.parts))
    return [([f"Rust's standard library, {run('rustc', '--version').strip()}"], normal(text))]


def main():
    (target,) = sys.argv[1:]
    tools = ROOT / "target/packages/tools/bin/python"
    zig = pathlib.Path(run(tools, "-c", "import ziglang; print(ziglang.__path__[0])").strip())
    libpcap = ROOT / "target/packages/libpcap/doc"
    sections = [
        (["libpcap (BSD-3-Clause), statically linked"], normal((libpcap / "LICENSE").read_text())),
        (["libpcap: licences of its files"], normal((libpcap / "copyright").read_text())),
        (["zig's runtime library for C (MIT)"], normal((zig / "LICENSE").read_text())),
        (
            ["LLVM's libunwind (Apache-2.0 WITH LLVM-exception)"],
            normal((zig / "lib/libunwind/LICENSE.TXT").read_text()),
        ),
        *rust_texts(),
        *crate_texts(),
    ]
    lines = [
        "The program flowloom contains the software below, under these licences.",
        "nDPI is no part of it: Flowloom loads nDPI while it runs, if it is installed.",
    ]
    for names, text in sections:
        lines += ["", "=" * 100, *names, "-" * 100, "", text]
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    pathlib.Path(target).write_text("\n".join(lines) + "\n")
    print(f"{target}: {len(crates())} crates, {len(sections)} texts")


main()
