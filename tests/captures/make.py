#!/usr/bin/env python3
"""Make the captures of this folder.

    python3 make.py             all of them: needs root and a few programs
    python3 make.py --derived   only those computed from the others, or made by hand
    python3 make.py dns.pcap    this one

Programs that talk are run in network namespaces joined by a virtual wire, and
tcpdump listens there: see making/live.py. From what it hears other files are
computed, byte for byte the same each time: see making/derived.py. Some are made by
hand: see making/clients.py.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from making import clients, derived, live

FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the captures of this folder.")
    parser.add_argument("names", nargs="*", metavar="FILE")
    parser.add_argument(
        "--derived", action="store_true", help="only files computed from others or made by hand"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - {*live.MAKERS, *clients.MAKERS, *derived.MAKERS}:
        parser.error(f"no such capture: {', '.join(sorted(unknown))}")

    wanted = options.names or [*live.MAKERS, *clients.MAKERS, *derived.MAKERS]
    from_wire = [] if options.derived else [n for n in wanted if n in live.MAKERS]
    computed = [name for name in wanted if name in derived.MAKERS]
    if from_wire:
        if os.geteuid() != 0:
            parser.error("network namespaces need root; --derived does without")
        live.make(FOLDER, from_wire)
    clients.make(FOLDER, [name for name in wanted if name in clients.MAKERS])
    derived.make(FOLDER, computed)


if __name__ == "__main__":
    main()
