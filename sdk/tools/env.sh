# For the build scripts of the SDKs: where the compilers and the flowloom command are.

root=$(cd "$(dirname "$0")/../.." && pwd)
tools=${FLOWLOOM_TOOLS:-$root/target/sdk-tools}
PATH=$tools/venv/bin:$tools/node_modules/.bin:$PATH
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

# need_pypi COMMAND PACKAGE, need_npm COMMAND PACKAGE: the same for what install.sh installs.
need_pypi() {
    need "$1" "pip install $(grep "^$2==" "$root/sdk/tools/requirements.txt"), or run $(installer)"
}

need_npm() {
    version=$(sed -n "s/.*\"$2\": \"\([^\"]*\)\".*/\1/p" "$root/sdk/tools/package.json")
    need "$1" "npm install $2@$version, or run $(installer)"
}

installer() {
    echo "$root/sdk/tools/install.sh $(basename "$(dirname "$0")")"
}

# Zig is called python-zig in PyPI's package.
need_zig() {
    zig=$(command -v python-zig || command -v zig || echo zig)
    need_pypi "$zig" ziglang
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
