"""A short table of flows for notebooks."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable
from typing import Any

# The longest text of a cell, in characters.
_MAX_CELL = 40


def scrubbed(value: Any) -> str:
    """Return a value as text for a page: escaped, short, and without characters that change how others are shown.

    Packets determine texts such as server names. Control characters, bidirectional overrides and characters without
    width are shown as their code points.
    """
    text = "" if value is None else str(value)
    if len(text) > _MAX_CELL:
        text = text[: _MAX_CELL - 1] + "…"
    shown = "".join(f"<U+{ord(c):04X}>" if unicodedata.category(c) in _HIDDEN else c for c in text)
    return html.escape(shown)


# Control and format characters, surrogates, characters of private use, unassigned ones, and separators of lines.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def table(caption: str, names: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return an HTML table. ``caption``, names and values may contain anything."""
    head = "".join(f"<th>{scrubbed(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{scrubbed(value)}</td>" for value in row) + "</tr>" for row in rows)
    return (
        f"<div><p>{html.escape(caption)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
