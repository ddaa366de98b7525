#!/bin/sh
# Stands in for rustc: leaves the fuzzer's instrumentation to what is fuzzed. Everything else, the
# WebAssembly compiler above all, would be slow to build with it, and to look through after every
# run. Of the targets themselves it is not told what they compare.
rustc=$1
shift
case ${CARGO_PKG_NAME-} in
flowloom-core | flowloom-plugin | flowloom | etherparse) exec "$rustc" "$@" ;;
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
