#!/usr/bin/env python3
"""Dissect captures with NFStream and with Flowloom, both with nDPI 5.0, and explain every difference.

    python3 parity_applications.py --flowloom target/debug/flowloom --captures tests/captures

It needs a Python that has NFStream 6.6.0, whose engine contains nDPI 5.0. Flowloom loads the same file. Both programs
meter every capture below the folder with an idle timeout of 120 s, and dissect 20 packets of each flow. Two flows are
joined if they agree in all columns except `id` and those of the application. Then the nine columns of the application
are compared. libpcap, and therefore NFStream, truncates packets at the snapshot length in the header of a pcap file;
Flowloom gets this length as an option. A difference is explained if a rule below applies to the column. All others are
printed. Flows that only one side has are differences of metering, which `parity.py` explains. The exit status is 1 if
less than 99.5 % of the common flows are equal, or if a difference is not explained.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from applications import Comparison, Flows, Known, Outcome, Rule, judge, parser, report
from capture import LONGEST_PACKET
from compare import NOT_COMPARED
from meter import Flow, Settings
from parity import GOOD_STATUSES, NFSTREAM, Failed, arguments, captures_below, flows_in, last_line, run

DISSECTIONS = ["--n-dissections", "20"]
SETTINGS = Settings(idle_timeout=120, statistics=False, splt=0)
COLUMNS = (
    "application_name",
    "application_category_name",
    "application_is_guessed",
    "application_confidence",
    "requested_server_name",
    "client_fingerprint",
    "server_fingerprint",
    "user_agent",
    "content_type",
)

# Columns with texts from packets.
TEXTS = ("requested_server_name", "client_fingerprint", "server_fingerprint", "user_agent", "content_type")
REPLACEMENT = "\ufffd"

# With microseconds, and with nanoseconds.
PCAP_MAGIC = (0xA1B2C3D4, 0xA1B23C4D)

# NFStream takes a second to start, mostly without using the processor, and then some ms for a capture.
BATCH = 16


# Rules


def has_application(flow: Known, *names: str) -> bool:
    """Return whether an application with this name, or below it, was found. Names are like `TLS.Facebook`."""
    return not set(names).isdisjoint(str(flow.values["application_name"]).split("."))


def is_http_of_proxy(column: str, theirs: Known, ours: Known) -> bool:
    return (
        column in ("user_agent", "content_type")
        and has_application(ours, "HTTP_Proxy", "HTTP_Connect")
        and theirs.values[column] == ""
    )


def is_ftps(column: str, theirs: Known, ours: Known) -> bool:
    return (
        column in ("client_fingerprint", "server_fingerprint")
        and has_application(ours, "FTPS")
        and theirs.values[column] == ""
    )


def is_not_utf8(column: str, theirs: Known, ours: Known) -> bool:
    text = str(ours.values[column])
    return column in TEXTS and REPLACEMENT in text and text.replace(REPLACEMENT, "") == theirs.values[column]


COMPARISON = Comparison(
    program="NFStream",
    columns=COLUMNS,
    rules=(
        Rule(
            "http-proxy",
            "NFStream writes user agent and content type of plain HTTP only; Flowloom also those of requests to a"
            " proxy, for which nDPI has other protocols",
            is_http_of_proxy,
        ),
        Rule(
            "ftps",
            "NFStream writes no fingerprints of TLS below FTP",
            is_ftps,
        ),
        Rule(
            "not-utf8",
            "NFStream omits bytes that are not UTF-8; Flowloom replaces them by U+FFFD",
            is_not_utf8,
        ),
    ),
)


# Flows of both programs


def nfstream_flows(captures: Sequence[Path], options: argparse.Namespace) -> list[list[Flow] | Failed]:
    """Run NFStream on captures. If it fails, run it on each of them alone."""
    with tempfile.TemporaryDirectory() as folder:
        # The names of captures are unique only with their folders.
        links = [Path(folder, f"{number}.pcap") for number in range(len(captures))]
        for link, capture in zip(links, captures, strict=True):
            link.symlink_to(capture.resolve())
        command = [sys.executable, str(NFSTREAM), *map(str, links), "-o", folder]
        command += [*arguments(SETTINGS), *DISSECTIONS]
        try:
            status, _, errors = run(command, options.timeout)
            # If a meter process of NFStream dies, its flows are lost, and the status is still 0.
            if status != 0 or "Traceback" in errors:
                raise Failed(f"NFStream: {last_line(errors) or f'exit status {status}'}")
        except Failed as failure:
            if len(captures) == 1:
                return [failure]
            return [result for capture in captures for result in nfstream_flows([capture], options)]
        return [flows_in(Path(f"{link}.jsonl").read_text(encoding="utf-8")) for link in links]


def flowloom_flows(capture: Path, options: argparse.Namespace) -> list[Flow]:
    command = [*shlex.split(options.flowloom), "meter", str(capture), "--format", "jsonl", "-o", "-"]
    # NFStream reads a list of files as one capture.
    command += ["--group", "one", "--n-meters", "1", *arguments(SETTINGS), *DISSECTIONS]
    if length := snapshot_length(capture):
        command += ["--snapshot-length", str(length)]
    status, out, errors = run(command, options.timeout)
    if status not in GOOD_STATUSES:
        raise Failed(f"Flowloom: exit status {status}: {last_line(errors)}")
    return flows_in(out)


def snapshot_length(capture: Path) -> int | None:
    """Return the length at which libpcap truncates the packets of a file, if it is a pcap file that states it.

    Flowloom uses all bytes of a packet, even if the header of the file states a smaller maximum.
    """
    with capture.open("rb") as file:
        header = file.read(24)
    if len(header) < 24:
        return None
    for order in "<>":
        magic, *_, length, _ = struct.unpack(f"{order}IHHIIII", header)
        if magic in PCAP_MAGIC and 0 < length < LONGEST_PACKET:
            return length
    return None


def keyed(flows: Iterable[Flow], columns: frozenset[str]) -> Flows:
    """Return flows by those of these columns that do not depend on dissection."""
    metered = sorted(columns - NOT_COMPARED - set(COLUMNS))
    result: Flows = defaultdict(list)
    for flow in flows:
        known = Known(
            first_seen_ms=flow["bidirectional_first_seen_ms"],
            last_seen_ms=flow["bidirectional_last_seen_ms"],
            packets=flow["bidirectional_packets"],
            # A truth value equals NFStream's 0 or 1.
            values={name: flow[name] for name in COLUMNS},
        )
        result[tuple(flow[name] for name in metered)].append(known)
    return result


def judged(captures: Sequence[Path], options: argparse.Namespace) -> list[Outcome]:
    outcomes = []
    for capture, theirs in zip(captures, nfstream_flows(captures, options), strict=True):
        try:
            if isinstance(theirs, Failed):
                raise theirs
            ours = flowloom_flows(capture, options)
        except Failed as failure:
            outcomes.append(Outcome(capture, failed=str(failure)))
            continue
        columns = frozenset(theirs[0] if theirs else ()) & frozenset(ours[0] if ours else ())
        outcomes.append(judge(capture, keyed(theirs, columns), keyed(ours, columns), COMPARISON))
    return outcomes


def main() -> int:
    description = "Explain all differences between the dissection of NFStream and Flowloom."
    options_parser = parser(description, jobs=8, min_share=99.5)
    options = options_parser.parse_args()
    captures = captures_below(options.captures)
    if not captures:
        print(f"no captures in {options.captures}", file=sys.stderr)
        return 2
    engine = importlib.util.find_spec("_lib_engine")
    if not engine or not engine.origin:
        print("this Python has no NFStream", file=sys.stderr)
        return 2
    os.environ["FLOWLOOM_NDPI"] = engine.origin
    batches = [captures[at : at + BATCH] for at in range(0, len(captures), BATCH)]
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = [each for some in pool.map(lambda batch: judged(batch, options), batches) for each in some]
    return report(outcomes, COMPARISON, options)


if __name__ == "__main__":
    sys.exit(main())
