"""A host that announces a service over multicast DNS, and one that looks for it.

python3 mdns.py announce
python3 mdns.py browse

Needs the zeroconf package.
"""

from __future__ import annotations

import socket
import sys
import time

from zeroconf import (
    IPVersion,
    ServiceBrowser,
    ServiceInfo,
    ServiceListener,
    Zeroconf,
)

SERVICE = "_http._tcp.local."


class Listener(ServiceListener):
    """Asks for the details of every service it hears of."""

    def add_service(self, zeroconf: Zeroconf, kind: str, name: str) -> None:
        zeroconf.get_service_info(kind, name, timeout=1000)

    def update_service(self, zeroconf: Zeroconf, kind: str, name: str) -> None:
        pass

    def remove_service(self, zeroconf: Zeroconf, kind: str, name: str) -> None:
        pass


def announce() -> None:
    zeroconf = Zeroconf(interfaces=["192.0.2.2"], ip_version=IPVersion.V4Only)
    service = ServiceInfo(
        SERVICE,
        f"loom.{SERVICE}",
        addresses=[socket.inet_aton("192.0.2.2")],
        port=80,
        properties={"path": "/"},
        server="loom.local.",
    )
    zeroconf.register_service(service)
    time.sleep(60)


def browse() -> None:
    zeroconf = Zeroconf(interfaces=["192.0.2.1"], ip_version=IPVersion.V4Only)
    ServiceBrowser(zeroconf, SERVICE, Listener())
    time.sleep(3)
    zeroconf.close()


if __name__ == "__main__":
    announce() if sys.argv[1] == "announce" else browse()
