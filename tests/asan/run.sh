#!/bin/sh
# Runs tests of the host with AddressSanitizer, which finds reads and writes outside of memory, uses after
# free and leaks, in Rust and in the C library nDPI behind ndpi-sys: run.sh [CARGO-TEST-ARGUMENT …]
#
# The standard library and system libraries are not instrumented, but their allocations are checked. Tests
# that start the command with plugins are left out: the compile process limits its address space, and
# AddressSanitizer reserves terabytes.
set -eu
cd "$(dirname "$0")/../.."
# Sanitizers are an unstable option of an otherwise stable compiler.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address RUSTC_WRAPPER="$PWD/tests/asan/rustc.sh"
target=$(rustc -vV | sed -n 's/^host: //p')
cargo_test() {
    cargo test --locked --target "$target" --target-dir target/asan "$@"
}
cargo_test -p flowloom-core -p flowloom-plugin -p flowloom -p ndpi-sys --lib --tests "$@"
cargo_test -p flowloom-cli --test system -- golden:: bad_input:: groups:: pipes:: pcap:: applications::it \
    --skip unrelated_captures --skip plugin_state --skip a_signal_loses_none
