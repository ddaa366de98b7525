#!/usr/bin/env python3
"""Compare the examples of `flowloom plugin new` in all languages.

    tests/languages/examples.py [--flowloom COMMAND] [--seed N] [--count N] [LANGUAGE ...]

Creates each example in each language with `flowloom plugin new`, builds it, and runs its test. Then meters payloads that the
examples may meet: complete messages, each message cut after each byte, compressed names in loops, changed and random bytes,
and packets that were captured incompletely. The plugins get payload in batches, in single events, and with a small grant.

No plugin may trap. All languages must have the same values for each flow. Some flows have values in this file.
"""

import argparse
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/captures"))

from making import clients, wrap  # noqa: E402
from making.formats import Packet, pcap, read_pcap  # noqa: E402

LANGUAGES = ["rust", "c", "zig", "javascript", "typescript", "python", "go"]
GRANTS = {"dns": 512, "tls": 1500, "http": 1500}
#: The number of granted bytes of the third run: messages end in the middle of a value.
SMALL_GRANT = 70
#: Compiling Python takes 10 s of CPU time.
COMPILE = ["--compile-time", "300"]
SERVER = IPv4Address("192.0.2.2")
FIRST_CLIENT = IPv4Address("10.0.0.0")
CLIENT_PORT = 40_000
TCP, UDP = 6, 17
#: Ethernet, IPv4, and TCP or UDP.
HEADERS = {TCP: 14 + 20 + 20, UDP: 14 + 20 + 8}


