#!/bin/sh
# Builds a static libpcap for programs that run with glibc 2.17 or newer: libpcap.sh FOLDER
#
# The sources are Debian's, with Debian's patches. apt checks their signature. All that libpcap can be without is left
# out: captures of USB, Bluetooth, D-Bus and RDMA, and libnl. The result has no dependency except glibc.
#
# FOLDER/lib has libpcap.a and libpcap.so, FOLDER/doc its licence. libpcap.so is a linker script that names libpcap.a:
# the crate `pcap` asks for a shared library, and zig's linker then would not look at a static one.
set -eu

version=1.10.3-1

folder=$1
zig="${PYTHON:?the Python that has ziglang} -m ziglang"
script=$(realpath "$0")
# What the result depends on. The paths of folder and zig are part of the linker script and of nothing else.
recipe="$version $($zig version) $(sha256sum <"$script")"
[ "$(cat "$folder/recipe" 2>/dev/null)" != "$recipe" ] || exit 0

rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/lib" "$folder/doc"
folder=$(realpath "$folder")

# The archive of this machine, but its sources, and apart from the machine's own lists.
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' 'Origin: Debian' |
    sort -u >"$folder/apt/sources.list"
[ -s "$folder/apt/sources.list" ] || {
    echo "libpcap.sh: the sources of libpcap come from Debian's archive, and apt does not know it here" >&2
    exit 1
}
apt() {
    apt-get -q -q -o Dir::Etc::SourceList="$folder/apt/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update
(cd "$folder" && apt source --only-source "libpcap=$version")
source=$(find "$folder" -maxdepth 1 -type d -name 'libpcap-*')

mkdir "$folder/bin"
for tool in cc ar ranlib; do
    target=
    [ $tool != cc ] || target='-target x86_64-linux-gnu.2.17'
    printf '#!/bin/sh\nexec %s %s %s "$@"\n' "$zig" $tool "$target" >"$folder/bin/$tool"
    chmod +x "$folder/bin/$tool"
done
# Without debug information and paths, the same bytes come from every folder.
(
    cd "$source"
    PATH="$folder/bin:$PATH" CC="$folder/bin/cc" CFLAGS="-O2 -g0 -fPIC -ffile-prefix-map=$source=libpcap" ./configure \
        --quiet --host=x86_64-linux-gnu --disable-shared --disable-usb --disable-bluetooth --disable-dbus \
        --disable-rdma --without-libnl --without-dag --without-septel --without-snf --without-turbocap --without-dpdk
    PATH="$folder/bin:$PATH" make --silent AR="$folder/bin/ar" RANLIB="$folder/bin/ranlib" libpcap.a
) >"$folder/log" 2>&1 || {
    tail -n 20 "$folder/log" >&2
    exit 1
}
mv "$source/libpcap.a" "$folder/lib"
cp "$source/debian/copyright" "$folder/doc/copyright"
cp "$source/LICENSE" "$folder/doc/LICENSE"
mv "$folder"/libpcap_*.dsc "$folder/doc/"
echo "INPUT($folder/lib/libpcap.a)" >"$folder/lib/libpcap.so"
rm -rf "$source" "$folder/apt" "$folder"/libpcap_* "$folder/bin"
echo "$recipe" >"$folder/recipe"
