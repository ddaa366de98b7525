#!/bin/sh
# Builds fuzz targets, and runs each for FUZZ_SECONDS (default: 600): run.sh [TARGET …]
# NDPI=PATH replaces the nDPI of the system by another library, for example nDPI 5.0.
set -eu
cd "$(dirname "$0")/../.."
out=target/fuzz
if [ -n "${NDPI-}" ]; then
    FLOWLOOM_NDPI=$(realpath -e "$NDPI")
    export FLOWLOOM_NDPI
fi
[ $# -gt 0 ] || set -- decode capture meter whole components modules manifest columns expressions features

cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
# Instrumentation is an unstable option of an otherwise stable compiler.
export RUSTC_BOOTSTRAP=1 RUSTC_WRAPPER="$PWD/tests/fuzz/rustc.sh"
python3 tests/fuzz/seeds.py $out/seeds
for target; do
    case $target in
    decode) longest=600 ;;
    meter | manifest | columns | expressions | features) longest=1200 ;;
    *) longest=8000 ;;
    esac
    known=tests/fuzz/regressions/$target
    [ -d "$known" ] || known=
    mkdir -p $out/corpus/"$target" $out/seeds/"$target"
    # shellcheck disable=SC2086 # none or one
    cargo fuzz run --fuzz-dir tests/fuzz --target-dir $out --sanitizer none "$target" \
        $out/corpus/"$target" $out/seeds/"$target" $known -- \
        -max_total_time="${FUZZ_SECONDS:-600}" -max_len=$longest -timeout=20 -rss_limit_mb=3000 \
        -print_final_stats=1
done
