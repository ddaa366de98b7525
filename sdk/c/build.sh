#!/bin/sh
# Builds a plugin from C, C++ or both:
#
#     sdk/c/build.sh OUTPUT.wasm SOURCE…
#
# Uses `zig cc` (PyPI's ziglang, or zig in the path) if it is installed, because it keeps the compiled SDK for
# later builds. Otherwise it uses clang, with Debian's packages clang-22 lld-22 libclang-rt-22-dev-wasm32
# wasi-libc. FLOWLOOM_CC=clang or FLOWLOOM_CC=zig selects one. CFLAGS is passed to the compiler; -DNDEBUG removes the checks of assert.
set -eu
. "$(dirname "$0")/../tools/env.sh"

sdk=$root/sdk/c
cc=${FLOWLOOM_CC:-}
if [ -z "$cc" ]; then
    cc=zig
    has_zig || ! command -v clang-22 >/dev/null || [ ! -d /usr/lib/wasm32-wasi ] || cc=clang
fi

# `zig cc -O3` implies -DNDEBUG. The SDK comes first, because it replaces functions of the C library.
set -- -O3 -UNDEBUG -mexec-model=reactor ${CFLAGS-} -I "$sdk/include" "$sdk"/src/*.c \
    "$sdk/generated/dual_plugin.c" "$sdk/generated/dual_plugin_component_type.o" "$@"
case $cc in
zig)
    # Zig's default stack is 16 MiB, which every instance would allocate.
    need_zig
    "$zig" cc -target wasm32-wasi-musl -Wl,-z,stack-size=65536 "$@" -o "$work/core.wasm"
    remove_dwarf "$work/core.wasm"
    ;;
clang)
    need clang-22 "run \`apt-get install clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc\`"
    lib=/usr/lib/wasm32-wasi
    # Without this option, the result depends on whether wasm-opt is in the path.
    clang-22 --target=wasm32-wasip1 --no-wasm-opt -nostdlib -isystem /usr/include/wasm32-wasi -L$lib \
        -fuse-ld=/usr/bin/wasm-ld-22 "$@" $lib/crt1-reactor.o -lc \
        /usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a \
        -Wl,--strip-debug -o "$work/core.wasm"
    ;;
*) fail "FLOWLOOM_CC must be clang or zig, not $cc" ;;
esac
componentize "$work/core.wasm"
