#!/usr/bin/env python3
"""Compares the examples of docs/features.md with polars over the same packets.

    tests/truth/polars_examples.py [--flowloom FILE] [CAPTURE...]

The files tests/features/examples/NAME.features are compiled and run over the captures, with a capture of random flows. The
decoder and the meter in Python read the same packets into a data frame. `EXAMPLES` has an expression of polars
for each column, written from the sentence in docs/features.md. Integers, booleans, bytes and lists must be equal. Floats may
differ by 1e-9 of their size. CAPTURE is a file or a folder. The default is tests/captures and FLOWLOOM_CAPTURES.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import packets
import polars as pl
import random_flows

ROOT = packets.ROOT
FOLDER = ROOT / "tests/features/examples"
DONE_OR_DAMAGED = (0, 3)
GRANTS = {"payload": "payload:256"}
MS, SECOND = 10**6, 10**9
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
# A clock of 64 bits stops here.
LAST_NS = 2**64 - 1

SCHEMA = {
    "flow": pl.Int64,
    "number": pl.Int64,
    "age": pl.Int64,
    "direction": pl.Int8,
    "ip_size": pl.Int64,
    "payload_size": pl.Int64,
    "tcp_flags": pl.Int64,
    "tcp_window": pl.Int64,
    "ttl": pl.Int64,
    "dst_port": pl.Int64,
    "payload": pl.String,
    "is_cut": pl.Boolean,
}


def frame_of(flows):
    """Return all packets of flows. Times are relative to the first packet of the flow; payload is in hexadecimal."""
    rows = []
    for flow in flows:
        first = min(flow.packets[0].time_ns, LAST_NS)
        for number, seen in enumerate(flow.packets, 1):
            packet = seen.packet
            rows.append(
                (
                    flow.id,
                    number,
                    min(seen.time_ns, LAST_NS) - first,
                    seen.direction,
                    packet.ip_size,
                    packet.payload_size,
                    packet.flags,
                    seen.window,
                    seen.ttl,
                    packet.dst_port,
                    seen.payload.hex(),
                    len(seen.payload) < packet.payload_size,
                )
            )
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return frame.with_columns(**{flag: pl.col("tcp_flags") // 2**bit % 2 == 1 for bit, flag in enumerate(FLAGS)})


up, down = pl.col("direction") == 0, pl.col("direction") == 1
age, size, payload = pl.col("age"), pl.col("ip_size"), pl.col("payload")
syn, ack, window = pl.col("syn"), pl.col("ack"), pl.col("tcp_window")
gap = age.diff()
up_gap = age.filter(up).diff().drop_nulls()


def stddev(values):
    """The sample standard deviation, which is 0 for one value."""
    return pl.when(values.count() == 1).then(0.0).otherwise(values.std())


def divided(part, whole):
    """A quotient, which is null instead of infinite or no number."""
    return pl.when(whole != 0).then(part / whole)


def entropy(counts):
    """The entropy of counts in bits, for expressions that give several counts in each group."""
    shares = counts.filter(counts > 0) / counts.sum()
    return pl.when(counts.sum() > 0).then(-(shares * shares.log(2)).sum())


def joined(length):
    """The first payload bytes of the source, up to a packet that was not captured completely."""
    is_after_gap = pl.col("is_cut").filter(up).cum_sum() - pl.col("is_cut").filter(up) > 0
    return payload.filter(up).filter(~is_after_gap).str.join("").str.slice(0, 2 * length)


EDGES = [64, 128, 256, 512, 1024, 1500]
CLASSES = list(zip([None, *EDGES], [*EDGES, None]))
# The counts of sizes in each class, as one list.
HISTOGRAM = pl.concat_list(
    [((size >= (low or 0)) & (size < (high or 2**40))).sum() for low, high in CLASSES]
)
# Numbers of sequences: of packets of the source with payload after 500 ms, of seconds, and of packets of one direction.
is_burst = up & (pl.col("payload_size") > 0)
is_talk = pl.col("payload_size") > 0
second = age // SECOND
burst_number = (age.filter(is_burst).diff().fill_null(0) >= 500 * MS).cum_sum()

EXAMPLES = {
    "sizes": {
        "big": (size > 1000).sum(),
        "up_mean": size.filter(up).mean(),
        "up_stddev": stddev(size.filter(up)),
        "first10_up": size.head(10).filter(up.head(10)).sum(),
        "early": size.filter(age < SECOND).sum(),
        "rate_up": divided(size.filter(up).sum(), age.last() / SECOND),
        "down_up": divided(size.filter(down).sum(), size.filter(up).sum()).fill_null(0),
        "sizes": size.head(20).implode(),
        "size_hist": HISTOGRAM,
        "size_entropy": HISTOGRAM.list.eval(entropy(pl.element())).list.first(),
        "skewed": size.skew().fill_nan(None),
    },
    "times": {
        "iat_p50": gap.drop_nulls().head(64).median() / MS,
        "resp": gap.filter((pl.col("direction") != pl.col("direction").shift()) & down).mean() / MS,
        "regular": 1 - divided(stddev(up_gap), up_gap.mean()),
        "autocorr": pl.corr(gap.drop_nulls().slice(1), gap.drop_nulls().shift().slice(1)).fill_nan(None),
        "handshake": (age.filter(ack & ~syn & up).first() - age.filter(syn & ~ack & up).last()) / MS,
    },
    "headers": {
        "syn_share": (syn & ~ack).mean(),
        "synacks": (syn & ack).sum(),
        "init_window": window.filter(up).first(),
        "closed": ((window == 0) & down & ~syn & ~pl.col("fin") & ~pl.col("rst")).sum(),
        "ttls": pl.min_horizontal(pl.col("ttl").n_unique(), 16),
        "web": (pl.col("dst_port").is_in([80, 443]) | pl.col("dst_port").is_between(8000, 8080)).any(),
    },
    "payload": {
        "pay_entropy": joined(256)
        .str.extract_all("..")
        .list.eval(entropy(pl.element().unique_counts()))
        .list.first(),
        "first_bytes": joined(16),
        "is_tls": (payload.str.starts_with("1603") & up).any(),
        "gets": (payload.str.starts_with(b"GET ".hex()) & up).sum(),
        "dns": ((pl.col("dst_port") == 53) & (payload.str.slice(8, 4).str.to_integer(base=16, strict=False) > 0)
                & (payload.str.len_bytes() >= 12)).sum(),
    },
    "runs": {
        "bursts": pl.when(is_burst.any()).then(burst_number.max() + 1).otherwise(0),
        "burst_bytes": divided(pl.col("payload_size").filter(is_burst).sum().cast(pl.Float64), burst_number.max() + 1),
        "peak_pps": second.unique_counts().max(),
        "turns": pl.col("direction").filter(is_talk).rle_id().max().fill_null(-1).cast(pl.Int64) + 1,
    },
}


def expected_of(captures):
    """Return the values of all examples by flow and column, as polars computes them."""
    frame = frame_of(packets.flows(captures)).sort("flow", "number")
    columns = {f"{name}.{column}": value for name, of in EXAMPLES.items() for column, value in of.items()}
    rows = frame.group_by("flow", maintain_order=True).agg(**columns).to_dicts()
    return {row.pop("flow"): row for row in rows}


def meter(args, captures, folder):
    """Return the flows of Flowloom with the values of all examples."""
    output = folder / "flows.jsonl"
    command = [args.flowloom, "-qq", "meter", *captures, "-o", output, "--n-dissections=0", "--group=one"]
    for name in EXAMPLES:
        component = folder / f"{name}.wasm"
        compile_features(args, FOLDER / f"{name}.features", component)
        command += [f"--plugin={component}"]
        command += [f"--grant={name}={GRANTS[name]}"] if name in GRANTS else []
    code = subprocess.run(command, check=False).returncode
    # Some captures of the tests end early, which gives another exit code than 0.
    if code not in DONE_OR_DAMAGED:
        sys.exit(f"polars_examples.py: the command ended with {code}: {' '.join(map(str, command))}")
    return [json.loads(line) for line in output.read_text().splitlines()]


def compile_features(args, source, target):
    command = [args.flowloom, "plugin", "compile", source, "-o", target]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def is_equal(expected, found):
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-9)
    return expected == found and isinstance(expected, bool) == isinstance(found, bool)


def compare(expected, flows):
    """Print differences. Return their number, and that of the values."""
    differences = values = 0
    told = set()
    if {flow["id"] for flow in flows} != set(expected):
        sys.exit("polars_examples.py: Flowloom and the decoder in Python have different flows; make truth shows them")
    for flow in flows:
        for column, value in expected[flow["id"]].items():
            values += 1
            name, output = column.split(".")
            found = flow["udps"][name][output]
            if found:
                told.add(column)
            if not is_equal(value, found):
                differences += 1
                if differences <= 20:
                    print(f"flow {flow['id']}, {column}: polars {value}, Flowloom {found}")
    for column in sorted(set(next(iter(expected.values()))) - told):
        differences += 1
        print(f"no flow has a value of {column}")
    return differences, values


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flowloom", default=ROOT / "target/debug/flowloom", type=Path)
    parser.add_argument("captures", nargs="*", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        others = Path(folder) / "random.pcap"
        random_flows.write(others)
        captures = packets.sorted_by_time([*packets.files(args.captures or packets.default()), others])
        expected = expected_of(captures)
        flows = meter(args, captures, Path(folder))
    differences, values = compare(expected, flows)
    columns = sum(map(len, EXAMPLES.values()))
    print(f"{columns} examples, {len(captures)} captures, {len(flows)} flows, {values} values, {differences} differences")
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
