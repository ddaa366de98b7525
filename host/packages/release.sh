#!/bin/sh
# Adds to dist what belongs to a release besides the packages: SBOM, licences, digests, and the signature of the digests
# if MINISIGN_KEY names a secret key: release.sh VERSION
set -eu

cd "$(dirname "$0")/../../dist"
version=$1
packages=../target/packages
cp "$packages/documents/flowloom.cdx.json" "flowloom-$version.cdx.json"
cp "$packages/licences/THIRD-PARTY.txt" "flowloom-$version-THIRD-PARTY.txt"
rm -f SHA256SUMS SHA256SUMS.minisig
# Only files of this version, in a fixed order.
for file in *; do
    case $file in
    flowloom[-_]"$version"[-.]*) echo "$file" ;;
    esac
done | LC_ALL=C sort | xargs sha256sum >SHA256SUMS
if [ -n "${MINISIGN_KEY-}" ]; then
    minisign -S -s "$MINISIGN_KEY" -m SHA256SUMS -t "flowloom $version"
else
    echo "release.sh: no signature: MINISIGN_KEY names no key" >&2
fi
cat SHA256SUMS
