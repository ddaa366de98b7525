# Included by the build scripts of the SDKs. Finds the compilers and the flowloom command, checks the
# arguments, and sets `output`. The remaining arguments are the sources.

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

# need COMMAND HINT: exits with status 69 if the command is missing.
need() {
    command -v "$1" >/dev/null || {
        echo "$0: cannot find $1; $2" >&2
        exit 69
    }
}

# need_pypi COMMAND PACKAGE, need_npm COMMAND PACKAGE: the same for commands that install.sh installs.
need_pypi() {
    need "$1" "run \`pip install $(grep "^$2==" "$root/sdk/tools/requirements.txt")\` or \`$(installer)\`"
}

need_npm() {
    version=$(sed -n "s/.*\"$2\": \"\([^\"]*\)\".*/\1/p" "$root/sdk/tools/package.json")
    need "$1" "run \`npm install $2@$version\` or \`$(installer)\`"
}

installer() {
    echo "$root/sdk/tools/install.sh $(basename "$(dirname "$0")")"
}

# The PyPI package installs Zig under the name python-zig.
has_zig() {
    zig=$(command -v python-zig || command -v zig)
}

need_zig() {
    has_zig || need_pypi zig ziglang
    # install.sh does this, too.
    cache=${ZIG_GLOBAL_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME-}/.cache}/zig}
    ls "$cache"/o/*/libc.a >/dev/null 2>&1 ||
        echo "$0: the first build with zig takes up to a minute: zig compiles its C library" >&2
}

[ $# -ge 2 ] || fail "missing arguments; usage: $0 OUTPUT.wasm SOURCE…"
case $1 in
*.wasm) output=$1 ;;
*) fail "the first argument must be the output file and end with .wasm, not $1" ;;
esac
shift

# remove_dwarf MODULE: removes the sections with debug information. Zig removes them only together with the names
# of the functions, which Flowloom shows if the plugin traps.
remove_dwarf() {
    size=$(wc -c <"$1")
    head -c 8 "$1" >"$1.new"
    at=8
    while [ "$at" -lt "$size" ]; do
        # A section: its id, its size in LEB128, and its contents. Those of a custom section begin with its name.
        length=0 shift=0 read=0 id=
        for byte in $(od -An -v -tu1 -j "$at" -N 6 "$1"); do
            read=$((read + 1))
            if [ -z "$id" ]; then
                id=$byte
                continue
            fi
            length=$((length | (byte & 127) << shift)) shift=$((shift + 7))
            [ "$byte" -ge 128 ] || break
        done
        length=$((read + length))
        case $id$(tail -c +$((at + read + 2)) "$1" | head -c 7 | tr -d '\0') in
        0.debug_*) ;;
        *) tail -c +$((at + 1)) "$1" | head -c "$length" >>"$1.new" ;;
        esac
        at=$((at + length))
    done
    mv "$1.new" "$1"
}

# componentize MODULE: converts a core module that contains its component type to the component $output.
componentize() {
    [ -x "$flowloom" ] || command -v "$flowloom" >/dev/null ||
        fail "cannot find $flowloom; build it with \`cargo build\`, or set FLOWLOOM to the command"
    "$flowloom" plugin componentize "$1" -o "$output"
}
