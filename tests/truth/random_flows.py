"""Write a capture of random flows, with sequences, pauses, flags, windows and headers that other captures do not have."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

SECOND_US = 10**6
FIN, RST = 0x01, 0x04
#: Pauses of about 1 s and 5 s, which limit bulks and active periods, with their frequency.
PAUSES_US = {0: 2, 1: 5, 300: 8, 5_000: 8, 90_000: 8}
PAUSES_US |= {SECOND_US: 1, SECOND_US + 1: 1, 2 * SECOND_US: 1, 5 * SECOND_US: 1, 5 * SECOND_US + 1: 1, 7 * SECOND_US: 1}


def write(path: Path) -> None:
    """Write 200 flows of TCP and UDP, with 2 to 40 packets. Only the last packet of a flow may have FIN or RST."""
    random = Random(1)
    records = []
    for flow in range(200):
        is_tcp, time = random.random() < 0.7, 1_700_000_000 * SECOND_US + flow * 1_000
        count = random.randint(2, 40)
        for number in range(count):
            # Long sequences in one direction.
            back = number > 0 and (number // random.choice((1, 6))) % 2 == 1
            time += random.choices(list(PAUSES_US), list(PAUSES_US.values()))[0] if number else 0
            payload = bytes(random.choice((0, 1, 100, 1_400)))
            ports = (80, 1_000 + flow) if back else (1_000 + flow, 80)
            if is_tcp:
                ends = random.choice((0, FIN, RST)) if number == count - 1 else 0
                flags = random.getrandbits(8) & ~(FIN | RST) | ends
                window = random.choice((0, 1_000, 64_000))
                words = random.randint(5, 15)
                header = struct.pack("!HHIIBBHHH", *ports, number, 0, words << 4, flags, window, 0, 0)
                transport = header.ljust(4 * words, b"\0") + payload
            else:
                transport = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
            addresses = (b"\xc0\0\2\1", b"\xc0\0\2\2")
            source, destination = addresses[::-1] if back else addresses
            size, protocol = 20 + len(transport), 6 if is_tcp else 17
            packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, protocol, 0, source, destination) + transport
            records.append((time, packet))
    with path.open("wb") as file:
        # pcap of version 2.4 with packets that begin with their IP header.
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))
        for time, packet in sorted(records, key=lambda record: record[0]):
            file.write(struct.pack("<IIII", time // SECOND_US, time % SECOND_US, len(packet), len(packet)) + packet)
