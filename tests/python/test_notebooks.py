"""What notebooks and terminals show of a run."""

import io
import sys
import types

from conftest import CAPTURES

import flowloom
from flowloom import html

SCRIPT = "<script>alert(1)</script>"


def with_server_name(name: bytes) -> bytes:
    """Return a capture whose HTTP host is this name, of the same length as the original."""
    data = (CAPTURES / "http.pcap").read_bytes()
    original = b"www.example.com"
    assert original in data
    return data.replace(original, name.ljust(len(original), b"x")[: len(original)])


def test_a_table_is_short_and_escaped(tmp_path):
    capture = tmp_path / "<b>.pcap"
    capture.write_bytes(with_server_name(b"<script>x</scr>"))
    flows = flowloom.meter(capture)
    page = flows._repr_html_()
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + len(list(flows))
    # The table is made in a run of its own.
    assert flows.columns


def test_characters_that_deceive_are_shown_by_their_numbers():
    assert html.scrubbed("a\u202eb\u200bc\x1b[31m") == "a&lt;U+202E&gt;b&lt;U+200B&gt;c&lt;U+001B&gt;[31m"
    assert html.scrubbed(SCRIPT) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert html.scrubbed(None) == ""
    assert len(html.scrubbed("x" * 1_000)) == 40
    assert html.table(SCRIPT, [SCRIPT], [[SCRIPT]]).count("<script") == 0


def test_streams_and_interfaces_are_not_read_for_a_table():
    flows = flowloom.meter(io.BytesIO((CAPTURES / "dns.pcap").read_bytes()))
    assert "not metered yet" in flows._repr_html_()
    assert len(list(flows)) == 9
    assert "not metered yet" in flowloom.meter("lo")._repr_html_()
    assert "&lt;Flows of /nowhere" in flowloom.meter("/nowhere")._repr_html_()


def test_an_error_is_shown():
    page = flowloom.meter(CAPTURES / "dns.pcap", where=f"src_ip = {SCRIPT!r}")._repr_html_()
    assert "error" in page and "<script" not in page


def test_the_names_of_sources_are_shown():
    assert repr(flowloom.meter("a")) == "<Flows of a>"
    assert repr(flowloom.meter(["a", b"12", "c", "d", "e"])) == "<Flows of a, 2 bytes, c and 2 more>"


def test_progress_is_shown_with_tqdm_or_in_a_terminal(monkeypatch):
    class Bar:
        def __init__(self, **options):
            self.n = 0
            self.total = options["total"]
            bars.append(self)

        def update(self, n):
            self.n += n

        def close(self):
            self.is_closed = True

    bars = []
    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    capture = CAPTURES / "dns.pcap"
    assert len(list(flowloom.meter(capture, progress=True))) == 9
    assert bars[0].total == bars[0].n == capture.stat().st_size
    assert bars[0].is_closed
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert len(list(flowloom.meter(capture, progress=True))) == 9
    assert "100 %, 9 flows" in terminal.getvalue()
    # Nobody reads a line that is written to a file.
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    list(flowloom.meter(capture, progress=True))
    assert sys.stderr.getvalue() == ""
