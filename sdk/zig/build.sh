#!/bin/sh
# Builds a plugin from Zig:
#
#     sdk/zig/build.sh OUTPUT.wasm SOURCE.zig
#
# The source may import the files beside it, and "flowloom". Needs Zig 0.17: PyPI's ziglang
# (sdk/tools/install.sh installs it into target/sdk-tools), or zig in the path. ZIGFLAGS is passed to the
# compiler for the source: `-O ReleaseSafe` adds checks of indexes, integers and casts.
set -eu
. "$(dirname "$0")/../tools/env.sh"

need_zig
c=$root/sdk/c
# Zig's default stack is 16 MiB, which every instance would allocate.
"$zig" build-exe -target wasm32-wasi-musl -lc -mexec-model=reactor -O ReleaseFast --stack 65536 \
    -femit-bin="$work/core.wasm" "$c"/src/*.c "$c/generated/dual_plugin.c" \
    "$c/generated/dual_plugin_component_type.o" \
    --dep flowloom --dep plugin "-Mroot=$root/sdk/zig/program.zig" \
    -lc -O ReleaseFast ${ZIGFLAGS-} --dep flowloom "-Mplugin=$1" \
    -lc -O ReleaseFast "-Mflowloom=$root/sdk/zig/flowloom.zig"
remove_dwarf "$work/core.wasm"
componentize "$work/core.wasm"
