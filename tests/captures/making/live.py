"""Captures of real programs that talk over a wire of their own.

Each function makes one file. What a run captures differs from the last in times,
client ports, random values and now and then in the number of bare TCP
acknowledgements; hosts, MAC addresses and requests stay the same.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .network import (
    CLIENT,
    CLIENT_V4,
    SERVER,
    SERVER_MAC,
    SERVER_V4,
    SERVER_V6,
    Network,
    run,
)

NAME = "www.example.com"
MDNS_GROUP = "224.0.0.251"

# Program: the Debian package that has it.
PROGRAMS = {
    "busybox": "busybox",
    "curl": "curl",
    "dig": "bind9-dnsutils",
    "dnsmasq": "dnsmasq-base",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "openssl": "openssl",
    "ping": "iputils-ping",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "sysctl": "procps",
    "tcpdump": "tcpdump",
}
PIP_PACKAGES = ("aioquic==1.7.2", "zeroconf==0.154.0")

HERE = Path(__file__).parent


class Workshop:
    """A temporary folder with what the programs need: pages, keys, a certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = folder / "pages"
        self.pages.mkdir()
        (self.pages / "index.html").write_text("<h1>Flowloom</h1>\n" * 20)
        (self.pages / "data.bin").write_bytes(bytes(range(256)) * 80)
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"),
            *("-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
            *("-keyout", str(self.key), "-out", str(self.certificate)),
        )
        self._python: str | None = None

    def ssh_key(self, name: str) -> Path:
        path = self.folder / name
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
        return path

    @property
    def python(self) -> str:
        """A Python that has PIP_PACKAGES, installed on first use."""
        if self._python is None:
            environment = self.folder / "venv"
            run(sys.executable, "-m", "venv", str(environment))
            self._python = str(environment / "bin" / "python")
            run(self._python, "-m", "pip", "install", "-q", *PIP_PACKAGES)
        return self._python

    def web_server(self, *options: str) -> tuple[str, ...]:
        """The command of an HTTP server on port 80 for `pages`."""
        command = (sys.executable, "-m", "http.server", "80", "--protocol", "HTTP/1.1")
        return (*command, "--directory", str(self.pages), *options)


def fetch(network: Network, *urls: str, options: tuple[str, ...] = ()) -> None:
    """Get URLs with curl, over one connection where the server allows it."""
    outputs = [word for url in urls for word in (url, "-o", "/dev/null")]
    network.client("curl", "-sk", "-m", "20", *options, *outputs)


def at_server(address: str, port: int) -> tuple[str, ...]:
    """curl's options to find NAME at an address, without DNS."""
    return ("--resolve", f"{NAME}:{port}:{address}")


def http(path: Path, shop: Workshop) -> None:
    options = at_server(SERVER_V4, 80)
    with Network() as network, network.server(80, *shop.web_server()):
        with network.capture(path):
            fetch(network, f"http://{NAME}/", f"http://{NAME}/data.bin", options=options)
            fetch(network, f"http://{NAME}/missing", options=options)
            fetch(network, f"http://{NAME}/", options=(*options, "-I"))


def _tls(path: Path, shop: Workshop, version: str) -> None:
    files = ("-cert", str(shop.certificate), "-key", str(shop.key))
    serve = ("openssl", "s_server", "-accept", "443", "-WWW", "-quiet", *files)
    # It serves the folder that it runs in.
    server = ("sh", "-c", f"cd {shop.pages} && exec {' '.join(serve)}")
    limits = ("--tlsv1.2", "--tls-max", version, "--http1.1")
    options = (*limits, *at_server(SERVER_V4, 443))
    with Network() as network, network.server(443, *server):
        with network.capture(path):
            fetch(network, f"https://{NAME}/index.html", options=options)
            fetch(network, f"https://{NAME}/data.bin", options=options)


def tls12(path: Path, shop: Workshop) -> None:
    _tls(path, shop, "1.2")


def tls13(path: Path, shop: Workshop) -> None:
    _tls(path, shop, "1.3")


# What the DNS server knows. The text record fills several UDP fragments.
ZONE = (
    f"--host-record={NAME},198.51.100.7,2001:db8::7",
    "--host-record=mail.example.com,198.51.100.8",
    "--mx-host=example.com,mail.example.com,10",
    "--txt-record=example.com,v=spf1 -all",
    *(f"--txt-record=big.example.com,{number:03}{'x' * 240}" for number in range(14)),
)


