#!/bin/sh
# Builds a plugin from a Rust crate:
#
#     sdk/rust/build.sh OUTPUT.wasm FOLDER
#
# Needs rustup's target wasm32-unknown-unknown, which the script adds if it can, or Debian's packages
# rustc-web cargo-web rust-web-src lld-22.
set -eu
. "$(dirname "$0")/../tools/env.sh"
. "$root/sdk/tools/rust.sh"

[ -f "$1/Cargo.toml" ] || fail "$1 is not a crate: it has no Cargo.toml"
cargo_wasm --release --manifest-path "$1/Cargo.toml" --message-format json-render-diagnostics >"$work/messages"
# The last module that cargo reports is that of the crate itself.
module=$(sed -n 's/.*"reason":"compiler-artifact".*"filenames":\[[^]]*"\([^"]*\.wasm\)".*/\1/p' "$work/messages" | tail -n 1)
[ -n "$module" ] || fail "$1 builds no WebAssembly module: its Cargo.toml needs crate-type = [\"cdylib\"]"
warn_of_prints "$module"
componentize "$module"
