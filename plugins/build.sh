#!/bin/sh
# Builds plugins into target/plugins/NAME.wasm: those named (guests of tests too), or all of this
# folder.
#
#     plugins/build.sh [NAME …]
#
# FLOWLOOM is the flowloom command that makes components of them (target/debug/flowloom).
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
triple=wasm32-unknown-unknown
core=target/wasm/$triple/plugin
flowloom=${FLOWLOOM:-target/debug/flowloom}
linker=$(command -v wasm-ld-22 || command -v wasm-ld || true)

say() { echo "plugins/build.sh: $*" >&2; }

# Whether the compiler in the path can build for WebAssembly; rustup may have to add the target.
has_target() {
    [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$triple/lib" ]
}

build() {
    if has_target || { timeout 20 rustup target add "$triple" >/dev/null 2>&1 && has_target; }; then
        cargo build --profile plugin --target "$triple" --target-dir target/wasm "$@"
    elif [ -d /usr/lib/rustlib/src ] && [ -n "$linker" ]; then
        # Debian's rustc-web builds the standard library from its sources, which is unstable. What
        # rustup says to its own compiler must not reach this one.
        env -u RUSTUP_TOOLCHAIN -u CARGO -u RUSTDOC -u RUSTFLAGS \
            RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
            CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
            /usr/bin/cargo build --profile plugin --target "$triple" --target-dir target/wasm \
            -Zbuild-std=std,panic_abort "$@"
    else
        say "install the target: rustup target add $triple" \
            "(or on Debian: apt-get install rustc-web cargo-web rust-web-src lld-22)"
        exit 1
    fi
}

if [ $# -eq 0 ]; then
    for manifest in plugins/*/Cargo.toml; do
        set -- "$@" "$(basename "$(dirname "$manifest")")"
    done
fi

packages=
for name in "$@"; do
    [ -f "plugins/$name/Cargo.toml" ] || [ -f "tests/guests/$name/Cargo.toml" ] ||
        { say "there is no plugin plugins/$name"; exit 1; }
    packages="$packages -p $name"
done
# shellcheck disable=SC2086 # one word each
build $packages

mkdir -p target/plugins
for name in "$@"; do
    if [ -x "$flowloom" ]; then
        "$flowloom" plugin componentize "$core/$name.wasm" -o "target/plugins/$name.wasm"
    elif command -v wasm-tools >/dev/null; then
        wasm-tools component new "$core/$name.wasm" -o "target/plugins/$name.wasm"
    else
        say "there is no $flowloom: build it (cargo build), or name one in FLOWLOOM"
        exit 1
    fi
    echo "target/plugins/$name.wasm: $(wc -c <"target/plugins/$name.wasm") bytes"
done
