#!/usr/bin/env python3
"""Compare the values of Flowloom's plugins with those of NFStream's plugins.

    python3 plugins.py --flowloom target/debug/flowloom --captures tests/captures

NFStream meters every capture below the folders with its own plugins SPLT, DHCP, MDNS and JA4, and Flowloom with `splt`,
`dhcp`, `mdns` and `ja4`. Flows are joined if all common columns are equal. `right/` computes the expected values of
every flow, and the reasons why NFStream's plugin may return others. A difference is explained if there is a reason, and
Flowloom's plugin returns the expected values. Flowloom must return the expected values for every flow. The JA4 of the
nDPI in NFStream is counted as another reference.

Flows that only one side has are differences of metering, which `parity.py` explains. A rule of `rules.py` must apply to
their keys. All other differences are printed, and then the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare import columns_that_differ, key_of, nearest
from explain import explain
from meter import Flow, Settings
from parity import GOOD_STATUSES, Failed, captures_below, flows_in, last_line, run
from right import dhcp, ja4, mdns

NFSTREAM = Path(__file__).with_name("nfstream_plugins.py")

# The same mode as in SPLT, so that the columns of flows show the effects of rules on sizes too.
MODE = 3
# dhcp has its own run, because a plugin that cuts flows cuts them for all plugins.
RUNS = (("splt", "mdns", "ja4"), ("dhcp",))
OPTIONS = {"splt": f",sequence_length=12,accounting_mode={MODE}"}
GRANTS = {"dhcp": "addresses,payload:1500", "mdns": "payload:9000", "ja4": "payload:16384"}
REASONS = {"splt": {}, "dhcp": dhcp.REASONS, "mdns": mdns.REASONS, "ja4": ja4.REASONS}


@dataclass
class Outcome:
    """The result for a plugin."""

    flows: int = 0
    telling: int = 0
    equal: int = 0
    explained: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.flows += other.flows
        self.telling += other.telling
        self.equal += other.equal
        self.explained += other.explained
        self.reasons.update(other.reasons)
        self.unexplained += other.unexplained


@dataclass
class Outcomes:
    """The result for a capture, or for all captures."""

    plugins: dict[str, Outcome] = field(
        default_factory=lambda: {name: Outcome() for name in REASONS}
    )
    only_nfstream: int = 0
    only_flowloom: int = 0
    ndpi: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, other: Outcomes) -> None:
        for name, outcome in other.plugins.items():
            self.plugins[name].add(outcome)
        self.only_nfstream += other.only_nfstream
        self.only_flowloom += other.only_flowloom
        self.ndpi.update(other.ndpi)
        self.failed += other.failed


def nfstream_flows(
    captures: list[Path], plugins: tuple[str, ...], options: argparse.Namespace
) -> list[list[Flow] | None]:
    """Return NFStream's flows of every capture, or None for a capture that it rejects."""
    with tempfile.TemporaryDirectory() as folder:
        command = [options.python, str(NFSTREAM), "--plugins", ",".join(plugins)]
        command += ["-o", folder, *map(str, captures)]
        status, _, errors = run(command, options.timeout * len(captures))
        if status != 0 or "Traceback" in errors:
            raise Failed(f"NFStream: {last_line(errors)}")
        paths = [Path(folder, f"{number}.jsonl") for number in range(len(captures))]
        return [flows_in(path.read_text()) if path.exists() else None for path in paths]


def is_telling(flows: list[Flow]) -> bool:
    """Return whether a plugin other than SPLT has values, or NFStream's plugin fails."""
    judged = (each for flow in flows for each in flow["plugins"].values() if "right" in each)
    return any(any(each["right"].values()) or each["failed"] for each in judged)


def flowloom_flows(
    capture: Path, plugins: tuple[str, ...], options: argparse.Namespace
) -> list[Flow]:
    command = [*shlex.split(options.flowloom), "meter", str(capture), "--format", "jsonl"]
    command += ["--n-dissections", "0", "--accounting-mode", str(MODE)]
    command += ["--idle-timeout", "15", "--active-timeout", "1800"]
    for name in plugins:
        file = options.plugins / f"{name}.wasm"
        command += ["--plugin", f"{name}={file}{OPTIONS.get(name, '')}"]
        if name in GRANTS:
            command += ["--grant", f"{name}={GRANTS[name]}"]
    status, out, errors = run(command, options.timeout)
    if status not in GOOD_STATUSES:
        raise Failed(f"Flowloom: exit status {status}: {last_line(errors)}")
    return flows_in(out)


def judge(
    capture: Path, plugins: tuple[str, ...], theirs: list[Flow] | None, options: argparse.Namespace
) -> Outcomes:
    """Compare the values of all common flows."""
    outcomes = Outcomes()
    if theirs is None:
        outcomes.failed.append(f"{capture}: NFStream rejects it")
        return outcomes
    try:
        ours = flowloom_flows(capture, plugins, options)
    except Failed as failure:
        # Flowloom must accept every capture that NFStream accepts.
        outcomes.plugins[plugins[0]].unexplained.append(f"{capture}: {failure}")
        return outcomes
    left, pairs = list(ours), []
    alone = []
    for flow in theirs:
        twin = nearest(flow, left)
        if twin is None or columns_that_differ(flow, twin):
            alone.append(flow)
            continue
        left.remove(twin)
        pairs.append((flow, twin))
    for name in plugins:
        for flow, twin in pairs:
            judge_flow(outcomes, name, capture, flow, twin)
    outcomes.only_nfstream, outcomes.only_flowloom = len(alone), len(left)
    if alone or left:
        judge_alone(outcomes.plugins[plugins[0]], capture, alone + left)
    return outcomes


