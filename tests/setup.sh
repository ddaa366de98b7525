#!/bin/sh
# Installs what building and testing Flowloom needs beyond a Rust toolchain, on Debian and its kin.
# Does nothing where all is there. --with-java installs Java too, --with-peers what Flowloom is measured beside, and
# --with-packages what makes and tests the packages.
set -eu

triple=wasm32-unknown-unknown
missing=

need() { # COMMAND-THAT-SUCCEEDS-IF-IT-IS-THERE PACKAGE …
    check=$1
    shift
    sh -c "$check" >/dev/null 2>&1 || missing="$missing $*"
}

command -v cargo >/dev/null || {
    echo "tests/setup.sh: there is no cargo: install Rust 1.95 or newer with rustup (https://rustup.rs)" >&2
    exit 1
}
need 'command -v cc' build-essential
need 'test -e /usr/include/pcap/pcap.h' libpcap-dev
need 'pkg-config --exists libndpi' libndpi-dev pkg-config
need 'command -v ndpiReader' libndpi-bin
need 'python3 -c "import venv, ensurepip"' python3-venv
# Live captures are tested in network namespaces, with real traffic between them.
need 'command -v ip && command -v tcpreplay && command -v curl && command -v setpriv' \
    iproute2 tcpreplay curl util-linux
need 'command -v ping && command -v dig && command -v iperf3' iputils-ping bind9-dnsutils iperf3
need '/usr/bin/python3 -c "import prometheus_client.openmetrics.parser"' python3-prometheus-client
# Plugins need a Rust that knows WebAssembly: rustup's target, or Debian's packages.
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$triple/lib" ] &&
    ! timeout 20 rustup target add "$triple" >/dev/null 2>&1; then
    need 'test -d /usr/lib/rustlib/src && command -v wasm-ld-22' rustc-web cargo-web rust-web-src lld-22
fi
# Spark, for `make engines-all`.
[ "${1-}" != --with-java ] || need 'command -v java' default-jre-headless
# What `make bench` compares with.
[ "${1-}" != --with-peers ] || need 'command -v softflowd && command -v nfpcapd && command -v argus && command -v racount && command -v tcpdump' \
    softflowd nfdump argus-server argus-client tcpdump
# `make release`, and the systems, images and packages of `make test-packages`.
if [ "${1-}" = --with-packages ]; then
    need 'command -v flex && command -v bison && command -v dpkg-source && command -v minisign' \
        flex bison dpkg-dev minisign
    need 'command -v mmdebstrap && command -v umoci && command -v skopeo && command -v rpm' \
        mmdebstrap umoci skopeo rpm
    need 'command -v systemd-analyze && command -v systemd-nspawn' systemd systemd-container
    need 'command -v getcap' libcap2-bin
fi
[ -n "$missing" ] || exit 0

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
if ! command -v apt-get >/dev/null; then
    echo "tests/setup.sh: install what these Debian packages hold:$missing" >&2
    exit 1
fi
echo "tests/setup.sh: installing$missing"
$as_root apt-get update -q
# shellcheck disable=SC2086 # one word each
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $missing
