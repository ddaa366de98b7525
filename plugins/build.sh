#!/bin/sh
# Builds plugins into target/plugins/NAME.wasm. Without arguments it builds all plugins of this folder.
# NAME may also be a guest of the tests. A folder without Cargo.toml has a file of features, NAME.features.
#
#     plugins/build.sh [NAME …]
#
# FLOWLOOM is the flowloom command that converts modules to components, and compiles features (default:
# target/debug/flowloom).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. sdk/tools/rust.sh
core=target/wasm/$triple/plugin
flowloom=${FLOWLOOM:-target/debug/flowloom}

say() { echo "plugins/build.sh: $*" >&2; }

if [ $# -eq 0 ]; then
    for folder in plugins/*/; do
        set -- "$@" "$(basename "$folder")"
    done
fi

packages=
modules=
features=
for name in "$@"; do
    if [ -f "plugins/$name/Cargo.toml" ] || [ -f "tests/guests/$name/Cargo.toml" ]; then
        packages="$packages -p $name"
        modules="$modules $name"
    elif [ -f "plugins/$name/$name.features" ]; then
        features="$features $name"
    else
        say "unknown plugin $name: there is no plugins/$name/Cargo.toml, and no plugins/$name/$name.features"
        exit 1
    fi
done
# shellcheck disable=SC2086 # one word each
[ -z "$packages" ] || cargo_wasm --profile plugin --target-dir target/wasm $packages

mkdir -p target/plugins
for name in $modules; do
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
for name in $features; do
    "$flowloom" plugin compile "plugins/$name/$name.features" -o "target/plugins/$name.wasm" >/dev/null
    echo "target/plugins/$name.wasm: $(wc -c <"target/plugins/$name.wasm") bytes"
done
