#!/bin/sh
# Builds the examples of the SDKs into target/plugins/first_bytes_stats_LANGUAGE.wasm:
#
#     sdk/build.sh [c|go|javascript|python|zig …]
#
# Without arguments it builds all languages, and skips those whose compiler is missing with a message.
# PLUGIN selects another plugin than first_bytes_stats; FOLDER is the folder with its sources in each
# language.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
plugin=${PLUGIN:-first_bytes_stats}
mkdir -p target/plugins

source() {
    case $1 in
    c) echo "$plugin.c" ;;
    go) echo "$plugin" ;;
    javascript) echo "$plugin.js" ;;
    python) echo "$plugin.py" ;;
    zig) echo "$plugin.zig" ;;
    *)
        echo "sdk/build.sh: unknown language $1; give c, go, javascript, python or zig" >&2
        exit 1
        ;;
    esac
}

are_named=$#
[ $# -gt 0 ] || set -- c go javascript python zig
for language in "$@"; do
    from=$(source "$language")
    output=target/plugins/${plugin}_$language.wasm
    code=0
    "sdk/$language/build.sh" "$output" "${FOLDER:-sdk/$language/examples}/$from" || code=$?
    case $code in
    0) echo "$output: $(wc -c <"$output") bytes" ;;
    69)
        [ "$are_named" = 0 ] || exit 1
        echo "sdk/build.sh: skipped $language" >&2
        ;;
    *) exit "$code" ;;
    esac
done
