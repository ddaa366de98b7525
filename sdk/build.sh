#!/bin/sh
# Builds the example of each SDK, or of those named, into target/plugins/first_bytes_stats_LANGUAGE.wasm:
#
#     sdk/build.sh [c|go|javascript|python|zig …]
#
# Without names, languages whose compilers are not there are left out, and it says so. PLUGIN and FOLDER
# name another plugin than first_bytes_stats, and where its sources are for each language.
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
        echo "sdk/build.sh: there is no SDK for $1" >&2
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
        echo "sdk/build.sh: without $language" >&2
        ;;
    *) exit "$code" ;;
    esac
done
