"""The examples of pages in docs run, in the order of their page."""

import ast
import inspect
import re
import shutil

import pytest
from conftest import CAPTURES, ROOT

DOCS = ROOT / "docs"
PAGE = DOCS / "python.md"


def blocks_of(page):
    """Return the examples of a page, except those that are marked as "notest"."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)


def run_examples(page, folder, monkeypatch, capture="tls12.pcap"):
    """Run the examples of a page in a folder with this capture, and return their names."""
    shutil.copy(CAPTURES / capture, folder / "capture.pcap")
    monkeypatch.chdir(folder)
    blocks = blocks_of(page)
    assert len(blocks) >= 4
    names = {"__name__": "examples"}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    return names


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    names = run_examples(PAGE, tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "www.example.com" in printed and "192.0.2.1 443 ['Self-signed Certificate'" in printed
    assert names["ports"].rows() == [(443, 2)]
    assert names["largest"]["udps.largest.size"].to_list() == [718, 1500]


def test_types_of_the_page_are_those_of_duckdb():
    duckdb = pytest.importorskip("duckdb")
    import flowloom

    flows = flowloom.meter(CAPTURES / "tls12.pcap", splt_analysis=1)
    types = dict(zip(flows.columns, duckdb.sql("SELECT * FROM flows").types))
    shown = {
        "dst_port": "INTEGER",
        "id": "BIGINT",
        "src_ip_is_private": "BOOLEAN",
        "first_seen": "TIMESTAMP WITH TIME ZONE",
        "src_ip": "VARCHAR",
        "splt_ps": "BIGINT[]",
        "application_risks": "VARCHAR[]",
    }
    assert {name: str(types[name]) for name in shown} == shown
    page = PAGE.read_text()
    assert all(f"`{name}`" in page for name in shown.values())


def test_the_page_for_users_of_nfstream(tmp_path, monkeypatch, capsys):
    import flowloom
    from flowloom import nfstream

    page = DOCS / "migrate-from-nfstream.md"
    run_examples(page, tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "'application_risks', 'application_stack'" in printed and "'src_ip_is_private'" in printed

    def defaults_of(function):
        parameters = inspect.signature(function).parameters.values()
        return {one.name: one.default for one in parameters if one.name != "self"}

    theirs, ours = defaults_of(nfstream.NFStreamer.__init__), defaults_of(flowloom.meter)
    ours["source"] = "required"
    table = page.read_text().split("| `NFStreamer` | default |")[1].split("\n\n")[0]
    # The header ends with the names of the other columns, and a line of hyphens follows.
    rows = [[cell.strip().strip("`") for cell in line.split("|")[1:5]] for line in table.splitlines()[2:]]
    assert [name for name, *_ in rows] == list(theirs)
    for name, default, other, its_default in rows:
        assert ast.literal_eval(default) == theirs[name], name
        if other:
            value = its_default if its_default == "required" else ast.literal_eval(its_default)
            assert value == ours[other], other
