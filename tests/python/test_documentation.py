"""The examples of docs/python.md run in this order."""

import re
import shutil

import pytest
from conftest import CAPTURES, ROOT

PAGE = ROOT / "docs/python.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    shutil.copy(CAPTURES / "tls12.pcap", tmp_path / "capture.pcap")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(blocks) >= 5
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
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
