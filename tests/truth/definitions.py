"""Compute the values of plugins, as their READMEs define them."""

from __future__ import annotations

import numpy
from packets import TCP, Flow, Seen

FIN, SYN, RST, ACK = 1, 2, 4, 16
SIDES = ("src2dst", "dst2src")


def first_bytes(flow: Flow, n: int = 32) -> dict:
    """Return the first n payload bytes, up to a packet that was not captured completely."""
    values = {}
    for direction, side in enumerate(SIDES):
        found = b""
        for seen in flow.of(direction):
            found += seen.payload
            if len(seen.payload) < seen.packet.payload_size:
                break
        values[side] = found[:n].hex() or None
    return values


def entropy(flow: Flow, n: int = 256) -> dict:
    values = {}
    for direction, side in enumerate(SIDES):
        joined = b"".join(seen.payload[:n] for seen in flow.of(direction))[:n]
        found = numpy.frombuffer(joined, dtype=numpy.uint8)
        if joined:
            shares = numpy.unique(found, return_counts=True)[1] / len(found)
            text = bytes(range(32, 127)) + b"\t\n\r"
            numbers = (
                -(shares * numpy.log2(shares)).sum() + 0.0,
                len(shares),
                found.mean(),
                found.std(),
                sum(byte in text for byte in joined) / len(joined),
            )
        else:
            numbers = (None,) * 5
        values[f"{side}_bytes"] = len(joined)
        names = ("entropy", "distinct", "mean", "stddev", "printable")
        values |= {f"{side}_{name}": number for name, number in zip(names, numbers, strict=True)}
    return values


def beacon(flow: Flow, quiet_ms: int = 500, most: int = 1000) -> dict:
    sent = [
        seen.time_ns
        for seen in flow.of(0)
        if seen.packet.protocol != TCP or seen.packet.payload_size > 0
    ]
    begins = [
        now
        for n, now in enumerate(sent)
        if n == 0 or now - sent[n - 1] >= quiet_ms * 10**6
    ]
    gaps = [(after - before) / 1e6 for before, after in zip(begins, begins[1:])]
    times = numpy.array(gaps[:most])
    values = dict.fromkeys(("mean_ms", "median_ms", "variation", "mad_ms", "skewness", "score"))
    values["bursts"] = len(begins)
    if len(times) > 0:
        median = numpy.median(times)
        mad = numpy.median(numpy.abs(times - median))
        values |= {"mean_ms": times.mean(), "median_ms": median, "mad_ms": mad}
        values["variation"] = times.std() / times.mean() if times.mean() > 0 else None
    if len(times) >= 3:
        low, middle, high = numpy.percentile(times, [25, 50, 75])
        skewness = (low + high - 2 * middle) / (high - low) if high > low else 0.0
        steadiness = max(0.0, 1 - mad / median) if median > 0 else 0.0
        values |= {"skewness": skewness, "score": (1 - abs(skewness) + steadiness) / 2}
    return values


def tcp_health(flow: Flow) -> dict:
    """Sequence numbers are extended to more than 32 bits, so that they do not wrap around."""
    names = ("retransmissions", "out_of_order", "zero_windows")
    values = {f"{side}_{name}": None for side in SIDES for name in names}
    if flow.packets[0].packet.protocol != TCP:
        return values | {"server_rtt_ms": None, "client_rtt_ms": None}
    values = dict.fromkeys(values, 0)
    reached = [None, None]
    acknowledged: list[int | None] = [None, None]
    windows: list[int | None] = [None, None]
    unwrapped = Unwrapped()
    for position, seen in enumerate(flow.packets):
        side, flags, size = seen.direction, seen.packet.flags, seen.packet.payload_size
        if flags == 0:
            continue  # the header was not captured, or is not TCP
        begin = unwrapped.number(side, seen.seq)
        edge = begin + size
        controls = flags & (SYN | FIN | RST)
        values[f"{SIDES[side]}_zero_windows"] += seen.window == 0 and not controls
        probe = False
        if reached[side] is not None:
            most, when = reached[side]
            probe = size == 1 and begin == most and windows[1 - side] == 0
            kind = classify(
                size, flags, begin, edge, most, acknowledged[1 - side],
                seen.time_ns - when < soon(flow, position),
            )
            if kind:
                values[f"{SIDES[side]}_{kind}"] += 1
        edge += bool(flags & (SYN | FIN))
        if not probe and (reached[side] is None or edge > reached[side][0]):
            reached[side] = edge, seen.time_ns
        windows[side] = seen.window
        if flags & ACK:
            acknowledged[side] = unwrapped.number(1 - side, seen.ack)
    syn, answer, end = handshake(flow.packets)
    values["server_rtt_ms"] = (answer - syn) / 1e6 if answer is not None else None
    values["client_rtt_ms"] = (end - answer) / 1e6 if end is not None else None
    return values


def classify(size, flags, begin, edge, most, acknowledged, is_soon):
    if size == 0 and not flags & (SYN | FIN):
        return None
    if size <= 1 and begin == most - 1 and not flags & (SYN | FIN | RST):
        return None  # a keep-alive
    if size > 0 and acknowledged is not None and edge <= acknowledged:
        return "retransmissions"
    if begin >= most or (size > 1 and begin == most - 1):
        return None
    return "out_of_order" if is_soon and edge != most else "retransmissions"


def soon(flow: Flow, position: int) -> int:
    """Return the round-trip time of the handshake, or 3 ms if it is not known yet. The unit is ns."""
    syn, _, end = handshake(flow.packets[: min(position, 100) + 1])
    return end - syn if end is not None else 3_000_000


def handshake(packets: list[Seen]):
    """Return the times of SYN, SYN-ACK and ACK. None means that the segment is missing."""
    syn = answer = None
    expected = 0
    for seen in packets[:100]:
        flags = seen.packet.flags & (SYN | ACK | RST)
        if seen.direction == 0 and flags == SYN and answer is None:
            syn = seen.time_ns
        elif seen.direction == 1 and flags == SYN | ACK and syn is not None and answer is None:
            answer, expected = seen.time_ns, (seen.seq + 1) % 2**32
        elif seen.direction == 0 and flags == ACK and answer is not None and seen.ack == expected:
            return syn, answer, seen.time_ns
    return syn, answer, None


class Unwrapped:
    """Extends the 32-bit numbers of two streams. Each number is close to the number before it."""

    def __init__(self):
        self.last: list[int | None] = [None, None]

    def number(self, stream: int, raw: int) -> int:
        last = self.last[stream]
        if last is None:
            number = raw + 2**40
        else:
            number = last + (raw - last + 2**31) % 2**32 - 2**31
        self.last[stream] = number
        return number
