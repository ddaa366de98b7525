"""Compare flows column by column, and lists of flows as multisets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose

from meter import Flow

RELATIVE_ERROR = 1e-9

# NFStream numbers flows in the order of their ends, and Flowloom in the order of their
# first packets.
NOT_COMPARED = frozenset({"id"})

ENDS = ("src_ip", "src_port"), ("dst_ip", "dst_port")
REST_OF_KEY = ("protocol", "vlan_id", "tunnel_id")


def columns_that_differ(one: Flow, other: Flow) -> list[str]:
    """Return the names of the shared columns in which two flows differ."""
    return [
        name
        for name, value in one.items()
        if name not in NOT_COMPARED and name in other and not _same(value, other[name])
    ]


def _same(one: object, other: object) -> bool:
    if one == other:
        return True
    # Only floats have a tolerance. For times in ms, it would hide differences of seconds.
    if isinstance(one, float) and isinstance(other, float | int):
        return isclose(one, other, rel_tol=RELATIVE_ERROR)
    if isinstance(one, int) and isinstance(other, float):
        return isclose(one, other, rel_tol=RELATIVE_ERROR)
    return False


def key_of(flow: Flow) -> tuple[object, ...]:
    """Return the key of a flow, which does not depend on its direction."""
    ends = sorted(tuple(str(flow.get(name)) for name in end) for end in ENDS)
    return (*ends, *(flow.get(name) for name in REST_OF_KEY))


@dataclass(frozen=True)
class Comparison:
    """The flows of two lists that remain after equal ones are removed."""

    equal: int
    left: list[Flow]
    right: list[Flow]


def compare(left: Iterable[Flow], right: Iterable[Flow]) -> Comparison:
    """Remove pairs of equal flows from both sides."""
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
    """Return the flow with the same key that differs in the fewest columns."""
    same_key = [other for other in others if key_of(other) == key_of(flow)]
    return min(
        same_key,
        key=lambda other: len(columns_that_differ(flow, other)),
        default=None,
    )
