#!/bin/sh
# Builds events.c and the C SDK as a native program with sanitizers, and runs it. CC selects the compiler.
set -eu

root=$(cd "$(dirname "$0")/../../.." && pwd)
sdk=$root/sdk/c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The compiler does not know the attributes of WebAssembly in the generated file.
"${CC:-cc}" -g -O1 -Wall -Wextra -Werror -Wno-attributes -fsanitize=address,undefined \
    -fno-sanitize-recover=all -I "$sdk/include" -o "$work/events" "$root/tests/languages/native/events.c" \
    "$sdk"/src/*.c "$sdk/generated/dual_plugin.c" -lm
"$work/events"
