#!/usr/bin/env python3
"""Meter captures with NFStream and Flowloom, and explain every difference.

    python3 parity.py --flowloom target/debug/flowloom --captures tests/captures
    python3 parity.py --captures tests/captures

Both programs meter every capture below the folder in each accounting mode, with
statistics and SPLT of 8 packets. All common columns except `id` are compared, as a
multiset of flows. Floats may have a relative error of 10^-9. A flow that only one side
has is explained if a rule of `rules.py` applies to its packets, and both sides have the
values that the rule predicts in every column. All other differences are printed, and
then the exit status is 1.

Without `--flowloom` only the model of NFStream is tested, on which the rules are based:
it must give NFStream's flows.

NFStream runs in its own process. If it hangs, crashes or rejects a capture, the program
reports this and compares nothing. If this happens for all captures, the exit status
is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from compare import columns_that_differ, compare, nearest
from explain import Expected, Explanation, explain
from meter import Flow, Settings
from rules import Rule

NFSTREAM = Path(__file__).with_name("nfstream_flows.py")
SUFFIXES = (".pcap", ".pcapng", ".cap")

# Exit statuses with which Flowloom has written flows: done, and incomplete because of a
# damaged capture.
GOOD_STATUSES = (0, 3)

# Columns that NFStream may read from the memory after a packet.
FROM_MEMORY = ("src_port", "dst_port")
FLAGS_FROM_MEMORY = tuple(
    f"{direction}_{flag}_packets"
    for direction in ("bidirectional", "src2dst", "dst2src")
    for flag in ("syn", "cwr", "ece", "urg", "ack", "psh", "rst", "fin")
)


@dataclass(frozen=True)
class Task:
    """One capture in one accounting mode."""

    capture: Path
    settings: Settings


@dataclass
class Outcome:
    """The result of a task."""

    task: Task
    nfstream: int = 0
    flowloom: int = 0
    equal: int = 0
    explained: Counter[Rule] = field(default_factory=Counter)
    explained_flows: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    nfstream_failed: str = ""


class Failed(Exception):
    """A program wrote no flows. The text is the reason."""


def run(command: Sequence[str], timeout_s: float) -> tuple[int, str, str]:
    """Run a program, and kill it with its children at the timeout. Return status and output."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"no end within {timeout_s:g} s") from None
    return process.returncode, out, errors


def flows_in(lines: str) -> list[Flow]:
    return [json.loads(line) for line in lines.splitlines()]


def nfstream_flows(task: Task, options: argparse.Namespace) -> list[Flow]:
    command = [options.python, str(NFSTREAM), str(task.capture)]
    command += arguments(task.settings)
    status, out, errors = run(command, options.timeout)
    # If a meter process of NFStream dies, its flows are lost, and the status is still 0.
    if status != 0 or "Traceback" in errors:
        raise Failed(last_line(errors) or f"exit status {status}")
    return flows_in(out)


def flowloom_flows(task: Task, options: argparse.Namespace) -> list[Flow]:
    command = [*shlex.split(options.flowloom), "meter", str(task.capture)]
    command += ["--format", "jsonl", "-o", "-", "--n-dissections", "0"]
    # NFStream reads a list of files as one capture.
    command += ["--group", "one", "--n-meters", "1", *arguments(task.settings)]
    status, out, errors = run(command, options.timeout)
    if status not in GOOD_STATUSES:
        raise Failed(f"exit status {status}: {last_line(errors)}")
    return flows_in(out)


def arguments(settings: Settings) -> list[str]:
    """The options that both commands share."""
    options = ["--idle-timeout", str(settings.idle_timeout)]
    options += ["--active-timeout", str(settings.active_timeout)]
    if settings.accounting_mode:
        options += ["--accounting-mode", str(settings.accounting_mode)]
    if settings.statistics:
        options.append("--statistical-analysis")
    if settings.splt:
        options += ["--splt-analysis", str(settings.splt)]
    return options


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def judge(task: Task, options: argparse.Namespace) -> Outcome:
    """Run both programs on a capture, and explain the differences."""
    outcome = Outcome(task)
    try:
        theirs = nfstream_flows(task, options)
    except Failed as failure:
        outcome.nfstream_failed = str(failure)
        return outcome
    outcome.nfstream = len(theirs)
    if not options.flowloom:
        return judge_rules(outcome, theirs)
    try:
        ours = flowloom_flows(task, options)
    except (Failed, json.JSONDecodeError) as failure:
        outcome.unexplained.append(f"Flowloom failed: {failure}")
        return outcome
    return judge_flows(outcome, theirs, ours)


