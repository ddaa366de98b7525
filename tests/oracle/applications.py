"""Compare the applications that two programs find in the same flows.

`parity_l7.py` and `parity_applications.py` use this. A flow is equal if it has the same value in every compared column.
Otherwise each differing column must have a rule.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Known:
    """The values of a flow of one program."""

    first_seen_ms: int
    last_seen_ms: int
    packets: int
    values: dict[str, object]


# Flows by the values that must agree before applications are compared.
Flows = dict[Hashable, list[Known]]


@dataclass(frozen=True)
class Rule:
    """A reason why a column of a flow may differ: its name, and a sentence about the two programs."""

    title: str
    sentence: str
    holds: Callable[[str, Known, Known], bool]


@dataclass(frozen=True)
class Comparison:
    """What is compared with Flowloom."""

    program: str
    columns: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass
class Outcome:
    """The result of a capture."""

    capture: Path
    theirs: int = 0
    flowloom: int = 0
    joined: int = 0
    equal: int = 0
    explained: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    failed: str = ""


def judge(capture: Path, theirs: Flows, ours: Flows, comparison: Comparison) -> Outcome:
    """Join the flows of both programs, and explain the differences."""
    outcome = Outcome(capture)
    outcome.theirs = sum(map(len, theirs.values()))
    outcome.flowloom = sum(map(len, ours.values()))
    for key, flows in theirs.items():
        for their, our in pairs(flows, ours.get(key, [])):
            outcome.joined += 1
            judge_pair(outcome, key, their, our, comparison)
    return outcome


def judge_pair(outcome: Outcome, key: Hashable, theirs: Known, ours: Known, comparison: Comparison) -> None:
    differing = [name for name in comparison.columns if theirs.values[name] != ours.values[name]]
    reasons = [
        next((rule.title for rule in comparison.rules if rule.holds(name, theirs, ours)), None) for name in differing
    ]
    outcome.columns.update(differing)
    if not differing:
        outcome.equal += 1
    elif None not in reasons:
        outcome.explained += 1
        outcome.rules.update(set(reasons))
    else:
        outcome.unexplained.append(describe(key, differing, theirs, ours, comparison))


def pairs(theirs: list[Known], ours: list[Known]) -> list[tuple[Known, Known]]:
    """Return pairs of equal flows. If a key has several flows, they must begin in the same ms."""
    if len(theirs) == len(ours) == 1:
        return [(theirs[0], ours[0])]
    left = list(ours)
    found = []
    for their in theirs:
        same = [flow for flow in left if abs(flow.first_seen_ms - their.first_seen_ms) <= 1]
        if same:
            # ndpiReader does not write VLANs. Of simultaneous flows, the most similar length decides.
            twin = min(same, key=lambda flow: abs(flow.packets - their.packets))
            left.remove(twin)
            found.append((their, twin))
    return found


def describe(key: Hashable, differing: Iterable[str], theirs: Known, ours: Known, comparison: Comparison) -> str:
    text = f"{ours.values['application_name']} {key}: {theirs.packets} packets, Flowloom has {ours.packets}"
    for name in differing:
        values = json.dumps([theirs.values[name], ours.values[name]])
        text += f"\n  {name}: {comparison.program}, Flowloom: {values}"
    return text


# Reporting


def report(outcomes: Sequence[Outcome], comparison: Comparison, options: argparse.Namespace) -> int:
    """Print the table of captures, the rules that apply, and the unexplained flows. Return the exit status."""
    root = options.captures
    titles = (comparison.program, "Flowloom", "joined", "equal", "explained", "unexplained")
    print(f"{'capture':44}" + "".join(f"{title:>12}" for title in titles))
    total = Outcome(root)
    for outcome in outcomes:
        name = str(outcome.capture.relative_to(root))
        if outcome.failed:
            print(f"{name:44}  failed: {outcome.failed}")
        elif not outcome.equal == outcome.theirs == outcome.flowloom:
            print(f"{name:44}" + numbers(outcome))
        for name in ("theirs", "flowloom", "joined", "equal", "explained"):
            setattr(total, name, getattr(total, name) + getattr(outcome, name))
        total.columns.update(outcome.columns)
        total.rules.update(outcome.rules)
        total.unexplained += outcome.unexplained
    print(f"{f'{len(outcomes)} captures':44}" + numbers(total))
    share = total.equal / total.joined if total.joined else 0.0
    print(f"\n{100 * share:.2f} % of the common flows are equal")
    sentences = {rule.title: f": {rule.sentence}" for rule in comparison.rules}
    for title, counts in (
        ("columns in which flows differ", total.columns),
        ("rules that explain differences (flows)", total.rules),
    ):
        if counts:
            print(f"\n{title}")
            for name, count in counts.most_common():
                print(f"{count:8}  {name}{sentences.get(name, '')}")
    for outcome in outcomes:
        if outcome.unexplained:
            print(f"\nunexplained: {outcome.capture}")
            for text in outcome.unexplained:
                print(text)
    return 1 if 100 * share < options.min_share or total.unexplained else 0


def numbers(outcome: Outcome) -> str:
    values = (
        outcome.theirs,
        outcome.flowloom,
        outcome.joined,
        outcome.equal,
        outcome.explained,
        len(outcome.unexplained),
    )
    return "".join(f"{value:12}" for value in values)


def parser(description: str, jobs: int, min_share: float) -> argparse.ArgumentParser:
    """Return a parser of the options that both comparisons have."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("--flowloom", required=True, metavar="COMMAND")
    add("--captures", type=Path, required=True, metavar="FOLDER")
    add("--jobs", type=int, default=jobs, metavar="N", help="programs at a time [default: %(default)s]")
    add(
        "--min-share",
        type=float,
        default=min_share,
        metavar="PERCENT",
        help="the share of common flows that must be equal [default: %(default)s]",
    )
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for a run")
    return parser
