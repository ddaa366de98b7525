#!/bin/sh
# Builds a plugin from a Rust crate:
#
#     sdk/rust/build.sh OUTPUT.wasm FOLDER
#
# Takes rustup's target wasm32-unknown-unknown, which it adds where it can, or Debian's packages
# rustc-web cargo-web rust-web-src lld-22.
set -eu
. "$(dirname "$0")/../tools/env.sh"
. "$root/sdk/tools/rust.sh"

[ -f "$1/Cargo.toml" ] || fail "there is no $1/Cargo.toml"
cargo_wasm --release --manifest-path "$1/Cargo.toml" --message-format json-render-diagnostics >"$work/messages"
# The crate's own module is the last that cargo tells of.
module=$(sed -n 's/.*"reason":"compiler-artifact".*"filenames":\[[^]]*"\([^"]*\.wasm\)".*/\1/p' "$work/messages" | tail -n 1)
[ -n "$module" ] || fail "$1 gives no WebAssembly module: its Cargo.toml needs crate-type = [\"cdylib\"]"
componentize "$module"