def dns_server(*options: str) -> tuple[str, ...]:
    files = ("-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root")
    limits = (
        "--local=/com/",
        "--edns-packet-max=4096",
        "--pid-file=",
        "--bind-interfaces",
    )
    return ("dnsmasq", *files, *limits, *ZONE, *options)


def dns(path: Path, shop: Workshop) -> None:
    questions = (
        (NAME, "A"),
        (NAME, "AAAA"),
        ("example.com", "MX"),
        ("example.com", "TXT"),
        ("nowhere.example.com", "A"),
        ("-x", "198.51.100.7"),
        (NAME, "A", "+noedns"),
        ("big.example.com", "TXT", "+bufsize=1232"),  # truncated, then over TCP
    )
    with Network() as network, network.server(53, *dns_server()):
        with network.capture(path):
            for question in questions:
                network.client("dig", f"@{SERVER_V4}", *question)


def ssh(path: Path, shop: Workshop) -> None:
    host_key, user_key = shop.ssh_key("host_key"), shop.ssh_key("user_key")
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = shop.folder / "sshd_config"
    settings.write_text(
        f"HostKey {host_key}\n"
        f"AuthorizedKeysFile {user_key}.pub\n"
        "PermitRootLogin prohibit-password\n"
        "StrictModes no\n"
        "PidFile none\n"
    )
    server = (shutil.which("sshd") or "sshd", "-D", "-e", "-f", str(settings))
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")
    switches = [word for option in options for word in ("-o", option)]
    login = ("ssh", "-F", "none", *switches, "-i", str(user_key), f"root@{SERVER_V4}")
    with Network() as network, network.server(22, *server), network.capture(path):
        network.client(*login, "echo warp; sleep 1; echo weft")


def quic(path: Path, shop: Workshop) -> None:
    program = str(HERE / "quic.py")
    files = (str(shop.certificate), str(shop.key))
    server = (shop.python, program, "server", *files)
    with Network() as network, network.server(443, *server), network.capture(path):
        network.client(shop.python, program, "client")


def mdns(path: Path, shop: Workshop) -> None:
    program = str(HERE / "mdns.py")
    with Network() as network:
        for host in (CLIENT, SERVER):
            network.ip(host, "route", "add", "224.0.0.0/4", "dev", "eth0")
        with (
            network.capture(path),
            network.daemon(SERVER, shop.python, program, "announce"),
        ):
            network.client(shop.python, program, "browse")


def dhcp(path: Path, shop: Workshop) -> None:
    pool = ("--port=0", "--dhcp-range=192.0.2.100,192.0.2.120,1h")
    lease = f"--dhcp-leasefile={shop.folder / 'leases'}"
    identity = ("-x", "hostname:shuttle", "-V", "loom-client")
    client = ("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true")
    with Network() as network, network.server(67, *dns_server(*pool, lease)):
        network.ip(CLIENT, "address", "del", f"{CLIENT_V4}/24", "dev", "eth0")
        with network.capture(path):
            network.client(*client, *identity)


def icmp(path: Path, shop: Workshop) -> None:
    with Network() as network, network.capture(path):
        network.client("ping", "-c", "5", "-i", "0.2", SERVER_V4)
        network.client("ping", "-c", "2", "-i", "0.2", "-s", "1400", SERVER_V4)
        # No server there: port unreachable, which dig takes for a failure.
        closed = ("dig", f"@{SERVER_V4}", NAME, "+tries=1", "+timeout=1")
        network.client(*closed, check=False)


def ipv6(path: Path, shop: Workshop) -> None:
    options = at_server(f"[{SERVER_V6}]", 80)
    with ExitStack() as stack:
        network = stack.enter_context(Network(ipv6=True))
        stack.enter_context(network.server(53, *dns_server()))
        stack.enter_context(network.server(80, *shop.web_server("--bind", "::")))
        stack.enter_context(network.capture(path))
        network.client("ping", "-6", "-c", "3", "-i", "0.2", SERVER_V6)
        network.client("dig", f"@{SERVER_V6}", NAME, "AAAA")
        fetch(network, f"http://{NAME}/", f"http://{NAME}/data.bin", options=options)


def fragments(path: Path, shop: Workshop) -> None:
    with Network(ipv6=True) as network, network.server(53, *dns_server()):
        with network.capture(path):
            network.client("ping", "-c", "2", "-i", "0.2", "-s", "4000", SERVER_V4)
            network.client("ping", "-6", "-c", "2", "-i", "0.2", "-s", "4000", SERVER_V6)
            for server in (SERVER_V4, SERVER_V6):
                big = ("big.example.com", "TXT", "+bufsize=4096", "+ignore")
                network.client("dig", f"@{server}", *big)


