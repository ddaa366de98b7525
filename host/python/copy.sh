#!/bin/sh
# Copies the Python package into a folder, with the native module of `cargo build`. Python imports it from there
# (PYTHONPATH), so that tests need no wheel.
set -eu
folder=${1:?"usage: $0 FOLDER"}
here=$(dirname "$0")
built=${CARGO_TARGET_DIR:-$here/../../target}/debug/lib_flowloom.so
mkdir -p "$folder"
rm -rf "$folder/flowloom"
cp -RL "$here/flowloom" "$folder/flowloom"
cp "$built" "$folder/flowloom/_flowloom.abi3.so"
