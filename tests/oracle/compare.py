"""Compares flows column by column, and sets of flows as multisets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose

from meter import Flow

RELATIVE_ERROR = 1e-9

# Flows are numbered by NFStream in the order of their end, by Flowloom in that of
# their beginning.
NOT_COMPARED = frozenset({"id"})

ENDS = ("src_ip", "src_port"), ("dst_ip", "dst_port")
REST_OF_KEY = ("protocol", "vlan_id", "tunnel_id")


def columns_that_differ(one: Flow, other: Flow) -> list[str]:
    """Names of the shared columns in which two flows are not the same."""
    return [
        name
        for name, value in one.items()
        if name not in NOT_COMPARED and name in other and not _same(value, other[name])
    ]


def _same(one: object, other: object) -> bool:
    if one == other:
        return True
    # Times in ms are so large that a tolerance would hide seconds: only means have one.
    if isinstance(one, float) and isinstance(other, float | int):
        return isclose(one, other, rel_tol=RELATIVE_ERROR)
    if isinstance(one, int) and isinstance(other, float):
        return isclose(one, other, rel_tol=RELATIVE_ERROR)
    return False


def key_of(flow: Flow) -> tuple[object, ...]:
    """A flow's key, whichever end is its source."""
    ends = sorted(tuple(str(flow.get(name)) for name in end) for end in ENDS)
    return (*ends, *(flow.get(name) for name in REST_OF_KEY))


@dataclass(frozen=True)
class Comparison:
    """What is left of two sets of flows when equal ones are taken out."""

    equal: int
    left: list[Flow]
    right: list[Flow]


def compare(left: Iterable[Flow], right: Iterable[Flow]) -> Comparison:
    """Take out of both sides the flows that the other has too, each only once."""
    others = defaultdict(list)
    for flow in right:
        others[key_of(flow)].append(flow)
    equal, rest = 0, []
    for flow in left:
        candidates = others[key_of(flow)]
        for index, candidate in enumerate(candidates):
            if not columns_that_differ(flow, candidate):
                del candidates[index]
                equal += 1
                break
        else:
            rest.append(flow)
    return Comparison(equal, rest, [flow for flows in others.values() for flow in flows])


def nearest(flow: Flow, others: Sequence[Flow]) -> Flow | None:
    """The flow of the same key that differs in the fewest columns."""
    same_key = [other for other in others if key_of(other) == key_of(flow)]
    return min(
        same_key,
        key=lambda other: len(columns_that_differ(flow, other)),
        default=None,
    )