def judge_flow(outcomes: Outcomes, name: str, capture: Path, flow: Flow, twin: Flow) -> None:
    outcome = outcomes.plugins[name]
    judged, ours = flow["plugins"][name], twin["udps"][name]
    theirs = {key: value for key, value in judged["theirs"].items() if key in ours}
    right = judged.get("right", theirs)
    reasons = [reason for reason in judged.get("reasons", ()) if reason in REASONS[name]]
    outcome.flows += 1
    outcome.telling += any(right.values())
    is_right = all(ours.get(key) == value for key, value in right.items())
    is_theirs = all(ours.get(key) == value for key, value in theirs.items())
    if theirs and is_right and is_theirs and not judged["failed"]:
        outcome.equal += 1
    elif theirs and is_right and reasons:
        outcome.explained += 1
        outcome.reasons.update(reasons)
    else:
        text = f"{capture}: {name} of {json.dumps(key_of(flow))}: Flowloom gives {json.dumps(ours)}"
        outcome.unexplained.append(f"{text}, NFStream {json.dumps(judged)}")
    if name == "ja4":
        count_ndpi(outcomes.ndpi, flow["ndpi"] or "", ours["ja4"] or "")


def count_ndpi(counts: Counter[str], ndpi: str, ours: str) -> None:
    if ours and ndpi == ours:
        counts["equal"] += 1
    elif ours and not ndpi:
        counts["only Flowloom has one"] += 1
    elif ndpi.startswith("t") and not ours:
        counts["only nDPI has one"] += 1
    elif ours:
        counts["different"] += 1


def judge_alone(outcome: Outcome, capture: Path, flows: list[Flow]) -> None:
    """Check that a rule applies to each flow that only one side has."""
    explanation = explain(capture, Settings(accounting_mode=MODE, statistics=False, splt=0))
    both = explanation.nfstream + explanation.flowloom
    keys = {key_of(each.flow) for each in both if each.rules}
    for flow in flows:
        if key_of(flow) not in keys:
            outcome.unexplained.append(f"{capture}: only one side has {json.dumps(flow)}")


# Reporting


def report(total: Outcomes, captures: int) -> int:
    titles = ("flows", "telling", "equal", "explained", "unexplained")
    print(f"{f'{captures} captures':16}" + "".join(f"{title:>12}" for title in titles))
    for name, outcome in total.plugins.items():
        values = (outcome.flows, outcome.telling, outcome.equal, outcome.explained)
        numbers = (*values, len(outcome.unexplained))
        print(f"{name:16}" + "".join(f"{number:12}" for number in numbers))
    print(
        f"\nflows of only one side, by the rules of metering: {total.only_nfstream} NFStream,"
        f" {total.only_flowloom} Flowloom"
    )
    counts = ", ".join(f"{count} {what}" for what, count in total.ndpi.most_common())
    print(f"JA4 of the nDPI in NFStream: {counts or 'none'}")
    for name, outcome in total.plugins.items():
        for reason, count in outcome.reasons.most_common():
            print(f"{count:8}  {name}, {reason}: {REASONS[name][reason]}")
    for failure in total.failed:
        print(failure)
    unexplained = [text for outcome in total.plugins.values() for text in outcome.unexplained]
    for text in unexplained:
        print(f"\nunexplained: {text}")
    mute = [name for name, outcome in total.plugins.items() if not outcome.telling]
    if mute:
        print(f"\nno flow has values of {', '.join(mute)}, so nothing was compared")
    return 1 if unexplained or mute else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare plugins with NFStream's.")
    add = parser.add_argument
    add("--flowloom", required=True, metavar="COMMAND")
    add("--captures", type=Path, required=True, nargs="+", metavar="FOLDER")
    add("--telling", action="store_true", help="only captures with values of plugins other than SPLT")
    add("--plugins", type=Path, default=Path("target/plugins"), metavar="FOLDER")
    add("--jobs", type=int, default=2, metavar="N", help="runs at a time")
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for a capture")
    add("--python", default=sys.executable, metavar="PATH", help="a Python that has NFStream")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    captures = [path for folder in options.captures for path in captures_below(folder)]
    if not captures:
        print(f"no captures in {', '.join(map(str, options.captures))}", file=sys.stderr)
        return 2
    total = Outcomes()
    used: set[Path] = set()
    with ThreadPoolExecutor(options.jobs) as pool:
        for plugins in RUNS:
            theirs = nfstream_flows(captures, plugins, options)
            both = list(zip(captures, theirs, strict=True))
            if options.telling:
                both = [(capture, flows) for capture, flows in both if is_telling(flows or [])]
            used |= {capture for capture, _ in both}

            def one(each: Any, plugins: tuple[str, ...] = plugins) -> Outcomes:
                return judge(each[0], plugins, each[1], options)

            for outcomes in pool.map(one, both):
                total.add(outcomes)
    return report(total, len(used))


if __name__ == "__main__":
    sys.exit(main())
