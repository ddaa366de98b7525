#!/bin/sh
# Builds plugins into target/plugins/NAME.wasm. Without arguments it builds all plugins of this folder.
# NAME may also be a guest of the tests.
#
#     plugins/build.sh [NAME …]
#
# FLOWLOOM is the flowloom command that converts modules to components (default: target/debug/flowloom).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. sdk/tools/rust.sh
core=target/wasm/$triple/plugin
flowloom=${FLOWLOOM:-target/debug/flowloom}

say() { echo "plugins/build.sh: $*" >&2; }

if [ $# -eq 0 ]; then
    for manifest in plugins/*/Cargo.toml; do
        set -- "$@" "$(basename "$(dirname "$manifest")")"
    done
fi

packages=
for name in "$@"; do
    [ -f "plugins/$name/Cargo.toml" ] || [ -f "tests/guests/$name/Cargo.toml" ] ||
        { say "unknown plugin $name: there is no plugins/$name/Cargo.toml"; exit 1; }
    packages="$packages -p $name"
done
# shellcheck disable=SC2086 # one word each
cargo_wasm --profile plugin --target-dir target/wasm $packages

mkdir -p target/plugins
for name in "$@"; do
    warn_of_prints "$core/$name.wasm"
    if [ -x "$flowloom" ]; then
        "$flowloom" plugin componentize "$core/$name.wasm" -o "target/plugins/$name.wasm"
    elif command -v wasm-tools >/dev/null; then
        wasm-tools component new "$core/$name.wasm" -o "target/plugins/$name.wasm"
    else
        say "cannot find $flowloom; build it with \`cargo build\`, or set FLOWLOOM to the command"
        exit 1
    fi
    echo "target/plugins/$name.wasm: $(wc -c <"target/plugins/$name.wasm") bytes"
done
