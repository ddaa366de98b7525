#!/usr/bin/env python3
"""Compares the values of compiled features with a direct evaluation over the same packets.

    tests/features/compare.py [--flowloom FILE] [CAPTURE...]

`flowloom plugin compile` compiles the files of features beside this program. Flowloom runs the components over the
captures of tests/captures. The direction and size of each packet of a flow come from `--splt-analysis`, the core's own
statistics from `--statistical-analysis`. Values of integers must be equal; those of sums of floats may differ by 1e-9 of
their size. Times of the core are truncated to milliseconds; times of features are not, and may differ by 1 ms.
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The files of features, without their suffix.
NAMES = ["one", "stats", "sizes", "times", "bounded", "language"]
# More packets than any flow of the captures has.
PACKETS = 1000


def statistics(values):
    """The statistics of sizes.features."""
    n = len(values)
    out = {"count": n, "sum": sum(values)}
    for name in ["mean", "stddev", "variance_pop", "min", "max", "first", "last"]:
        out[name] = None
    if n:
        is_exact = all(isinstance(value, int) for value in values)
        spread = n * sum(v * v for v in values) - sum(values) ** 2
        if not is_exact:
            mean = math.fsum(values) / n
            spread = n * math.fsum((value - mean) ** 2 for value in values)
        out.update(
            mean=sum(values) / n,
            stddev=math.sqrt(spread / (n * max(n - 1, 1))),
            variance_pop=spread / (n * n),
            min=min(values),
            max=max(values),
            first=values[0],
            last=values[-1],
        )
    return out


def expected(flow):
    """All values of the files but language.features, by the name of the column."""
    packets = [(d, s) for d, s in zip(flow["splt_direction"], flow["splt_ps"]) if d >= 0]
    assert len(packets) == flow["bidirectional_packets"] < PACKETS
    sizes = [size for _, size in packets]
    down = [size for direction, size in packets if direction == 1]
    groups = {
        "all": sizes,
        "down": down,
        "negative": [-5 - size for size in sizes],
        "float": [0.5 * size for size in sizes],
        "early": sizes[:3],
    }
    out = {}
    for group, values in groups.items():
        for name, value in statistics(values).items():
            out[f"udps.sizes.{group}_{name}"] = value
    negative = sum(groups["negative"])
    out["udps.sizes.big"] = out["udps.one.big"] = sum(size > 1000 for size in sizes)
    out["udps.sizes.down_share"] = sum(down) / sum(sizes) if sum(sizes) else None
    out["udps.sizes.per_down"] = len(sizes) / len(down) if down else None
    out["udps.sizes.per_down_or_7"] = len(sizes) / len(down) if down else 7.0
    out["udps.sizes.floor"] = negative // len(down) if down else None
    out["udps.sizes.modulo"] = negative % len(down) if down else None
    out["udps.sizes.has_down"] = bool(down)
    # The core's own columns. It writes 0 where a direction has no packet.
    for direction in ["src2dst", "dst2src"]:
        count = flow[f"{direction}_packets"]
        out[f"udps.stats.{direction}_count"] = count
        for name in ["mean", "stddev", "min", "max"]:
            value = flow[f"{direction}_{name}_ps"] if count else None
            out[f"udps.stats.{direction}_{name}"] = value
    times(flow, sizes, down, out)
    bounded(flow, packets, out)
    return out


def bounded(flow, packets, out):
    """The values of bounded.features."""
    sizes = [size for _, size in packets]
    values = {
        "first_sum": sum(sizes[:4]),
        "down_sum": sum(size for direction, size in packets[:3] if direction == 1 and size > 50),
        "first_mean": sum(sizes[:3]) / len(sizes[:3]),
        "second": sizes[1] if len(sizes) > 1 else None,
        "all_packets": flow["bidirectional_packets"],
    }
    out.update((f"udps.bounded.{name}", value) for name, value in values.items())


def times(flow, sizes, down, out):
    """The values of times.features."""
    for direction in ["bidirectional", "src2dst", "dst2src"]:
        for name in ["mean", "stddev", "min", "max"]:
            value = flow[f"{direction}_{name}_piat_ms"] if flow[f"{direction}_packets"] > 1 else None
            out[f"udps.times.{direction}_{name}"] = value
    large = [size * ((1 << 32) - 1) for size in sizes]
    n = len(large)
    spread = n * sum(v * v for v in large) - sum(large) ** 2
    huge = [min(size, 65535) << 47 for size in sizes]
    huge_sum, huge_squares = sum(huge), min(sum(v * v for v in huge), (1 << 127) - 1)
    huge_spread = float(n * huge_squares - huge_sum**2)
    # Floats where the sum needs more than 64 bits, or the count times the squares more than 127.
    if huge_sum >> 63 or n * (huge_squares >> 64) >> 63:
        huge_spread = max(float(n) * float(huge_squares) - float(huge_sum) * float(huge_sum), 0.0)
    largest = (1 << 63) - 1
    values = {
        "age": flow["udps"]["times"]["duration_ns"],
        "large_mean": float(sum(large)) / float(n),
        "large_variance": float(spread) / (float(n) * float(max(n - 1, 1))),
        "huge_mean": float(huge_sum) / float(n),
        "huge_variance": huge_spread / (float(n) * float(max(n - 1, 1))),
        "third": down[2] if len(down) > 2 else None,
        "none": None,
        "sum_of_three": sum(down[:3]),
        "add": largest,
        "add_negative": -largest,
        "add_small": -2,
        "sub": -largest,
        "sub_small": -2,
        "mul": -largest,
        "mul_half": largest,
        "mul_small": -3 << 40,
        "least": -3,
        "greatest": 4,
        "floor_by_minus_one": -largest,
        "modulo_negative": -2,
        "floor_by_zero": None,
        "null_and_false": False,
        "true_and_null": None,
        "true_or_null": True,
        "null_or_true": True,
        "null_or_null": None,
        "null_and_null": None,
    }
    out.update((f"udps.times.{name}", value) for name, value in values.items())


def shape(values, power):
    """The standardized moment of a power; none if all values are equal."""
    mean = math.fsum(values) / len(values)
    second = math.fsum((value - mean) ** 2 for value in values)
    if not second:
        return None
    moment = math.fsum((value - mean) ** power for value in values)
    return len(values) ** (power / 2 - 1) * moment / second ** (power / 2)


def language(flow):
    """The values of language.features, by the name of the column; and its times, with what they are close to."""
    packets = [(d, s) for d, s in zip(flow["splt_direction"], flow["splt_ps"]) if d >= 0]
    sizes = [size for _, size in packets]
    up = [size for direction, size in packets if direction == 0]
    down = [size for direction, size in packets if direction == 1]
    # Runs of packets with one direction, and of large packets that begin with each of the largest.
    talks = [(d, [s for _, s in talk]) for d, talk in itertools.groupby(packets, lambda packet: packet[0])]
    growths = [len(b) - len(a) for (_, a), (_, b) in zip(talks, talks[1:])]
    down_talks = [sum(talk) for direction, talk in talks if direction == 1]
    bursts = []
    for size in [size for size in down if size > 100]:
        if size > 1000 or not bursts:
            bursts.append([])
        bursts[-1].append(size)
    ports = [flow["dst_port"]] * bool(up) + [flow["src_port"]] * bool(down)
    exact = {
        "big": sum(size > 1000 for size in sizes),
        "up_mean": sum(up) / len(up) if up else None,
        "up_stddev": flow["src2dst_stddev_ps"] if up else None,
        "down_stddev": flow["dst2src_stddev_ps"] if down else None,
        "all_min": min(sizes),
        "all_max": max(sizes),
        "syns": flow["bidirectional_syn_packets"],
        "total": sum(sizes),
        "down_up": sum(down) / sum(up) if sum(up) else 0.0,
        "early": sum(sizes[:3]),
        "web": any(port in (80, 443) or 8000 <= port <= 8080 for port in ports),
        "small": all(size < 100 for size in sizes),
        "third": sizes[2] if len(sizes) > 2 else None,
        "firsts": sum(sizes[:3]),
        "turns": sum(a[0] != b[0] for a, b in zip(packets, packets[1:])),
        "rounded": sum(size // 64 * 64 for size in sizes),
        "float_skew": shape(sizes, 3),
        "float_kurtosis": shape(sizes, 4) - 3 if shape(sizes, 4) else None,
        "talks": len(talks),
        "longest_talk": max(len(talk) for _, talk in talks),
        "talk_bytes": sum(down_talks) / len(down_talks) if down_talks else None,
        "talk_growth": max(growths, default=None),
        "large_bursts": sum(max(burst) > 1000 for burst in bursts[:-1]),
        "half_ms": flow["bidirectional_duration_ms"] // 2,
    }
    is_many, is_many_up = flow["bidirectional_packets"] > 1, flow["src2dst_packets"] > 1
    near = {
        "gap_mean": flow["bidirectional_mean_piat_ms"] if is_many else None,
        "gap_max": flow["bidirectional_max_piat_ms"] if is_many else None,
        "up_iat": flow["src2dst_mean_piat_ms"] if is_many_up else None,
        "dur": flow["bidirectional_duration_ms"],
    }
    return [{f"udps.language.{name}": value for name, value in values.items()} for values in (exact, near)]


def is_near(expected, found):
    if expected is None or found is None:
        return expected is found
    return abs(expected - found) <= 1.001


def is_equal(name, expected, found):
    if ".float_" in name and isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-9)
    return expected == found and isinstance(expected, bool) == isinstance(found, bool)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flowloom", default=ROOT / "target/debug/flowloom", type=Path)
    parser.add_argument("captures", nargs="*", type=Path)
    args = parser.parse_args()
    captures = args.captures or sorted((ROOT / "tests/captures").glob("*.pcap*"))
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            text = Path(__file__).with_name(f"{name}.features")
            command = [args.flowloom, "plugin", "compile", text, "-o", f"{folder}/{name}.wasm"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        output = Path(folder) / "flows.jsonl"
        plugins = [f"--plugin={folder}/{name}.wasm" for name in NAMES]
        command = [args.flowloom, "-qq", "meter", *captures, *plugins, "-o", output, "--plugin-calls=auto"]
        command += ["--accounting-mode=1", "--statistical-analysis", f"--splt-analysis={PACKETS}"]
        # Some captures of the tests end early, which gives another exit code than 0.
        code = subprocess.run(command, check=False).returncode
        flows = [json.loads(line) for line in output.read_text().splitlines()]
    values = differences = 0
    for flow in flows:
        exact, near = language(flow)
        for name, value in {**expected(flow), **exact, **near}.items():
            values += 1
            _, plugin, output = name.split(".")
            found = flow["udps"][plugin][output]
            is_right = is_near(value, found) if name in near else is_equal(name, value, found)
            if not is_right:
                differences += 1
                if differences <= 20:
                    print(f"flow {flow['id']}, {name}: expected {value}, found {found}")
    print(f"{len(captures)} captures, {len(flows)} flows, {values} values, {differences} differences; exit code {code}")
    sys.exit(differences > 0 or not flows)


if __name__ == "__main__":
    main()
