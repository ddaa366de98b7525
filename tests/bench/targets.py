#!/usr/bin/env python3
"""The targets of tests/bench/run.py, and the table that compares them with the measurements.

    tests/bench/targets.py    # prints the targets alone
"""

from dataclasses import dataclass

from measure import quartiles, table

MINIMAL = "times the minimal meter"
FULL = "statistics and SPLT 20"
EVERYTHING = "applications, statistics and SPLT 20"


@dataclass
class Target:
    """A limit for a value that is measured once per repetition."""

    what: str
    #: The name of the capture, or an empty text.
    on: str
    limit: float
    unit: str
    #: The number of decimal places of the values.
    digits: int = 2
    #: Whether the values should be large.
    is_least: bool = False

    def bound(self):
        return f"at {'least' if self.is_least else 'most'} {self.limit:g} {self.unit}".rstrip()

    def verdict(self, low, high):
        """Judge the middle half of the values: all of it must be on the right side of the limit."""
        if self.is_least:
            low, high, limit = -high, -low, -self.limit
        else:
            limit = self.limit
        return "met" if high <= limit else "missed" if low > limit else "open"


def several(what, limits, *unit):
    """Return a target for each capture."""
    return [Target(what, on, limit, *unit) for on, limit in limits.items()]


TARGETS = [
    *several("core, CPU time", {"zipf": 1.5, "mix": 1.6, "zipf-headers": 2.0}, MINIMAL),
    *several("core, elapsed time", {"zipf": 1.1, "mix": 1.1, "zipf-headers": 1.4}, MINIMAL),
    *several(f"{FULL}, CPU time", {"zipf": 2.2, "mix": 2.2, "zipf-headers": 3.0}, MINIMAL),
    Target("core, CSV, CPU time", "scan", 2.5, MINIMAL),
    Target("core, Parquet, CPU time", "scan", 2.0, MINIMAL),
    Target(f"{FULL}, CSV, CPU time", "scan", 4.5, MINIMAL),
    *several("packet_stats adds", {"uniform": 15, "zipf": 40}, "ns a packet", 0),
    *several("one feature adds", {"uniform": 0.8, "zipf": 0.8}, "times packet_stats"),
    *several("ten features: packet_stats' own add", {"uniform": 1, "zipf": 1}, "times packet_stats"),
    *several("76 features: cicflowmeter add", {"uniform": 3, "zipf": 3}, "times packet_stats"),
    Target("compiling 76 features without a cache, elapsed time", "", 50, "ms", 0),
    *several("64 bytes of each packet add, in batches", {"uniform": 15, "zipf": 15}, "ns a packet", 0),
    Target("slicer, which cuts flows, adds", "zipf", 250, "ns a packet", 0),
    Target("event by event, two numbers (packet_stats)", "zipf", 250, "ns an event", 0),
    Target("event by event, also 64 bytes (packet_bytes)", "zipf", 450, "ns an event", 0),
    *several(f"{EVERYTHING}, nDPI 4.2, CPU time", {"zipf": 0.4, "mix": 0.4}, "times ndpiReader -q"),
    Target("NFStream, core, elapsed time", "zipf", 45, "times Flowloom", 1, True),
    Target("NFStream, one plugin each, elapsed time", "zipf", 90, "times Flowloom", 1, True),
    Target(f"NFStream, {EVERYTHING}, nDPI 5.0 in both, elapsed time", "zipf", 20, "times Flowloom", 1, True),
    *several("turns of the reading threads, two meters", {"zipf": 20, "uniform": 20}, "% of readers' and meters' CPU time", 0),
    Target("two meters, CPU time", "zipf", 1.1, "times one meter"),
    Target("two meters over packets in memory", "zipf", 1.8, "times as fast as one", 2, True),
    Target("start without a plugin, CPU time", "", 3, "ms", 1),
    Target("start with five cached plugins, CPU time", "", 8, "ms", 1),
    Target("the longest wait of a meter for another version of a plugin", "zipf", 1, "ms"),
    Target("growth of the cost of a packet, from 1,000 to 5,000,000 live flows", "", 2.5, "times"),
    Target("a live flow, core", "", 256, "bytes", 0),
    Target("a live flow, statistics", "", 640, "bytes", 0),
    Target("ten million live flows, core", "", 4, "GB"),
]


class Values:
    """The measured values of targets, one for each repetition."""

    def __init__(self):
        self.values = {}

    def add(self, what, on, values):
        """Add values. The target may be for other captures only."""
        if all(what != target.what for target in TARGETS):
            raise KeyError(what)
        self.values[what, on.removesuffix("-quick")] = list(values)

    def print(self):
        rows = []
        for target in TARGETS:
            values = self.values.pop((target.what, target.on), None)
            measured, verdict = "not measured", ""
            if values:
                low, high = quartiles(values)
                verdict = target.verdict(low, high)
                measured = f"{low:.{target.digits}f}"
                if len(values) > 1:
                    measured += f" to {high:.{target.digits}f}"
            rows.append([target.what, target.on, measured, target.bound(), verdict])
        table(["what", "capture", "middle half", "target", ""], rows)


def main():
    rows = [[target.what, target.on, target.bound()] for target in TARGETS]
    table(["what", "capture", "target"], rows)


if __name__ == "__main__":
    main()
