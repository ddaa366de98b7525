#!/bin/sh
# Builds the wheel with the Python package and the flowloom command: program.sh FOLDER
#
# FOLDER gets the wheel and, beside it, its program `flowloom`, which the other packages contain too, and its SBOM. The
# program is a release build for glibc 2.17 with a static libpcap (libpcap.sh). The same sources and tools give the same
# bytes in every folder.
set -eu

folder=$1
root=$(realpath "$(dirname "$0")/../..")
tools=$root/target/packages/tools/bin
target=${CARGO_TARGET_DIR:-$root/target}
libpcap=$root/target/packages/libpcap
export PYTHON="$tools/python"
"$root/host/packages/libpcap.sh" "$libpcap"
# A part of the wheel (host/python/licences).
"$root/host/packages/third_party.py" "$root/target/packages/licences/THIRD-PARTY.txt"

# maturin and rustc take times from it.
[ -n "${SOURCE_DATE_EPOCH-}" ] || SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
LIBPCAP_VER=$(sed -n 's/^version=\([0-9.]*\).*/\1/p' "$root/host/packages/libpcap.sh")
export LIBPCAP_VER LIBPCAP_LIBDIR="$libpcap/lib"
# Paths of this machine must not be part of the program. Cargo leaves these flags out of its hashes.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
separator=$(printf '\037')
CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$cargo_home=/cargo$separator--remap-path-prefix=$root=/flowloom"
CARGO_ENCODED_RUSTFLAGS="$CARGO_ENCODED_RUSTFLAGS$separator--remap-path-prefix=$target=/target"
export CARGO_ENCODED_RUSTFLAGS
export CFLAGS="-g0 -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target=/target"
export CARGO_ZIGBUILD_CACHE_DIR="$root/target/packages/zigbuild"
export CARGO_PROFILE_RELEASE_DEBUG=false

rm -rf "$folder"
mkdir -p "$folder"
folder=$(realpath "$folder")
maturin() { # FOLDER OPTION…
    out=$1
    shift
    PATH="$tools:$PATH" "$tools/maturin" build --release --locked --zig --target x86_64-unknown-linux-gnu \
        --compatibility manylinux_2_17 --strip --out "$out" --target-dir "$target" "$@"
}

unpack() { # WHEEL FOLDER
    "$tools/wheel" unpack --dest "$2" "$1" >/dev/null
}

# The command, in a wheel of its own, from which it is taken.
cd "$root/host/cli"
maturin "$folder/command" --bindings bin
cd "$folder"
unpack command/*.whl command
cp command/*/*.data/scripts/flowloom flowloom
# The SBOM gets what cargo does not know, and loses the paths of this machine.
"$root/host/packages/sbom.py" command/*/*.dist-info/sboms/flowloom-cli.cyclonedx.json flowloom.cdx.json
rm -r command

# The components that the package contains. The flags are those of native code.
components=$("$root/host/python/components.sh")
# shellcheck disable=SC2086 # one word each
env -u CARGO_ENCODED_RUSTFLAGS -u CFLAGS -u CARGO_TARGET_DIR FLOWLOOM="$folder/flowloom" "$root/plugins/build.sh" $components

# The package. The command goes into its scripts: a native program, not a Python script that starts it, so that setcap
# works on it.
cd "$root/host/python"
maturin "$folder"
cd "$folder"
unpack ./*.whl unpacked
package=$(echo unpacked/*/flowloom)
mkdir "$package/components"
for name in $components; do
    cp "$root/target/plugins/$name.wasm" "$package/components/"
done
scripts=$(echo unpacked/*/*.dist-info | sed 's/dist-info$/data/')/scripts
mkdir -p "$scripts"
cp flowloom "$scripts/flowloom"
rm -rf unpacked/*/*.dist-info/sboms/*
cp flowloom.cdx.json unpacked/*/*.dist-info/sboms/
"$tools/wheel" pack --dest-dir . unpacked/* >/dev/null
rm -r unpacked
