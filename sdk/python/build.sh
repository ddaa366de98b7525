#!/bin/sh
# Builds a plugin from Python:
#
#     sdk/python/build.sh OUTPUT.wasm MODULE.py
#
# The module's folder is where it imports from. Takes componentize-py (PyPI; sdk/tools/install.sh puts
# one into target/sdk-tools). What it builds in has no WASI: nothing of the machine can be reached.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_pypi componentize-py componentize-py
module=$1
name=$(basename "$module" .py)
[ -f "$module" ] || fail "there is no $module"
componentize-py --quiet --wit-path "$root/wit" --world dual-plugin componentize "$name" --stub-wasi \
    --python-path "$(dirname "$module")" --python-path "$root/sdk/python" --output "$output"
python3 "$root/sdk/python/join_stubs.py" "$output"
