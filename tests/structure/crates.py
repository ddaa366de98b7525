#!/usr/bin/env python3
"""Packages the crates that are published, and checks the packages.

    tests/structure/crates.py [--verify]

Each package must

- contain only files that git knows or would add, directly or behind symbolic links,
- contain a README, both licences, and every file that its sources include,
- be smaller than 1 MB. The limit of crates.io is 10 MB.

`--verify` is for releases. It needs a work tree without changes. Cargo then builds each crate from its package,
with the other packages in place of the registry. It uses the profile and the target folder of the workspace, so that
it compiles dependencies once. The `flowloom` that results, `target/debug/flowloom`, creates, builds and tests a plugin
in Rust, in a folder outside of the work tree.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
MAX_BYTES = 1_000_000
GENERATED = {".cargo_vcs_info.json", "Cargo.lock", "Cargo.toml", "Cargo.toml.orig"}
REQUIRED = {"LICENSE-APACHE", "LICENSE-MIT", "README.md"}
INCLUDE = re.compile(r'\binclude(?:_str|_bytes)?!\(\s*"([^"]+)"\s*\)')
WIT = re.compile(r'\b(?:bindgen|generate)!\(\{\s*path: "([^"]+)"')
# The files of the SDKs that the command contains (host/cli/src/plugin/sdk.rs).
CONTAINED = re.compile(r"= (files|manifests)!\[(.*?)\];", re.DOTALL)


def cargo(*arguments):
    environment = os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
    subprocess.run([os.environ.get("CARGO", "cargo"), *arguments], cwd=ROOT, env=environment, check=True)


def settings(name, value):
    """A table of a manifest as options for cargo: packages do not have the workspace's profile."""
    if not isinstance(value, dict):
        yield f"--config={name}={json.dumps(value)}"
        return
    for key, inner in value.items():
        yield from settings(f"{name}.{json.dumps(key)}", inner)


def published():
    """The crates of the workspace that may be published: name, version and folder of each."""
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--no-deps", "--format-version=1", "--offline"]
    packages = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)["packages"]
    return [
        (package["name"], package["version"], Path(package["manifest_path"]).parent)
        for package in packages
        if package["publish"] is None
    ]


def git(*arguments):
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def normal(path):
    """A path inside a package, without `..`; None if it leads out of the package."""
    parts = []
    for part in PurePosixPath(path).parts:
        if part != "..":
            parts.append(part)
        elif not parts:
            return None
        else:
            parts.pop()
    return "/".join(parts)


def read(files):
    """The files that the sources of a package read while they are compiled: pairs of source and path."""
    for name, data in files.items():
        if not name.endswith(".rs") or name.startswith(("sources/", "templates/")):
            continue
        text = data.decode()
        for path in INCLUDE.findall(text):
            yield name, f"{PurePosixPath(name).parent}/{path}"
        for path in WIT.findall(text):
            yield name, f"{path}/worlds.wit"
        for path in contained(text):
            yield name, path


def contained(text):
    for macro, paths in CONTAINED.findall(text):
        for path in re.findall(r'"([^"]+)"', paths):
            yield f"sources/{path}" + (".in" if macro == "manifests" else "")


def problems(folder, files, size, known):
    if size > MAX_BYTES:
        yield f"{size} bytes are more than {MAX_BYTES}"
    for name in sorted(REQUIRED - set(files)):
        yield f"{name} is missing"
    for source, path in read(files):
        if normal(path) not in files:
            yield f"{source} reads {path}, which is not in the package"
    for name in sorted(set(files) - GENERATED):
        if (folder / name).resolve() not in known:
            yield f"{name} is not a file of the repository"
    used = {normal(path) for _, path in read(files)} | {"sources/Cargo.toml.in"}
    for name in sorted(files):
        if name.startswith("sources/") and name not in used:
            yield f"{name} is not used"


def check(name, version, folder, known):
    path = TARGET / f"package/{name}-{version}.crate"
    with tarfile.open(path) as archive:
        files = {
            member.name.removeprefix(f"{name}-{version}/"): archive.extractfile(member).read()
            for member in archive.getmembers()
        }
    size = path.stat().st_size
    unpacked = sum(map(len, files.values()))
    print(f"{name:20} {len(files):4} files {unpacked / 1000:7.0f} kB, compressed {size / 1000:4.0f} kB")
    found = list(problems(folder, files, size, known))
    for problem in found:
        print(f"{name}: {problem}", file=sys.stderr)
    return not found


def try_plugin():
    """Creates, builds and tests a plugin with the command that was built from the packages."""
    flowloom = TARGET / "debug/flowloom"
    with tempfile.TemporaryDirectory() as folder:
        for words in [["new", "mine", "--lang", "rust"], ["build", "mine"], ["test", "mine"]]:
            subprocess.run([flowloom, "plugin", *words], cwd=folder, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verify", action="store_true", help="build the crates from their packages")
    verify = parser.parse_args().verify
    # Cargo itself does not see changes behind links to folders.
    if verify and git("status", "--porcelain"):
        sys.exit("tests/structure/crates.py: the work tree has changes; commit them first")
    known = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    known = {(ROOT / path).resolve() for path in known}
    crates = published()
    chosen = [word for name, _, _ in crates for word in ("--package", name)]
    cargo("package", "--quiet", "--locked", "--offline", "--no-verify", "--allow-dirty", *chosen)
    if not all([check(*crate, known) for crate in crates]):
        sys.exit(1)
    if verify:
        # Downloads what is missing. Otherwise cargo would update the index anew for each crate.
        cargo("fetch", "--locked")
        profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["dev"]
        cargo("package", "--locked", "--offline", *settings("profile.dev", profile), *chosen)
        try_plugin()


if __name__ == "__main__":
    main()
