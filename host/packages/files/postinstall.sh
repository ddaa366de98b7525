#!/bin/sh
# Creates the user of the services. Neither starts a service nor gives the command a capability.
set -e

if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers flowloom.conf
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