@dataclass
class Flow:
    """A flow: the payloads of its packets, and whether the server sent each."""

    packets: list[tuple[bool, bytes]]
    #: The values that the plugins must have with the whole grant; None if only the languages are compared.
    expected: dict | None = None
    port: int = 0
    #: The number of bytes of each payload that were not captured.
    lost: int = 0
    protocol: int = field(default=TCP)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=500, help="number of flows with random changes")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", default=[])
    arguments = parser.parse_args()
    languages = arguments.languages or LANGUAGES
    flowloom = str(Path(arguments.flowloom).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for example, flows_of in FLOWS.items():
            plugins = {f"{example}_{language}": create(flowloom, folder, example, language) for language in languages}
            flows = flows_of(random.Random(arguments.seed), arguments.count)
            capture = folder / f"{example}.pcap"
            capture.write_bytes(pcap(packets_of(flows)))
            for calls, grant in [("auto", GRANTS[example]), ("per-event", GRANTS[example]), ("auto", SMALL_GRANT)]:
                rows = meter(flowloom, capture, plugins, calls, grant)
                compare(example, flows, rows, grant)
            values = sum(row["udps"][f"{example}_{languages[0]}"] != row["nothing"] for row in rows.values())
            print(f"{example}: {len(plugins)} languages, {len(flows)} flows, {values} with values, are equal in 3 runs")


def create(flowloom, folder, example, language):
    """Creates, builds and tests a plugin, and returns the path of the component."""
    name = f"{example}_{language}"
    target = ROOT / "target"
    environment = {
        "FLOWLOOM_TOOLS": str(target / "sdk-tools"),
        # Flowloom needs the dependencies of the SDK too, so they are downloaded. All plugins share one target folder.
        "CARGO_NET_OFFLINE": "true",
        "CARGO_TARGET_DIR": str(target / "plugin-projects"),
        **os.environ,
    }
    for words in (["new", name, "--lang", language, "--example", example, "--sdk", ROOT], ["build", name], ["test", name]):
        command = [flowloom, "plugin", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return folder / name / f"{name}.wasm"


def meter(flowloom, capture, plugins, calls, grant):
    """Returns the flows by the number of their client."""
    output = capture.with_suffix(".jsonl")
    command = [flowloom, "meter", capture, "-o", output, "--plugin-calls", calls, "--n-dissections", "0", *COMPILE]
    for name, plugin in plugins.items():
        command += ["--plugin", plugin, "--grant", f"{name}=payload:{grant}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    counted = re.findall(r"^plugin +(\w+) .* (\d+) traps$", done.stderr, re.MULTILINE)
    if done.returncode or dict(counted) != dict.fromkeys(plugins, "0"):
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    for row in rows:
        row["nothing"] = dict.fromkeys(next(iter(row["udps"].values())))
    return {int(IPv4Address(row["src_ip"])) - int(FIRST_CLIENT): row for row in rows}


def compare(example, flows, rows, grant):
    if len(rows) != len(flows):
        sys.exit(f"examples.py: {example}: {len(rows)} flows, expected {len(flows)}")
    problems = []
    for number, flow in enumerate(flows):
        udps = rows[number]["udps"]
        first = next(iter(udps))
        expected = udps[first]
        if flow.expected is not None and grant == GRANTS[example]:
            expected = {**rows[number]["nothing"], **flow.expected}
        for name, values in udps.items():
            if values != expected:
                packets = ", ".join(f"{'server' if back else 'client'} {payload!r}" for back, payload in flow.packets)
                problems.append(f"{name}: {values}\n  expected: {expected}\n  {packets}, {flow.lost} bytes lost")
    if problems:
        sys.exit(f"examples.py: {len(problems)} differences with payload:{grant}\n" + "\n".join(problems[:10]))


def packets_of(flows):
    """Returns the packets of the flows, of which each has its own client. Packets of different flows take turns."""
    packets = []
    for number, flow in enumerate(flows):
        ends = [(FIRST_CLIENT + number, CLIENT_PORT), (SERVER, flow.port)]
        for index, (back, payload) in enumerate(flow.packets):
            (source, sport), (destination, dport) = ends[::-1] if back else ends
            if flow.protocol == UDP:
                packet = clients.udp(source, sport, destination, dport, payload)
            else:
                head = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 5 << 4, 0x18, 64_240, 0, 0)
                packet = clients.ip(source, destination, TCP, head + payload)
            frame = wrap.frame_of(packet)
            captured = max(HEADERS[flow.protocol], len(frame) - flow.lost)
            # A second between the packets of a flow, so that no flow times out.
            time = clients.START + index * 10**9 + number * 10**5
            packets.append(Packet(time, frame[:captured], len(frame)))
    return sorted(packets, key=lambda packet: packet.time_ns)


def changed(rng, payload):
    """Returns the payload with changes."""
    payload = bytearray(payload)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(payload) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            del payload[at : at + rng.randint(1, 8)]
        elif kind == 1:
            payload[at:at] = rng.randbytes(rng.randint(1, 8))
        elif at < len(payload):
            payload[at] = rng.choice([0, 1, 63, 64, 192, 255, rng.randrange(256), payload[at] ^ 1 << rng.randrange(8)])
    return bytes(payload)


def with_changes(rng, count, known, seeds, **of_flow):
    """Returns the known flows, each seed cut after each byte, and flows of changed and random payloads."""
    seeds = [*seeds, *(payload for flow in known for _, payload in flow.packets)]
    flows = list(known)
    for payload in dict.fromkeys(seeds):
        back = payload[2:3] >= b"\x80" if of_flow["protocol"] == UDP else payload.startswith(b"HTTP")
        # Payloads that are cut, and packets that are.
        step = max(1, len(payload) // 150)
        flows += [Flow([(back, payload[:size])], **of_flow) for size in range(0, len(payload), step)]
        flows += [Flow([(back, payload)], lost=lost, **of_flow) for lost in range(1, len(payload), 7 * step)]
    for _ in range(count):
        packets = []
        for _ in range(rng.randint(1, 3)):
            payload = rng.choice(seeds) if rng.random() < 0.9 else rng.randbytes(rng.randrange(200))
            packets.append((rng.random() < 0.5, changed(rng, payload) if rng.random() < 0.8 else payload))
        packets[0] = (False, packets[0][1])
        flows.append(Flow(packets, lost=rng.choice([0, 0, 0, rng.randrange(100)]), **of_flow))
    # The first packet determines the source, which tells the flows apart.
    for flow in flows:
        if flow.packets[0][0]:
            flow.packets.insert(0, (False, b""))
    return flows


def payloads(capture, protocol):
    """Returns the payloads of this protocol over IPv4 in a capture."""
    for packet in read_pcap(ROOT / "tests/captures" / capture):
        ip = packet.data[14:]
        if packet.data[12:14] == b"\x08\x00" and ip[9] == protocol:
            ip = ip[: int.from_bytes(ip[2:4], "big")]
            segment = ip[(ip[0] & 15) * 4 :]
            payload = segment[8 if protocol == UDP else (segment[12] >> 4) * 4 :]
            if payload:
                yield payload


def dns(rng, count):
    of_flow = {"port": 53, "protocol": UDP}
    name, record = clients.name, clients.record
    cname, at = 5, 12 + len(name("a.example")) + 4

    def message(question, answers=b"", flags=0x8180, counts=(1, 1)):
        return struct.pack(">6H", 7, flags, *counts, 0, 0) + question + answers

    def asked(owner, qtype=1):
        return owner + struct.pack(">HH", qtype, 1)

    def flow(payload, **expected):
        return Flow([(True, payload)], expected, **of_flow)

    question = asked(name("a.example"))
    answered = {"query": "a.example", "qtype": 1, "rcode": 0, "answers": 1}
    longest = b"".join(bytes([63]) + bytes([97 + n]) * 63 for n in range(3)) + b"\x3d" + b"x" * 61
    text = ".".join(63 * chr(97 + n) for n in range(3)) + "." + 61 * "x"
    known = [
        flow(message(question, record(b"\xc0\x0c", cname, name("b.example"))), **answered, target="b.example"),
        # The target continues in the question, in a record without a name, and not at all.
        flow(message(question, record(b"\xc0\x0c", cname, b"\x01b\xc0\x0e")), **answered, target="b.example"),
        flow(message(question, record(b"\xc0\x0c", 1, bytes([192, 0, 2, 1]))), **answered),
        flow(message(question, record(b"\xc0\x0c", cname, b"\0")), **answered, target="."),
        # Pointers to themselves, forwards, at each other, into the header, and a pointer of one byte.
        flow(message(question, record(b"\xc0\x0c", cname, struct.pack(">H", 0xC000 | at + 12))), **answered),
        flow(message(question, record(b"\xc0\x0c", cname, struct.pack(">H", 0xC000 | at + 14) + name("x"))), **answered),
        flow(message(question, record(b"\xc0\x0c", cname, b"\x01x" + struct.pack(">H", 0xC000 | at + 12))), **answered),
        flow(message(question, record(b"\xc0\x0c", cname, b"\xc0\x02")), **answered),
        flow(message(question, record(b"\xc0\x0c", cname, b"\xc0")), **answered),
        flow(message(asked(b"\xc0\x0c")), rcode=0, answers=1),
        flow(message(asked(b"\x01x\xc0\x0c")), rcode=0, answers=1),
        # Labels of reserved kinds, the longest name, and a name that is too long.
        flow(message(asked(b"\x40" + b"x" * 64 + b"\0")), rcode=0, answers=1),
        flow(message(asked(b"\x80x\0")), rcode=0, answers=1),
        flow(message(asked(longest + b"\0"), counts=(1, 0)), query=text, qtype=1, rcode=0, answers=0),
        flow(message(asked(longest.replace(b"\x3d", b"\x3e") + b"x\0")), rcode=0, answers=1),
        # The root, and bytes that are not printable.
        flow(message(asked(b"\0", 2), counts=(1, 0)), query=".", qtype=2, rcode=0, answers=0),
        flow(message(asked(b"\x05\0\x1f~\x7f\xff\0"), counts=(1, 0)), query="??~??", qtype=1, rcode=0, answers=0),
        # No question, several questions, an error, and messages that are too short.
        flow(message(b"", counts=(0, 0), flags=0x8005), rcode=5, answers=0),
        flow(message(question + question, record(b"\xc0\x0c", cname, name("b")), counts=(2, 1)), **answered),
        flow(message(question, counts=(1, 0), flags=0x8183), **{**answered, "rcode": 3, "answers": 0}),
        flow(message(question, counts=(1, 0))[:-1], rcode=0, answers=0),
        flow(message(question)[:11]),
        # Values are those of the first question and of the first response.
        Flow(
            [(False, message(asked(name("q")), flags=0x100)), (True, message(question, flags=0x8182)), (True, message(question))],
            {"query": "q", "qtype": 1, "rcode": 2, "answers": 1},
            **of_flow,
        ),
        # Other ports and protocols.
        Flow([(True, message(question))], {}, port=5353, protocol=UDP),
        Flow([(True, message(question))], {}, port=53, protocol=TCP),
    ]
    seeds = [*payloads("dns.pcap", UDP), *payloads("mdns-names.pcap", UDP)]
    return with_changes(rng, count, known, seeds, **of_flow)


def tls(rng, count):
    of_flow = {"port": 443, "protocol": TCP}
    hello, records, extension = clients.hello, clients.records, clients.extension

    def flow(payload, **expected):
        return Flow([(False, payload)], expected, **of_flow)

    def server(name):
        return extension(0, struct.pack(">HBH", 3 + len(name), 0, len(name)) + name)

    whole = records(hello())
    values = {"sni": "www.example.com", "version": 772, "cipher_count": 4, "alpn": "h2"}
    old = {"version": 771, "cipher_count": 4}
    known = [
        flow(whole, **values),
        Flow([(False, b""), (False, whole), (False, records(hello([1])))], values, **of_flow),
        Flow([(False, b"x"), (False, whole)], {}, **of_flow),
        # A ClientHello of two packets: the second one is not read.
        Flow([(False, whole[:60]), (False, whole[60:])], {"cipher_count": 4}, **of_flow),
        flow(whole[:-1], **values),
        flow(whole[:50]),
        flow(b"\x16\x03\x01\x00\xff\x01"),
        flow(b"\x17" + whole[1:]),
        # Without extensions, and with SSL 3.0.
        flow(records(hello(extensions=b"")), **old),
        flow(records(hello(version=0x0300, extensions=b"")), **{**old, "version": 768}),
        flow(records(hello(range(0x0A0A, 0x10000, 0x1010), extensions=b"")), version=771, cipher_count=0),
        flow(records(hello([0x0A1A, 0x1A0A, 0x0B0B], extensions=b"")), version=771, cipher_count=3),
        # Names: empty, of another type, cut, too long, not printable, several.
        flow(records(hello(extensions=server(b""))), **old),
        flow(records(hello(extensions=extension(0, b"\0\x04\x01\0\x01x"))), **old),
        flow(records(hello(extensions=extension(0, b"\0\x04\0\0\x02x"))), **old),
        flow(records(hello(extensions=server(b"n" * 300))), **old, sni="n" * 255),
        flow(records(hello(extensions=server(b"\0a\x7f\xc3\xa4"))), **old, sni="?a???"),
        flow(records(hello(extensions=server(b"a") + server(b"b"))), **old, sni="b"),
        # Versions: none, GREASE only, and an odd number of bytes.
        flow(records(hello(extensions=extension(43, b""))), **old),
        flow(records(hello(extensions=extension(43, b"\x02\x0a\x0a"))), **old),
        flow(records(hello(extensions=extension(43, b"\x03\x03\x02\x03"))), **{**old, "version": 770}),
        # An extension that is longer than the ClientHello.
        flow(records(hello(extensions=b"\0\0\0\xff\0")), **old),
    ]
    captured = [*payloads("tls12.pcap", TCP), *payloads("tls13.pcap", TCP), *payloads("tls-clients.pcap", TCP)]
    seeds = [payload for payload in captured if payload[0] == 22 and len(payload) < 800]
    return with_changes(rng, count, known, seeds, **of_flow)


def http(rng, count):
    of_flow = {"port": 80, "protocol": TCP}

    def flow(payload, **expected):
        return Flow([(False, payload)], expected, **of_flow)

    def request(headers, **expected):
        return flow(b"GET / HTTP/1.1\r\n" + headers, method="GET", **expected)

    known = [
        request(b"Host: a.example\r\nUser-Agent: x/1 (y)\r\n\r\n", host="a.example", user_agent="x/1 (y)"),
        request(b"hOST:\t a \t\r\nUSER-agent:b\r\n\r\n", host="a", user_agent="b"),
        # Cut, empty, twice, after the end, with line feeds only, without a colon, and similar names.
        request(b"Host: a.exam"),
        request(b"Host: \r\nHost: a\r\n\r\n", host="a"),
        request(b"Host: a\r\nHost: b\r\n\r\n", host="a"),
        request(b"\r\nHost: a\r\n"),
        request(b"Host: a\nUser-Agent: b\n\n", host="a", user_agent="b"),
        request(b"Host\r\nUser-Agent\r\n\r\n"),
        request(b"Hos: a\r\nHostt: b\r\nHost : c\r\n Host: d\r\nX-User-Agent: e\r\n\r\n"),
        request(b"Host: a:80\r\nUser-Agent: \xc3\xa4\0\x7f~\r\n\r\n", host="a:80", user_agent="????~"),
        request(b"User-Agent: " + b"u" * 300 + b"\r\n", user_agent="u" * 255),
        request(b"Host:" + b" \t" * 600 + b"\r\n"),
        request(b"Host: a\r\r\n", host="a?"),
        # Other methods, and lines that are no requests.
        flow(b"M-SEARCH * HTTP/1.1\r\n", method="M-SEARCH"),
        flow(b"GET http://a/ b HTTP/1.0\n", method="GET"),
        flow(b"GET / HTTP/1.1"),
        flow(b"GET HTTP/1.1\r\n"),
        flow(b"GET  HTTP/1.1\r\n"),
        flow(b"GET / HTTP/2.0\r\n"),
        flow(b"get / HTTP/1.1\r\n"),
        flow(b" GET / HTTP/1.1\r\n"),
        flow(b"\r\nGET / HTTP/1.1\r\n"),
        flow(b"\n"),
        # Responses.
        flow(b"HTTP/1.1 200 OK\r\n", status=200),
        flow(b"HTTP/1.0 007", status=7),
        flow(b"HTTP/1.1 20"),
        flow(b"HTTP/1.1 2x0 "),
        flow(b"HTTP/1.1  200"),
        flow(b"HTTP/1.1"),
        # The first request and response count; both may come in the middle of a flow.
        Flow(
            [
                (False, b"\xff"),
                (True, b"HTTP/1.1 301 Moved\r\n"),
                (True, b"HTTP/1.1 200 OK\r\nHost: x\r\n"),
                (False, b"PUT / HTTP/1.1\r\nHost: a\r\n"),
                (False, b"GET / HTTP/1.1\r\nHost: b\r\nUser-Agent: c\r\n"),
            ],
            {"method": "PUT", "host": "a", "status": 301},
            **of_flow,
        ),
        # More packets than the plugin asks for.
        Flow([(False, b"")] * 50 + [(False, b"GET / HTTP/1.1\r\n")], {}, **of_flow),
        Flow([(False, b"")] * 49 + [(False, b"GET / HTTP/1.1\r\n")], {"method": "GET"}, **of_flow),
    ]
    seeds = [payload for payload in payloads("http.pcap", TCP) if len(payload) < 600]
    return with_changes(rng, count, known, seeds, **of_flow)


FLOWS = {"dns": dns, "tls": tls, "http": http}

if __name__ == "__main__":
    main()
