#!/bin/sh
# Builds a plugin from Python:
#
#     sdk/python/build.sh OUTPUT.wasm MODULE.py
#
# The module can import the modules in its folder. Needs componentize-py (PyPI; sdk/tools/install.sh installs
# it into target/sdk-tools). The component has no WASI, so it cannot access the machine.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_pypi componentize-py componentize-py
module=$1
name=$(basename "$module" .py)
[ -f "$module" ] || fail "cannot find $module"
# A Rust backtrace would hide the error in the author's module.
RUST_BACKTRACE=0 componentize-py --quiet --wit-path "$root/wit" --world dual-plugin componentize "$name" --stub-wasi \
    --python-path "$(dirname "$module")" --python-path "$root/sdk/python" --output "$output" 2>"$work/errors" || {
    python3 "$root/sdk/python/build_errors.py" "$work/errors" "$module"
    exit 1
}
python3 "$root/sdk/python/join_stubs.py" "$output"