def judge_flows(outcome: Outcome, theirs: list[Flow], ours: list[Flow]) -> Outcome:
    """Explain the differences between NFStream's flows and Flowloom's."""
    outcome.flowloom = len(ours)
    outcome.unexplained += missing_columns(theirs, ours)

    compared = compare(theirs, ours)
    outcome.equal = compared.equal
    for flow in compared.left:
        twin = nearest(flow, compared.right)
        outcome.columns.update(
            columns_that_differ(flow, twin) if twin else ["(no such flow)"]
        )
    explanation = explain(outcome.task.capture, outcome.task.settings)
    for name, flows, expected, others in (
        ("NFStream", compared.left, explanation.nfstream, compared.right),
        ("Flowloom", compared.right, explanation.flowloom, compared.left),
    ):
        account(outcome, name, flows, expected, others)
    outcome.unexplained += not_as_ruled(ours, explanation)
    return outcome


def not_as_ruled(ours: list[Flow], explanation: Explanation) -> Iterator[str]:
    """Yield flows that Flowloom should have by a rule, but does not have."""
    by_rule = [each.flow for each in explanation.flowloom if each.rules]
    for flow in compare(ours, by_rule).right:
        yield f"by the rules Flowloom should have {json.dumps(flow)}"


def judge_rules(outcome: Outcome, theirs: list[Flow]) -> Outcome:
    """Check that the model of NFStream gives NFStream's flows."""
    explanation = explain(outcome.task.capture, outcome.task.settings)
    outcome.unexplained += without_rule(explanation)
    compared = compare(theirs, [expected.flow for expected in explanation.nfstream])
    outcome.equal = compared.equal
    account(outcome, "NFStream", compared.left, explanation.nfstream, compared.right)
    left = len(compared.right) - len(compared.left)
    if left > 0:
        outcome.unexplained.append(f"{left} flows that NFStream should give are missing")
    return outcome


def without_rule(explanation: Explanation) -> Iterator[str]:
    for packet in explanation.without_rule:
        yield f"different results without a rule: {packet}"


def missing_columns(theirs: list[Flow], ours: list[Flow]) -> Iterator[str]:
    missing = theirs[0].keys() - ours[0].keys() if theirs and ours else ()
    if missing:
        yield f"columns missing in Flowloom: {', '.join(sorted(missing))}"


def account(
    outcome: Outcome,
    name: str,
    flows: Iterable[Flow],
    expected: Sequence[Expected],
    others: Sequence[Flow],
) -> None:
    """Explain the flows that only the program `name` has, or record them as unexplained."""
    open_ones = [each for each in expected if each.rules]
    for flow in flows:
        match = next((each for each in open_ones if fits(flow, each, name)), None)
        if match:
            open_ones.remove(match)
            outcome.explained_flows += 1
            outcome.explained.update(match.rules)
        else:
            outcome.unexplained.append(describe(name, flow, expected, others))


def fits(flow: Flow, expected: Expected, name: str) -> bool:
    """Return whether a flow equals the prediction, except for unpredictable columns."""
    differing = set(columns_that_differ(flow, expected.flow))
    if name == "NFStream" and Rule.TRUNCATED_TRANSPORT in expected.rules:
        differing -= {*FROM_MEMORY, *FLAGS_FROM_MEMORY}
    return not differing


def describe(
    name: str, flow: Flow, expected: Sequence[Expected], others: Sequence[Flow]
) -> str:
    """Return an unexplained flow in full, and the most similar flows."""
    text = [f"only {name} has {json.dumps(flow)}"]
    other_name = "Flowloom" if name == "NFStream" else "NFStream"
    if twin := nearest(flow, others):
        text.append(f"  {other_name} has instead {differences(flow, twin)}")
    same_flow = [each.flow for each in expected]
    if (twin := nearest(flow, same_flow)) and columns_that_differ(flow, twin):
        text.append(f"  expected was {differences(flow, twin)}")
    return "\n".join(text)


