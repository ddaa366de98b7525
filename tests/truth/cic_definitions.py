"""Compute the columns of the plugin cicflowmeter by their definitions.

All sums, means and variances are exact fractions, which are rounded once. Periods and bulks are found from the list of all
packets, not packet by packet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from packets import Flow, Seen

SECOND_US = 10**6
#: The pause that ends a bulk or a subflow, and the pause that ends an active period.
SHORT_PAUSE_US, LONG_PAUSE_US = SECOND_US, 5 * SECOND_US
SHORTEST_BULK = 4
#: Flags by their bit, with the names of CSE-CIC-IDS2018.
FLAGS = {
    "fin_flag_cnt": 0x01,
    "syn_flag_cnt": 0x02,
    "rst_flag_cnt": 0x04,
    "psh_flag_cnt": 0x08,
    "ack_flag_cnt": 0x10,
    "urg_flag_cnt": 0x20,
    "ece_flag_cnt": 0x40,
    "cwr_flag_count": 0x80,
}
PSH, URG = FLAGS["psh_flag_cnt"], FLAGS["urg_flag_cnt"]


def cicflowmeter(flow: Flow) -> dict[str, float]:
    """Return the 76 columns of a flow."""
    seen = flow.packets
    duration = time_us(seen[-1]) - time_us(seen[0])
    pauses = pauses_us(seen)
    subflows = sum(pause > SHORT_PAUSE_US for pause in pauses)
    lengths = [payload(one) for one in seen]
    columns = {
        "flow_duration": duration,
        "flow_byts_s": per(sum(lengths), Fraction(duration, SECOND_US)),
        "flow_pkts_s": per(len(seen), Fraction(duration, SECOND_US)),
        "pkt_size_avg": mean(lengths),
        "pkt_len_var": float(variance(lengths)),
        "down_up_ratio": per(len(flow.of(1)), len(flow.of(0))),
        **spread("flow_iat", pauses, float),
        **spread("pkt_len", lengths, int),
        **spread("active", active_us(seen), float),
        **spread("idle", [pause for pause in pauses if pause > LONG_PAUSE_US], float),
    }
    columns |= {name: count(seen, lambda one, bit=bit: one.packet.flags & bit) for name, bit in FLAGS.items()}
    for direction, side in enumerate(("fwd", "bwd")):
        columns |= of_side(side, flow.of(direction), duration, subflows)
        columns |= of_bulks(side, [bulk for bulk in bulks(seen) if bulk[0].direction == direction])
    windows = [[one.window for one in flow.of(direction)] for direction in (0, 1)]
    columns["init_fwd_win_byts"] = windows[0][0]
    columns["init_bwd_win_byts"] = ([window for window in windows[1] if window] or [0])[0]
    columns["fwd_act_data_pkts"] = count(flow.of(0), payload)
    columns["fwd_seg_size_min"] = min(header(one) for one in flow.of(0))
    return columns


def of_side(side: str, seen: Sequence[Seen], duration: int, subflows: int) -> dict[str, float]:
    """Return the columns of one direction, except for those of its bulks."""
    lengths = [payload(one) for one in seen]
    pauses = pauses_us(seen)
    return {
        f"tot_{side}_pkts": len(seen),
        f"totlen_{side}_pkts": sum(lengths),
        f"{side}_iat_tot": float(sum(pauses)),
        f"{side}_psh_flags": count(seen, lambda one: one.packet.flags & PSH),
        f"{side}_urg_flags": count(seen, lambda one: one.packet.flags & URG),
        f"{side}_header_len": sum(header(one) for one in seen),
        f"{side}_pkts_s": per(len(seen), Fraction(duration, SECOND_US)),
        f"{side}_seg_size_avg": mean(lengths),
        f"subflow_{side}_pkts": per(len(seen), subflows),
        f"subflow_{side}_byts": per(sum(lengths), subflows),
        **spread(f"{side}_pkt_len", lengths, int),
        **spread(f"{side}_iat", pauses, float),
    }


def of_bulks(side: str, found: list[list[Seen]]) -> dict[str, float]:
    sums = [sum(payload(one) for one in bulk) for bulk in found]
    duration = sum(time_us(bulk[-1]) - time_us(bulk[0]) for bulk in found)
    return {
        f"{side}_byts_b_avg": mean(sums),
        f"{side}_pkts_b_avg": mean([len(bulk) for bulk in found]),
        f"{side}_blk_rate_avg": per(sum(sums), Fraction(duration, SECOND_US)),
    }


def time_us(seen: Seen) -> int:
    return seen.time_ns // 1000


def payload(seen: Seen) -> int:
    return seen.packet.payload_size


def header(seen: Seen) -> int:
    """Return the length of the transport header. It is 0 if there is none that Flowloom decodes."""
    return seen.packet.transport_size - seen.packet.payload_size


def pauses_us(seen: Iterable[Seen]) -> list[int]:
    return [time_us(after) - time_us(before) for before, after in pairwise(seen)]


def count(seen: Iterable[Seen], condition: Callable[[Seen], object]) -> int:
    return sum(bool(condition(one)) for one in seen)


def cut(seen: Sequence[Seen], ends: Callable[[Seen, Seen], bool]) -> list[list[Seen]]:
    """Divide packets where `ends` is true for a packet and the next one."""
    places = [0, *(n for n, pair in enumerate(pairwise(seen), 1) if ends(*pair)), len(seen)]
    return [list(seen[begin:end]) for begin, end in pairwise(places) if begin < end]


def bulks(seen: Sequence[Seen]) -> list[list[Seen]]:
    """Return the sequences of at least 4 packets with payload of one direction, with pauses of at most 1 s."""

    def ends(before: Seen, after: Seen) -> bool:
        return before.direction != after.direction or time_us(after) - time_us(before) > SHORT_PAUSE_US

    found = cut([one for one in seen if payload(one) > 0], ends)
    return [bulk for bulk in found if len(bulk) >= SHORTEST_BULK]


def active_us(seen: Sequence[Seen]) -> list[int]:
    """Return the durations of the periods that a pause of more than 5 s ends, without those of one moment."""
    periods = cut(seen, lambda before, after: time_us(after) - time_us(before) > LONG_PAUSE_US)
    durations = [time_us(period[-1]) - time_us(period[0]) for period in periods[:-1]]
    return [duration for duration in durations if duration > 0]


def spread(prefix: str, values: Sequence[int], kind: type[float]) -> dict[str, float]:
    """Return maximum, minimum, mean and sample standard deviation, which are 0 for no number.

    `kind` is the type of maximum and minimum.
    """
    return {
        f"{prefix}_max": kind(max(values, default=0)),
        f"{prefix}_min": kind(min(values, default=0)),
        f"{prefix}_mean": mean(values),
        f"{prefix}_std": math.sqrt(variance(values)),
    }


def mean(values: Sequence[int]) -> float:
    return per(sum(values), len(values))


def variance(values: Sequence[int]) -> Fraction:
    """Return the sample variance. It is 0 for fewer than two values."""
    if len(values) < 2:
        return Fraction(0)
    middle = Fraction(sum(values), len(values))
    # The deviations have one denominator, so that the sum is one of whole numbers.
    squares = sum((value * middle.denominator - middle.numerator) ** 2 for value in values)
    return Fraction(squares, middle.denominator**2 * (len(values) - 1))


def per(part: Fraction | int, whole: Fraction | int) -> float:
    """Divide. A division by 0 gives 0."""
    return float(Fraction(part) / Fraction(whole)) if whole else 0.0
