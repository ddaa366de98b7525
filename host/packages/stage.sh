#!/bin/sh
# Makes what .deb, .rpm and image contain besides the program: man pages, completions and documents, under
# target/packages. SOURCE_DATE_EPOCH is their time.
set -eu

root=$(realpath "$(dirname "$0")/../..")
packages=$root/target/packages
program=$packages/out/flowloom
cd "$packages"
rm -rf man completions documents
mkdir man completions documents

"$program" man man
gzip -9 -n man/*
"$program" completions bash >completions/flowloom.bash
"$program" completions zsh >completions/_flowloom
"$program" completions fish >completions/flowloom.fish

cp "$root/LICENSE-MIT" "$root/LICENSE-APACHE" "$root/README.md" "$root/CHANGELOG.md" \
    "$root/host/packages/files/copyright" out/flowloom.cdx.json documents
mkdir documents/docs
cp "$root"/docs/*.md documents/docs
gzip -9 -n -c licences/THIRD-PARTY.txt >documents/THIRD-PARTY.txt.gz

# The packages have these modes and times: neither those of the checkout nor those of this run.
find man completions documents -type d -exec chmod 0755 {} +
find man completions documents -type f -exec chmod 0644 {} +
find man completions documents -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
