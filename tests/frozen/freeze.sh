#!/bin/sh
# Adds the plugins of a version of the contract to this folder, and lists the digests of all files. It never replaces a
# file:
#
#     make plugins guests languages
#     tests/frozen/freeze.sh 0.1.0                        # copies the plugins
#     FLOWLOOM_BLESS=1 cargo test --test system frozen    # writes the expected values that are missing
#     FLOWLOOM_BLESS=1 cargo test --test system contract  # writes the text of the contract if it is missing
#     tests/frozen/freeze.sh 0.1.0                        # adds their digests
set -eu

[ $# -eq 1 ] || {
    echo "usage: tests/frozen/freeze.sh VERSION" >&2
    exit 2
}
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
folder=tests/frozen/$1
mkdir -p "$folder/captures"

add() { # FILE NAME
    [ -e "$folder/$2" ] || cp "$1" "$folder/$2"
}

add target/plugins/every_type.wasm every_type_rust.wasm
for language in c go javascript wit zig; do
    add "target/plugins/every_type_$language.wasm" "every_type_$language.wasm"
done
for capture in dns http tls13 ipv6 icmp idle active; do
    add "tests/captures/$capture.pcap" "captures/$capture.pcap"
done
[ -e "$folder/adapts_c.wasm" ] || sdk/c/build.sh "$folder/adapts_c.wasm" tests/languages/adapt/adapts.c
[ -e "$folder/features.wasm" ] ||
    target/debug/flowloom plugin compile tests/features/language.features -o "$folder/features.wasm"

cd tests/frozen
find ./*/ -type f | sed 's,^\./,,' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS
