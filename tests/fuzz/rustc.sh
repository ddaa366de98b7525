#!/bin/sh
# Replaces rustc, and applies the fuzzer's instrumentation only to the code under test. Instrumentation of other
# crates, especially the WebAssembly compiler, would make builds and runs slow. Comparisons in the targets themselves
# are not traced.
rustc=$1
shift
case ${CARGO_PKG_NAME-} in
flowloom-core | flowloom-expr | flowloom-plugin | flowloom | etherparse) exec "$rustc" "$@" ;;
flowloom-fuzz) dropped=-Cllvm-args=-sanitizer-coverage-trace-compares ;;
*) dropped=all ;;
esac
for arg; do
    shift
    case $arg in
    -Cpasses=sancov* | -Cllvm-args=* | -Cdebug-assertions)
        [ "$dropped" = all ] || [ "$dropped" = "$arg" ] || set -- "$@" "$arg"
        ;;
    *) set -- "$@" "$arg" ;;
    esac
done
exec "$rustc" "$@"
