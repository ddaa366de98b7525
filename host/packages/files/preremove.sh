#!/bin/sh
# Stops the services when the package is removed, but not when a newer one replaces it (rpm: 1; deb: upgrade).
set -e

case ${1-} in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl stop 'flowloom@*.service' || true
    fi
    ;;
esac