def vxlan(path: Path, shop: Workshop) -> None:
    with Network() as network, network.server(80, *shop.web_server()):
        for number, host in enumerate((CLIENT, SERVER), start=1):
            remote = SERVER_V4 if host == CLIENT else CLIENT_V4
            kind = ("type", "vxlan", "id", "7", "remote", remote, "dstport", "4789")
            address = f"02:00:00:00:01:{number:02}"
            network.ip(host, "link", "add", "vxlan7", "address", address, *kind)
            network.ip(host, "address", "add", f"10.7.0.{number}/24", "dev", "vxlan7")
            network.ip(host, "link", "set", "vxlan7", "up")
        with network.capture(path):
            network.client("ping", "-c", "2", "-i", "0.2", "10.7.0.2")
            fetch(network, "http://10.7.0.2/")


def loopback(path: Path, shop: Workshop) -> None:
    """Segments larger than 65535 bytes with their header, as loopback has them."""
    pages = shop.folder / "large"
    pages.mkdir()
    (pages / "large.bin").write_bytes(bytes(3_000_000))
    command = (*shop.web_server()[:-1], str(pages))
    with Network() as network, network.server(80, *command, host=CLIENT):
        with network.capture(path, interface="lo", snaplen=96):
            fetch(network, "http://127.0.0.1/large.bin")


def offload(path: Path, shop: Workshop) -> None:
    """Segments larger than a frame, as a host sees them that lets its card cut them."""
    pages = shop.folder / "medium"
    pages.mkdir()
    (pages / "medium.bin").write_bytes(bytes(400_000))
    command = (*shop.web_server()[:-1], str(pages))
    with Network(offloads=True) as network, network.server(80, *command):
        with network.capture(path, snaplen=96):
            fetch(network, f"http://{SERVER_V4}/medium.bin")


def _any(path: Path, linktype: str) -> None:
    options = ("-y", linktype)
    with Network(ipv6=True) as network:
        with network.capture(path, interface="any", options=options):
            network.client("ping", "-c", "2", "-i", "0.2", SERVER_V4)
            network.client("ping", "-6", "-c", "2", "-i", "0.2", SERVER_V6)
            network.client("ping", "-c", "1", "127.0.0.1")


def sll(path: Path, shop: Workshop) -> None:
    _any(path, "LINUX_SLL")


def sll2(path: Path, shop: Workshop) -> None:
    _any(path, "LINUX_SLL2")


def long_ping(path: Path, shop: Workshop) -> None:
    """A hundred pings within a second."""
    with Network() as network:
        neighbour = ("neigh", "add", SERVER_V4, "lladdr", SERVER_MAC, "dev", "eth0")
        network.ip(CLIENT, *neighbour)
        with network.capture(path, options=("icmp",)):
            network.client("ping", "-q", "-c", "100", "-i", "0.01", SERVER_V4)


MAKERS: dict[str, Callable[[Path, Workshop], None]] = {
    "http.pcap": http,
    "tls12.pcap": tls12,
    "tls13.pcap": tls13,
    "dns.pcap": dns,
    "ssh.pcap": ssh,
    "quic.pcap": quic,
    "mdns.pcap": mdns,
    "dhcp.pcap": dhcp,
    "icmp.pcap": icmp,
    "ipv6.pcap": ipv6,
    "fragments.pcap": fragments,
    "vxlan.pcap": vxlan,
    "loopback.pcap": loopback,
    "offload.pcap": offload,
    "sll.pcap": sll,
    "sll2.pcap": sll2,
    "long-ping.pcap": long_ping,
}


def make(folder: Path, names: list[str]) -> None:
    """Capture the named files into `folder`."""
    missing = {PROGRAMS[name] for name in PROGRAMS if shutil.which(name) is None}
    if missing:
        raise SystemExit(f"apt-get install {' '.join(sorted(missing))}")
    with tempfile.TemporaryDirectory(prefix="flowloom-captures-") as scratch:
        shop = Workshop(Path(scratch))
        for name in names:
            print(f"{name}: ", end="", flush=True)
            fresh = shop.folder / name
            MAKERS[name](fresh, shop)
            shutil.copyfile(fresh, folder / name)
            print(f"{fresh.stat().st_size} bytes")
