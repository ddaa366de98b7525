#!/usr/bin/env python3
"""Draw the figures of tests/bench/peers.py as an SVG.

    tests/bench/chart.py FIGURES.json OUTPUT.svg

A bar is the CPU time of a program, divided by that of Flowloom with the same features. The axis is logarithmic.
"""

import json
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, LABELS, ROW, TOP = 760, 300, 26, 58
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .note { font-size: 12px; fill: #57606a; }
  .peer { fill: #8c959f; }
  .own { fill: #0969da; }
  .line { stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #8b949e; }
    .peer { fill: #6e7681; }
    .own { fill: #4493f8; }
    .line { stroke: #30363d; }
  }
"""


def chart(figures):
    """Return the SVG of figures."""
    rows = [("Flowloom", "the same features", 1.0, "own")]
    rows += [
        (peer["name"], peer["does"], peer["cpu"], "peer")
        for peer in sorted(figures["peers"], key=lambda peer: peer["cpu"])
    ]
    most = 10 ** math.ceil(math.log10(max(times for _, _, times, _ in rows) * 1.2))
    scale = (WIDTH - LABELS - 70) / math.log10(most)
    height = TOP + ROW * len(rows) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>CPU time of flow meters, Flowloom = 1</title>",
        f"<style>{STYLE}</style>",
        '<text x="0" y="18">CPU time for the same capture, in comparison with Flowloom</text>',
        f'<text class="note" x="0" y="36">{escape(figures["capture"])}, {figures["packets"]:,} packets; logarithmic scale</text>',
    ]
    for power in range(round(math.log10(most)) + 1):
        x = LABELS + power * scale
        lines.append(f'<line class="line" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP - 8}" y2="{height - 8}"/>')
        lines.append(f'<text class="note" x="{x:.0f}" y="{TOP - 12}" text-anchor="middle">{10**power:g}</text>')
    for number, (name, does, times, kind) in enumerate(rows):
        y = TOP + number * ROW
        width = max(2.0, math.log10(max(times, 1.0)) * scale)
        lines.append(
            f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(name)} '
            f'<tspan class="note">{escape(does)}</tspan></text>'
        )
        lines.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{width:.1f}" height="18" rx="2"/>')
        shown = "1" if kind == "own" else f"{times:.1f}"
        lines.append(f'<text x="{LABELS + width + 6:.1f}" y="{y + 14}">{shown}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[2]).write_text(chart(json.loads(Path(sys.argv[1]).read_text())))
