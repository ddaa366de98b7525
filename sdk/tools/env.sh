# For the build scripts of the SDKs: where the compilers and the flowloom command are.

root=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$root/target/sdk-tools/venv/bin:$root/target/sdk-tools/node_modules/.bin:$PATH
flowloom=${FLOWLOOM:-$root/target/debug/flowloom}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$0: $*" >&2
    exit 1
}

# need COMMAND HOW-TO-GET-IT: ends the script where the command is missing, with a code of its own.
need() {
    command -v "$1" >/dev/null || {
        echo "$0: there is no $1: $2" >&2
        exit 69
    }
}

# Zig is called python-zig in PyPI's package.
need_zig() {
    zig=$(command -v python-zig || command -v zig || echo zig)
    need "$zig" "pip install ziglang==0.17.1"
}

[ $# -ge 2 ] || fail "say what to build: $0 OUTPUT.wasm SOURCE…"
case $1 in
*.wasm) output=$1 ;;
*) fail "the first argument is the output, and ends with .wasm: $1" ;;
esac
shift

# A component of a core module that carries its component type.
componentize() {
    [ -x "$flowloom" ] || command -v "$flowloom" >/dev/null ||
        fail "there is no $flowloom: build it (cargo build), or name one in FLOWLOOM"
    "$flowloom" plugin componentize "$1" -o "$output"
}