def differences(flow: Flow, other: Flow) -> str:
    differing = columns_that_differ(flow, other)
    return json.dumps({name: other[name] for name in differing})


# Reporting


def report(outcomes: list[Outcome], root: Path) -> None:
    """Print the table of captures, the rules that apply, and the unexplained differences."""
    titles = ("nfstream", "flowloom", "equal", "explained", "unexplained")
    print(f"{'capture':44} mode" + "".join(f"{title:>12}" for title in titles))
    for outcome in outcomes:
        name = str(outcome.task.capture.relative_to(root))
        mode = outcome.task.settings.accounting_mode
        if outcome.nfstream_failed:
            print(f"{name:44} {mode:4}  NFStream failed: {outcome.nfstream_failed}")
        elif outcome.explained_flows or outcome.unexplained:
            rules = ", ".join(sorted(rule.title for rule in outcome.explained))
            print(f"{name:44} {mode:4}" + numbers(outcome) + f"  {rules}")
    total = Outcome(outcomes[0].task)
    for outcome in outcomes:
        total.nfstream += outcome.nfstream
        total.flowloom += outcome.flowloom
        total.equal += outcome.equal
        total.explained_flows += outcome.explained_flows
        total.explained.update(outcome.explained)
        total.columns.update(outcome.columns)
        total.unexplained += outcome.unexplained
    captures = len({outcome.task.capture for outcome in outcomes})
    print(f"{f'{captures} captures, {len(outcomes)} runs':44}     " + numbers(total))

    if total.columns:
        print("\ncolumns in which flows differ")
        for column, count in total.columns.most_common():
            print(f"{count:8}  {column}")
    if total.explained:
        print("\nrules that explain differences (flows, of both sides)")
        for rule, count in total.explained.most_common():
            print(f"{count:8}  {rule.title}: {rule.sentence}")
    for outcome in outcomes:
        if outcome.unexplained:
            mode = outcome.task.settings.accounting_mode
            print(f"\nunexplained: {outcome.task.capture} in mode {mode}")
            for text in outcome.unexplained:
                print(text)


def numbers(outcome: Outcome) -> str:
    values = (
        outcome.nfstream,
        outcome.flowloom,
        outcome.equal,
        outcome.explained_flows,
        len(outcome.unexplained),
    )
    return "".join(f"{value:12}" for value in values)


def captures_below(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explain all differences between NFStream's flows and Flowloom's."
    )
    add = parser.add_argument
    add("--flowloom", metavar="COMMAND", help="default: test only the rules")
    add("--captures", type=Path, required=True, metavar="FOLDER")
    add(
        "--modes",
        metavar="LIST",
        help="accounting modes [default: 0,1,2,3; with --columns core: 0]",
    )
    add(
        "--columns",
        choices=("core", "all"),
        default="all",
        help="core: without statistics and SPLT",
    )
    add("--idle-timeout", type=int, default=15, metavar="SECONDS")
    add("--active-timeout", type=int, default=1800, metavar="SECONDS")
    add("--jobs", type=int, default=2, metavar="N", help="runs at a time")
    add("--timeout", type=float, default=120, metavar="SECONDS", help="for a run")
    add(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="a Python that has NFStream",
    )
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    captures = captures_below(options.captures)
    if not captures:
        print(f"no captures in {options.captures}", file=sys.stderr)
        return 2
    core = options.columns == "core"
    modes = options.modes or ("0" if core else "0,1,2,3")
    tasks = [
        Task(
            capture,
            Settings(
                idle_timeout=options.idle_timeout,
                active_timeout=options.active_timeout,
                accounting_mode=mode,
                statistics=not core,
                splt=0 if core else 8,
            ),
        )
        for capture in captures
        for mode in map(int, modes.split(","))
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda task: judge(task, options), tasks))
    report(outcomes, options.captures)
    if all(outcome.nfstream_failed for outcome in outcomes):
        print("\nNFStream failed for all captures, so nothing was compared")
        return 1
    return 1 if any(outcome.unexplained for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
