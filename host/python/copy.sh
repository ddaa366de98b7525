#!/bin/sh
# Copies the Python package into a folder, with the native module of `cargo build` and the components of plugins/build.sh.
# Python imports it from there (PYTHONPATH), so that tests need no wheel.
set -eu
folder=${1:?"usage: $0 FOLDER"}
here=$(dirname "$0")
root=$here/../..
built=${CARGO_TARGET_DIR:-$root/target}/debug/lib_flowloom.so
mkdir -p "$folder"
rm -rf "$folder/flowloom"
cp -RL "$here/flowloom" "$folder/flowloom"
cp "$built" "$folder/flowloom/_flowloom.abi3.so"
mkdir "$folder/flowloom/components"
for name in $("$here/components.sh"); do
    cp "$root/target/plugins/$name.wasm" "$folder/flowloom/components/"
done
