#!/usr/bin/env python3
"""Write seeds for the targets from the captures in tests/captures: seeds.py FOLDER.

The function of each target in `src/` documents the format of its input.
"""

import gzip
import re
import shutil
import struct
import subprocess
import sys
from hashlib import sha1
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "oracle"))

import capture  # noqa: E402

LONGEST_CAPTURE = 16 * 1024
LONGEST_FRAME = 512
PACKETS = 24

# Accounting mode and statistics, idle timeout, active timeout, tunnels, packets of SPLT, limit on live flows.
SETTINGS = [
    struct.pack("<BBBBHB", 0 | 4, 15, 252, 0b000111, 3, 0),
    struct.pack("<BBBBHB", 1 | 4, 1, 2, 0b111111, 0, 0),
    struct.pack("<BBBBHB", 3, 254, 254, 0, 20, 4),
]


def main() -> None:
    folder = Path(sys.argv[1])
    count = 0
    for target, seed in seeds():
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / sha1(seed).hexdigest()).write_bytes(seed)
        count += 1
    print(f"{count} seeds in {folder}")


def seeds():
    yield from (("modules", seed) for seed in modules())
    yield from (("expressions", seed) for seed in expressions())
    yield from (("features", seed) for seed in features())
    captures = sorted((HERE.parent / "captures").glob("*.pcap*"))
    for number, path in enumerate(captures):
        raw = path.read_bytes()
        packets = list(capture.read(path))
        yield from (("decode", frame(packet)) for packet in packets[:PACKETS])
        settings = SETTINGS[number % len(SETTINGS)]
        yield "meter", settings + b"".join(given(packet) for packet in packets[:PACKETS])
        if len(raw) <= LONGEST_CAPTURE:
            yield "capture", bytes([number % 256 | 0x80]) + raw
            yield "whole", settings + b"\2" + raw
        if len(raw) <= 2048:
            for compressed in compressions(raw):
                yield "capture", b"\7" + compressed
                yield "whole", settings + b"\0" + compressed


def expressions():
    """Yield the conditions, and parts of conditions, of the documentation."""
    text = (HERE.parent.parent / "docs" / "filters.md").read_text()
    yield from (found.encode() for found in re.findall(r"--where '(.+)'$", text, re.MULTILINE))
    yield from (found.encode() for found in re.findall(r"`([^`\n]+)`", text))


def features():
    """Yield the features of the tests of the language."""
    folder = HERE.parent.parent / "host" / "expr" / "src" / "features" / "tests"
    for path in sorted(folder.glob("*.rs")):
        yield from (found.encode() for found in re.findall(r'"(\w+ = [^"\\]+)"', path.read_text()))


def modules():
    """Yield files of plugins. A few bytes describe a damaged file; other files are complete."""
    yield from (bytes([kind, 0, 0]) for kind in (1, 3))
    yield bytes([1, 1, 200, 0, 7, 0])
    nested = header = b"\0asm\x0d\0\x01\0"
    for _ in range(20):
        nested = header + b"\4" + bytes([len(nested) & 0x7F | 0x80, len(nested) >> 7]) + nested
    types = b"\1" + b"\x41\1\1" * 30 + b"\x41\0"
    component = header + b"\7" + bytes([len(types)]) + types
    section = b"\x0ecomponent-type" + component
    module = b"\0asm\1\0\0\0\0" + bytes([len(section) & 0x7F | 0x80, len(section) >> 7]) + section
    yield from (b"\0" + file for file in (header, nested, component, module))


def frame(packet: capture.Record) -> bytes:
    data = packet.data[:LONGEST_FRAME]
    return struct.pack("<HBBB", packet.linktype, 0xFF, 0, len(data) // 2 % 256) + data


def given(packet: capture.Record) -> bytes:
    """Return a step of the target `meter`: an absolute time and an arbitrary frame."""
    data = packet.data[:255]
    time_ns = max(0, packet.time_ns) & (1 << 64) - 1
    step = struct.pack("<BQHBB", 3 | 2 << 2, time_ns, packet.linktype, 0, len(data))
    return step + data


def compressions(raw: bytes):
    yield gzip.compress(raw, mtime=0)
    if shutil.which("zstd"):
        zstd = subprocess.run(["zstd", "-c"], input=raw, capture_output=True, check=True)
        yield zstd.stdout


if __name__ == "__main__":
    main()
