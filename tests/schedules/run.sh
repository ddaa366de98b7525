#!/bin/sh
# Runs the tests of threads and channels under many schedules, with shuttle: run.sh [FILTER …]
#
# Only the crate of the threads is built with `--cfg shuttle`.
set -eu
cd "$(dirname "$0")/../.."
test=$(cargo rustc -p flowloom --lib --profile test --message-format json -- --cfg shuttle |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
cd host/flowloom
exec "$test" --test-threads 1 "${@:-concurrency}"
