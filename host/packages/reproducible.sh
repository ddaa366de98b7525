#!/bin/sh
# Builds the release twice, in two folders whose paths differ in length, and compares all files: reproducible.sh
#
# The folders are clones of the commit, so uncommitted changes are not part of it. Nothing is shared between them except
# the sources of crates and the packages of apt and pip. Takes as long as two release builds, and 8 GB.
set -eu

root=$(realpath "$(dirname "$0")/../..")
work=$root/target/packages/reproducible
unset CARGO_TARGET_DIR SOURCE_DATE_EPOCH MINISIGN_KEY
rm -rf "$work"
for folder in "$work/a" "$work/another/folder"; do
    git clone --quiet "$root" "$folder"
    make --no-print-directory -C "$folder" release
    # Only the packages are compared.
    rm -rf "$folder/target"
done
if diff -r "$work/a/dist" "$work/another/folder/dist"; then
    echo "reproducible.sh: both builds have the same bytes"
else
    echo "reproducible.sh: the builds differ" >&2
    exit 1
fi
