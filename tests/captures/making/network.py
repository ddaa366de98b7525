"""Two hosts on a wire of their own: network namespaces joined by a veth pair.

Nothing sent here can leave the machine. The hosts are called client and server,
have fixed MAC addresses, and go away with everything that runs in them when the
`with` block ends.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

CLIENT, SERVER = "client", "server"
CLIENT_V4, SERVER_V4 = "192.0.2.1", "192.0.2.2"
CLIENT_V6, SERVER_V6 = "2001:db8::1", "2001:db8::2"
CLIENT_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"

# Offloads let the kernel hand over segments larger than a frame and packets
# without checksums, which no wire would carry.
OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro")

HOSTS = (
    (CLIENT, CLIENT_MAC, f"{CLIENT_V4}/24", f"{CLIENT_V6}/64"),
    (SERVER, SERVER_MAC, f"{SERVER_V4}/24", f"{SERVER_V6}/64"),
)


def run(*command: str, check: bool = True) -> None:
    """Run a program to its end, quietly; a failure shows what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        shown = " ".join(command)
        raise RuntimeError(f"{shown}: exit status {done.returncode}\n{done.stderr}")


class Network:
    """Client and server, `eth0` of one wired to `eth0` of the other.

    `ipv6` gives both an IPv6 address as well; without it IPv6 is off and the wire
    silent. `offloads` leaves segmentation and checksum offload on.
    """

    def __init__(self, ipv6: bool = False, offloads: bool = False) -> None:
        self.ipv6 = ipv6
        self.offloads = offloads
        self._spaces = {host: f"loom-{host}-{os.getpid()}" for host in (CLIENT, SERVER)}

    def __enter__(self) -> Network:
        with ExitStack() as undo:
            undo.callback(self._remove)
            for space in self._spaces.values():
                run("ip", "netns", "add", space)
            run(
                *("ip", "link", "add", "name", "eth0", "netns", self._spaces[CLIENT]),
                *("type", "veth", "peer", "name", "eth0"),
                *("netns", self._spaces[SERVER]),
            )
            for host, mac, v4, v6 in HOSTS:
                self._configure(host, mac, v4, v6)
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for space in self._spaces.values():
            run("ip", "netns", "del", space, check=False)

    def _configure(self, host: str, mac: str, v4: str, v6: str) -> None:
        ip = ("ip", "-n", self._spaces[host])
        for interface in ("all", "default", "eth0"):
            tree = f"net.ipv6.conf.{interface}"
            off = "0" if self.ipv6 else "1"
            self.run(host, "sysctl", "-qw", f"{tree}.disable_ipv6={off}")
            self.run(host, "sysctl", "-qw", f"{tree}.accept_ra=0")
        run(*ip, "link", "set", "lo", "up")
        run(*ip, "link", "set", "eth0", "address", mac, "addrgenmode", "none")
        if not self.offloads:
            switches = [word for name in OFFLOADS for word in (name, "off")]
            self.run(host, "ethtool", "-K", "eth0", *switches)
        run(*ip, "link", "set", "eth0", "up")
        run(*ip, "address", "add", v4, "dev", "eth0")
        if self.ipv6:
            run(*ip, "address", "add", v6, "dev", "eth0", "nodad")

    def ip(self, host: str, *arguments: str) -> None:
        """`ip` with these arguments, inside a host."""
        run("ip", "-n", self._spaces[host], *arguments)

    def run(self, host: str, *command: str, check: bool = True) -> None:
        """Run a program on a host to its end."""
        run("ip", "netns", "exec", self._spaces[host], *command, check=check)

    def client(self, *command: str, check: bool = True) -> None:
        """Run a program on the client to its end."""
        self.run(CLIENT, *command, check=check)

    @contextmanager
    def daemon(self, host: str, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A program that runs on a host for as long as the block does."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._spaces[host], *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @contextmanager
    def server(self, port: int, *command: str, host: str = SERVER) -> Iterator[None]:
        """A program that listens on a port, ready for clients."""
        with self.daemon(host, *command) as process:
            self._wait_for_port(process, host, port)
            yield

    def _wait_for_port(
        self, process: subprocess.Popen[str], host: str, port: int
    ) -> None:
        sockets = ("ip", "netns", "exec", self._spaces[host], "ss", "-Hlntu")
        for _ in range(100):
            shown = subprocess.check_output(sockets, text=True)
            if any(line.split()[4].endswith(f":{port}") for line in shown.splitlines()):
                return
            if process.poll() is not None:
                break
            time.sleep(0.1)
        process.terminate()
        raise RuntimeError(f"nothing listens on port {port}: {process.communicate()[0]}")

    @contextmanager
    def capture(
        self,
        path: Path,
        *,
        interface: str = "eth0",
        snaplen: int = 0,
        options: Sequence[str] = (),
    ) -> Iterator[None]:
        """tcpdump on the client's end of the wire, writing to `path`."""
        command = ["tcpdump", "-i", interface, "-s", str(snaplen), "-Z", "root", "-U"]
        command += ["--immediate-mode", *options, "-w", str(path)]
        with self.daemon(CLIENT, *command) as tcpdump:
            assert tcpdump.stdout is not None
            for line in tcpdump.stdout:
                if "listening on" in line:
                    break
            else:
                raise RuntimeError("tcpdump does not start")
            yield
            time.sleep(0.5)
